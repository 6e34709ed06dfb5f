/* The table of functions: what workers know of the registry. Control makes a new one when anything
 * changes, in a sealed memfd, and pushes it to all workers (PLAT_TABLE); a worker maps it, and
 * keeps the old one until its last request is done. Offsets are from the table's first byte; a
 * reader checks them once (plat_table_open). */
#ifndef PLATFORM_TABLE_H
#define PLATFORM_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "platform/limit.h"

#define PLAT_DIGEST_BYTES 32
#define PLAT_TARGETS_MAX 8 /* versions that share a function's requests */
#define PLAT_KEY_BYTES 32  /* SHA-256 of a usage key */
#define PLAT_FUNCTIONS_MAX (1U << 20)
#define PLAT_ROUTE_DEPTH_MAX 32 /* parts of a route's path; a deeper route is never found */

struct plat_text { /* bytes of the table */
    uint32_t at, len;
};

/* A function's versions: first those with a weight, then others that have an alias or are pinned by
 * digest, the newest first. */
struct plat_version {
    uint8_t digest[PLAT_DIGEST_BYTES]; /* SHA-256 of the deployed bytes */
    /* Of the module that runs, DATA/blobs/HEX.wasm: the same, or that of a snapshot behind the
     * initialiser. */
    uint8_t ready[PLAT_DIGEST_BYTES];
    uint32_t number;        /* 1 is the function's first */
    uint32_t weight;        /* of 10000 */
    struct plat_text alias; /* reached as NAME@ALIAS, too */
};

enum plat_function_flag {
    PLAT_FUNCTION_KEYED = 1, /* callers need a usage key */
    PLAT_FUNCTION_FETCH = 4, /* SSVM_Fetch and SSVM_Callback are honoured */
    /* It runs in its tenant's own worker, whose table has the rest: no versions and no grants here.
     */
    PLAT_FUNCTION_ISOLATED = 8,
};

struct plat_function {
    uint64_t id; /* also wasm_id of /api */
    struct plat_text tenant, name;
    uint32_t flags;
    uint32_t first_version, nversions; /* of plat_table.versions: those with weight first */
    uint32_t first_text, ntexts; /* of plat_table.texts: "grant value" lines: `env K=V`, `allow-http
                                    HOST`, `kv`, `sql`, `secret NAME`, ... */
    uint8_t key[PLAT_KEY_BYTES]; /* digest of the usage key, if KEYED */
    struct plat_text handler;    /* the export that serves its routes, "" = by path */
    struct plat_text state;      /* /api/state: argv[1] */
    struct plat_text callback;   /* /api/callback: JSON, "" = none */
    struct plat_text cors;       /* origin, "" = the server's */
    struct plat_text sticky;     /* peer, header:NAME, cookie:NAME: see ssvm.yaml; "" = no */
    struct plat_limits limits;
};

/* A request goes to the route with its host (or without host), a matching method, and the longest
 * path: `/a/b` matches itself, `/a/b/` and what is below. */
struct plat_route {
    struct plat_text host, path; /* host "" = any; "*.example.org" = one label more */
    uint32_t methods;            /* bits 1 << enum srv_method; 0 = all */
    uint32_t function;           /* index */
    uint32_t spa; /* of a site: index.html answers navigations to paths that are no file */
    struct plat_text
        site; /* folder of static files instead, relative to the data folder; "" = none */
};

struct plat_table; /* an open one */

/* Map and check. The descriptor stays the caller's. */
int plat_table_open(struct sv_err *, int fd, own struct plat_table **ret);
void plat_table_ref(struct plat_table *);
void plat_table_unref(own struct plat_table *);
uint64_t plat_table_generation(const struct plat_table *);
/* With a NUL behind it. */
struct sv_str plat_table_text(const struct plat_table *, struct plat_text);
uint32_t plat_table_count(const struct plat_table *);
const struct plat_function *plat_table_at(const struct plat_table *, uint32_t index);
const struct plat_version *plat_table_version(const struct plat_table *,
                                              const struct plat_function *, uint32_t n);
/* By its alias; by digits of its digest, at least 4, of which none other begins with them. NULL:
 * none. */
const struct plat_version *plat_table_alias(const struct plat_table *, const struct plat_function *,
                                            struct sv_str alias);
const struct plat_version *plat_table_pin(const struct plat_table *, const struct plat_function *,
                                          struct sv_str digits);
struct sv_str plat_table_grant(const struct plat_table *, const struct plat_function *, uint32_t n);
/* NULL when there is none. O(1). */
const struct plat_function *plat_table_find(const struct plat_table *, struct sv_str tenant,
                                            struct sv_str name);
const struct plat_function *plat_table_find_id(const struct plat_table *, uint64_t id);
/* `host` without a port, in any case; `path` normalised. The most special host goes before the
 * longest path. */
const struct plat_route *plat_table_route(const struct plat_table *, struct sv_str host,
                                          unsigned method, struct sv_str path);

/* Making one. */
struct plat_table_maker;
own struct plat_table_maker *plat_table_maker_new(uint64_t generation);
void plat_table_maker_delete(own struct plat_table_maker *);
struct plat_text plat_table_put_text(struct plat_table_maker *, const char *s, size_t len);
void plat_table_put_grant(struct plat_table_maker *, const char *line); /* of the next function */
void plat_table_put_version(struct plat_table_maker *, const struct plat_version *); /* likewise */
uint32_t plat_table_put_function(struct plat_table_maker *, const struct plat_function *);
void plat_table_put_route(struct plat_table_maker *, const struct plat_route *);
/* A sealed memfd. */
int plat_table_seal(struct plat_table_maker *, struct sv_err *, own int *ret_fd);

#endif
