/* The manifest of a function, ssvm.yaml: its keys are one table (manifest.def), from which the
 * reader, the structures below and the JSON Schema are made. Checks what can be known from the text
 * alone; touches no file. */
#ifndef PLATFORM_MANIFEST_H
#define PLATFORM_MANIFEST_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "platform/table.h"

#define PLAT_MANIFEST_FILE "ssvm.yaml"
#define PLAT_NAME_MAX 64 /* of functions, tenants, aliases, secrets */

struct plat_texts {
    uint32_t n;
    const char *const *at;
};

#define PLAT_FIELD_TEXT const char *
#define PLAT_FIELD_NAME const char *
#define PLAT_FIELD_FILE const char *
#define PLAT_FIELD_CHOICE const char *
#define PLAT_FIELD_SWITCH bool
#define PLAT_FIELD_COUNT uint64_t
#define PLAT_FIELD_TEXTS struct plat_texts
#define PLAT_FIELD_PAIRS struct plat_texts

struct plat_manifest_route {
#define ROUTE(type, field, key, value, doc) PLAT_FIELD_##type field;
#include "platform/manifest.def"
    unsigned line; /* in the file, for messages */
};

struct plat_manifest_cron {
#define CRON(type, field, key, value, doc) PLAT_FIELD_##type field;
#include "platform/manifest.def"
    unsigned line;
};

struct plat_manifest_grant {
#define GRANT(type, field, key, value, doc) PLAT_FIELD_##type field;
#include "platform/manifest.def"
};

struct plat_manifest_trigger {
#define TRIGGER_LIST(section, field, key, doc)                                                     \
    const struct plat_manifest_##section *field;                                                   \
    uint32_t n##field;
#include "platform/manifest.def"
};

struct plat_manifest_static {
    bool given;
#define STATIC(type, field, key, value, doc) PLAT_FIELD_##type field;
#include "platform/manifest.def"
};

struct plat_manifest_smoke {
    bool given;
#define SMOKE(type, field, key, value, doc) PLAT_FIELD_##type field;
#include "platform/manifest.def"
};

struct plat_manifest_split {
#define SPLIT(type, field, key, value, doc) PLAT_FIELD_##type field;
#include "platform/manifest.def"
};
#define plat_manifest_limit plat_limits /* table.h */

/* Texts are never NULL: "" is none. */
struct plat_manifest {
    struct sv_arena arena;
#define TOP(type, field, key, value, doc) PLAT_FIELD_##type field;
#define TOP_MAP(section, field, key, doc) struct plat_manifest_##section field;
#define TOP_LIST(section, field, key, doc)                                                         \
    const struct plat_manifest_##section *field;                                                   \
    uint32_t n##field;
#include "platform/manifest.def"
};

/* Read a manifest of `len` bytes; `file` is its name in messages. On failure the text has a line
 * "FILE:LINE: what is wrong and what may stand there" for each mistake, as many as fit. *ret is
 * released in any case. */
int plat_manifest_read(struct sv_err *, const char *file, const char *text, size_t len,
                       struct plat_manifest *ret);
void plat_manifest_release(struct plat_manifest *);

/* All values, as YAML that reads back as the same. */
void plat_manifest_print(const struct plat_manifest *, struct sv_buf *);
/* The JSON Schema (draft 2020-12). */
void plat_manifest_schema(struct sv_buf *);

/* 1 to PLAT_NAME_MAX letters, digits, `-`, `_`; a letter or digit first. */
bool plat_name_valid(const char *name, size_t len);
/* The grants as the lines of plat_table_put_grant ("env K=V", "kv", "allow-http HOST", ...): a
 * TEXTS field gives one line an entry, a SWITCH its key alone when it is on. False: *each said no.
 */
bool plat_manifest_grants(const struct plat_manifest *, bool (*each)(void *data, const char *line),
                          void *data);
/* Bits 1 << n of plat_methods, 0 for none given. */
uint32_t plat_manifest_methods(const struct plat_manifest_route *);
extern const char *const plat_methods[]; /* NULL at the end; the order is that of enum srv_method */

#endif
