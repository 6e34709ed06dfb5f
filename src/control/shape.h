/* Shapes of JSON: shape.def as data. One table says what bodies must look like and what the OpenAPI
 * document shows. */
#ifndef CONTROL_SHAPE_H
#define CONTROL_SHAPE_H

#include <jansson.h>

#include "base/err.h"
#include "base/str.h"

#define CTL_NAME_MAX 64         /* of tenants, functions, aliases, secrets */
#define CTL_TEXT_FIELD_MAX 1024 /* characters of a string */
#define CTL_ARRAY_MAX 1024      /* items of an array in a body */

/* A name: a letter or digit of ASCII, then such, '-' or '_', at most CTL_NAME_MAX. */
bool ctl_name_is(struct sv_str);
/* Whether a text is a value of that type; for the query. */
bool ctl_shape_text_is(struct sv_str text, const char *type);
/* Check a body against a shape. SV_EUSAGE with a sentence that names the field. */
int ctl_shape_check(struct sv_err *, const char *shape, const json_t *);
/* The JSON schema of a type; of all shapes, as an object by name. */
own json_t *ctl_shape_type_new(const char *type);
own json_t *ctl_shape_all_new(void);
bool ctl_shape_exists(const char *name);

/* "2026-11-26T21:05:04Z" (or with milliseconds, where there are some); 0: null. */
own json_t *ctl_json_time(int64_t ms);
/* A string; what is not UTF-8 becomes U+FFFD. */
own json_t *ctl_json_str(struct sv_str);
own json_t *ctl_json_text(const char *); /* NULL: null */
/* Lower-case hexadecimal digits. */
own json_t *ctl_json_hex(const void *bytes, size_t len);

#endif
