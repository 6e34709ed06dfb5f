/* Folders: where users keep things, and temporary ones. See folder.h. */
#include "base/folder.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"

#define OPEN_FOLDERS 16 /* while one is removed; deeper ones are opened again */

bool sv_folder_of_user(enum sv_folder_kind kind, const char *below, char *ret, size_t size)
{
    static const struct {
        const char *variable, *usual; /* below the home */
    } kinds[SV_FOLDER_KINDS] = {
        [SV_FOLDER_CACHE] = {"XDG_CACHE_HOME", ".cache"},
        [SV_FOLDER_CONFIG] = {"XDG_CONFIG_HOME", ".config"},
        [SV_FOLDER_DATA] = {"XDG_DATA_HOME", ".local/share"},
    };
    const char *base = getenv(kinds[kind].variable), *home = getenv("HOME");
    int n = -1;

    /* The specification has relative ones ignored. */
    if (base && base[0] == '/')
        n = snprintf(ret, size, "%s/%s", base, below);
    else if (home && home[0] == '/')
        n = snprintf(ret, size, "%s/%s/%s", home, kinds[kind].usual, below);
    return n > 0 && (size_t)n < size;
}

void sv_folder_new(const char *prefix, char *ret, size_t size)
{
    static const char *const places[] = {"/tmp", "/dev/shm", "/run"};

    for (size_t i = 0; i < SV_COUNT(places); i++) {
        int n = snprintf(ret, size, "%s/%s-XXXXXX", places[i], prefix);

        if (n > 0 && (size_t)n < size && mkdtemp(ret))
            return;
    }
    ret[0] = '\0';
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    (void)remove(path);
    return 0;
}

void sv_folder_remove(const char *path)
{
    if (rmdir(path) != 0) /* most are empty */
        (void)nftw(path, remove_one, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS);
}
