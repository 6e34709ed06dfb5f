/* The registry as a worker knows it: the table that control pushed (platform/table.h), and the
 * modules of it that were called lately, read from DATA/blobs when they are. Prepares nothing. */
#ifndef SERVE_REGISTRY_H
#define SERVE_REGISTRY_H

#include "base/str.h"
#include "platform/table.h"
#include "serve/function.h"

#define SRV_LOADED_MAX 512 /* modules that are kept beside those that calls run from */
#define SRV_LOADED_BYTES ((uint64_t)512 << 20)
#define SRV_LOADED_PLACES 1024 /* a power of two */
#define SRV_REGISTERED_PLACES 4096

struct srv_conn;
struct srv_request;
struct srv_server;
struct srv_registry;

/* Before the jail. False: no memory. Without a data folder there is a registry without functions.
 */
bool srv_registry_init(struct srv_server *);
void srv_registry_release(struct srv_server *);
/* Requests that come from now on see this table; those that run keep theirs. Any thread. */
void srv_registry_set(struct srv_server *, own struct plat_table *);
/* Wait until there is a table, at most so long: a worker that has none would deny functions that
 * there are. */
void srv_registry_wait(struct srv_server *, unsigned ms);

/* Find the function of that name and the version that the request gets: by `which` (an alias or
 * digits of a digest) or, where that is "", by the weights. Fills in the request's function, table,
 * registered, chosen, limits; version and load. NONE: the request is as before. */
enum srv_find srv_registry_find(struct srv_conn *, struct sv_str tenant, struct sv_str name,
                                struct sv_str which);
/* By the routes of manifests; *ret_route is the route's path, whose rest is the function's. SITE:
 * the request's table, site, site_base and spa are filled in instead. */
enum srv_find srv_registry_find_route(struct srv_conn *, struct sv_str host, struct sv_str path,
                                      struct sv_str *ret_route);
/* By id, for /api. */
enum srv_find srv_registry_find_id(struct srv_conn *, uint64_t id);
/* Load the module that the request wants. A reference, perhaps to a broken version; NULL: no
 * memory. */
own struct srv_version *srv_registry_load(struct srv_conn *);
/* The request is over: give back what it has of the registry. */
void srv_registry_leave(struct srv_request *);

/* Call each grant line "WORD REST" of the request's function with REST (a C string). */
void srv_registry_grants(const struct srv_request *, const char *word,
                         void (*each)(void *data, const char *rest), void *data);

#endif
