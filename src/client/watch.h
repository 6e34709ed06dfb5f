/* Watching a project for changes: inotify says when to look, the files' contents say whether
 * anything is new (a build that writes what was there before changes nothing). */
#ifndef CLIENT_WATCH_H
#define CLIENT_WATCH_H

#include "client/client.h"

enum cln_change {
    CLN_CHANGE_SOURCE = 1, /* all but: */
    CLN_CHANGE_SITE = 2,   /* static files */
};

struct cln_watch;

own struct cln_watch *cln_watch_new(void); /* NULL: reported */
void cln_watch_delete(own struct cln_watch *);
/* Look at the files that the manifest says, as they are now: what is waited for are changes from
 * here on. */
void cln_watch_look(struct cln_watch *, const struct plat_manifest *);
/* Wait until something has changed, and for a moment nothing more; then as after cln_watch_look.
 * enum cln_change, added. */
unsigned cln_watch_wait(struct cln_watch *, const struct plat_manifest *);

#endif
