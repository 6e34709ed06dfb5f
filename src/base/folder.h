/* Folders: the user's for what ssvm keeps, and those for a short time. */
#ifndef SV_BASE_FOLDER_H
#define SV_BASE_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

/* Kinds of the XDG base directory specification. */
enum sv_folder_kind { SV_FOLDER_CACHE, SV_FOLDER_CONFIG, SV_FOLDER_DATA, SV_FOLDER_KINDS };

/* The user's path `below` ("ssvm/nn") among what is of that kind, to `ret`; it need not be there.
 * False: the environment names no absolute one, or it does not fit. */
bool sv_folder_of_user(enum sv_folder_kind, const char *below, char *ret, size_t size);

/* A new folder that is its owner's alone, in the first place of the system that takes one; "": in
 * none. Each call makes another. */
void sv_folder_new(const char *prefix, char *ret, size_t size);
/* With all that is in it, whose links are not followed. What cannot be removed stays. */
void sv_folder_remove(const char *path);

#endif
