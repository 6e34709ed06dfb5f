/* Tables of doc/host that are made from ours: compared, or with UPDATE_DOC=1 written anew. */
#ifndef SV_TEST_UNIT_HOST_MANUAL_H
#define SV_TEST_UNIT_HOST_MANUAL_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "guest.h"

/* "iI" as "i32, i64", up to the colon. */
static inline void manual_types(struct sv_buf *b, const char *sig)
{
    const char *first = "";

    for (; *sig && *sig != ':'; sig++, first = ", ")
        sv_buf_printf(b, "%s%s", first, *sig == 'i' ? "i32" : *sig == 'I' ? "i64" : "?");
}

/* All of doc/host/FILE from `begin` on is what the buffer has. `source` and `own_path`: __FILE__,
 * and what it is from the root of the tree. */
static inline void manual_check(const char *file, const char *begin, struct sv_buf *b,
                                const char *source, const char *own_path)
{
    static char have[65536];
    char path[1024], *table;
    FILE *f;

    snprintf(path, sizeof path, "%.*sdoc/host/%s", (int)(strlen(source) - strlen(own_path)), source,
             file);
    f = fopen(path, "r");
    assert_non_null(f);
    have[fread(have, 1, sizeof have - 1, f)] = '\0';
    fclose(f);
    table = strstr(have, begin);
    assert_non_null(table);
    if (getenv("UPDATE_DOC")) {
        f = fopen(path, "w");
        assert_non_null(f);
        fwrite(have, 1, (size_t)(table - have), f);
        fwrite(b->data, 1, b->len, f);
        fclose(f);
    } else {
        assert_string_equal(table, sv_buf_cstr(b));
    }
}

#endif
