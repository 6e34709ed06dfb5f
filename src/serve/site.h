/* Static files beneath DIR/site, small ones from memory. One of it for each loop, so that it needs
 * no locks. */
#ifndef SERVE_SITE_H
#define SERVE_SITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SRV_SITE_CHECK_MS 1000 /* how long a file in memory is used without looking at the disk */
#define SRV_SITE_FILE_MAX (128 << 10) /* larger files are sent from the disk */
#define SRV_SITE_PLACES 1024 /* of the hash table; files that share one replace each other */

struct srv_conn;
struct srv_site_file;

struct srv_site {
    int root; /* DIR */
    int dir;  /* DIR/site, -1 = there is none */
    uint64_t dir_checked_ns;
    uint64_t used, max; /* bytes in memory */
    struct srv_site_file *places[SRV_SITE_PLACES];
    struct srv_site_file *first, *last; /* by use, the last used first */
};

int srv_site_init(struct srv_site *, int root, uint64_t max_bytes);
void srv_site_release(struct srv_site *);
/* Make the reply for the request's path: a file, a redirection, 304, 404, 405, 416. */
void srv_site_answer(struct srv_site *, struct srv_conn *);

#endif
