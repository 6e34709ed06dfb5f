/* Static files beneath a folder, small ones from memory. Sites are each loop's own, so that they
 * need no locks. */
#ifndef SERVE_SITE_H
#define SERVE_SITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SRV_SITE_CHECK_MS 1000 /* how long a file in memory is used without looking at the disk */
#define SRV_SITE_FILE_MAX (128 << 10) /* larger files are sent from the disk */
#define SRV_SITES_MAX 64              /* open at once, for each loop */
#define SRV_SITE_NAME_MAX 512         /* bytes of a site's folder */
#define SRV_SITE_PLACES 1024 /* of the hash table; files that share one replace each other */

struct srv_conn;
struct srv_site_file;

/* How files are given out. Texts are borrowed. */
struct srv_site_options {
    const char *fallback; /* file for navigations that find none, "/index.html"; NULL: none */
    const char *caching;  /* Cache-Control */
    bool immutable;       /* but files with a hash in their name may be kept for ever */
    uint64_t max_bytes;   /* kept in memory */
};

struct srv_site {
    struct srv_site *next; /* of the loop's list */
    int base;              /* the folder that has `name`; borrowed */
    int dir;               /* of the site, -1 = there is none */
    char name[SRV_SITE_NAME_MAX + 1];
    struct srv_site_options options;
    uint64_t dir_checked_ns;
    uint64_t used; /* bytes in memory */
    struct srv_site_file *places[SRV_SITE_PLACES];
    struct srv_site_file *first, *last; /* by use, the last used first */
};

/* The site in the folder `name` beneath `base`, which need not be there yet, opened when it is
 * first asked for. At most SRV_SITES_MAX are kept: *list is the one used last. NULL: there is no
 * memory. Give `options` the same for the same site. */
struct srv_site *srv_site_find(struct srv_site **list, int base, const char *name,
                               const struct srv_site_options *options);
void srv_site_delete_all(struct srv_site **list);
/* Make the reply for the request's path, behind the first `mount` bytes of it (a route's path,
 * without a slash at its end): a file, a redirection, 304, 404, 405, 412, 416. */
void srv_site_answer(struct srv_site *, struct srv_conn *, size_t mount);

#endif
