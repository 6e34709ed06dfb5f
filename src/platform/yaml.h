/* YAML as our files use it: maps, lists and scalars, each with its place in the file, so that what
 * uses them can say where a mistake is. Refused with a message: anchors, aliases, tags, more than
 * one document, a key twice, and what is larger or deeper than any file of ours. Scalars are texts:
 * whoever reads a field knows what it is to be. */
#ifndef PLATFORM_YAML_H
#define PLATFORM_YAML_H

#include "base/arena.h"
#include "base/err.h"

#define PLAT_YAML_BYTES_MAX (1U << 20)
#define PLAT_YAML_DEPTH_MAX 16
#define PLAT_YAML_NODES_MAX 10000
#define PLAT_YAML_KEYS_MAX 1000 /* of one map */

enum plat_yaml_kind { PLAT_YAML_SCALAR, PLAT_YAML_LIST, PLAT_YAML_MAP };

struct plat_yaml {
    enum plat_yaml_kind kind;
    bool plain;            /* a scalar without quotes: `""` is a text, nothing at all is no value */
    unsigned line, column; /* from 1 */
    const char *text;      /* of a scalar, without NUL inside; valid UTF-8 */
    const char *key;       /* of a value in a map; NULL elsewhere */
    unsigned key_line;
    uint32_t n; /* values of a list or a map */
    struct plat_yaml *first, *next;
};

/* Read `len` bytes. `file` is for messages: "FILE:LINE: what". An empty document is an empty map.
 * Everything is in the arena. Where the library is missing: SV_EUNSUPPORTED. */
int plat_yaml_read(struct sv_err *, const char *file, const char *text, size_t len,
                   struct sv_arena *, struct plat_yaml **ret);
/* The whole of a file of at most PLAT_YAML_BYTES_MAX, NUL-terminated, in the arena. */
int plat_yaml_load(struct sv_err *, const char *file, struct sv_arena *, const char **ret,
                   size_t *ret_len);
/* The value of `key`; NULL when there is none, or the node is no map. */
struct plat_yaml *plat_yaml_find(const struct plat_yaml *, const char *key);
/* Is it nothing: `key:` with no value, `~` or `null`? */
bool plat_yaml_is_null(const struct plat_yaml *);
/* on, off and YAML's other words for them; false: neither. */
bool plat_yaml_switch(const char *text, bool *ret);

#endif
