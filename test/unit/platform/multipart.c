/* multipart/form-data: what is taken and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "platform/multipart.h"

#define TYPE "multipart/form-data; boundary=b"
#define PART(name) "--b\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n"

struct row {
    const char *what, *type, *body;
    const char *seen; /* name=body;...; NULL: refused */
};

/* clang-format off */
static const struct row rows[] = {
    {"none", TYPE, "--b--", ""},
    {"none, with a line end", TYPE, "--b--\r\n", ""},
    {"one", TYPE, PART("a") "x\r\n--b--\r\n", "a=x;"},
    {"two", TYPE, PART("a") "x\r\n" PART("b") "y\r\n--b--\r\n", "a=x;b=y;"},
    {"empty body", TYPE, PART("a") "\r\n--b--", "a=;"},
    {"empty name", TYPE, PART("") "x\r\n--b--", "=x;"},
    {"lines within", TYPE, PART("a") "\r\n\r\n--c\r\n\r\n--b--", "a=\r\n\r\n--c\r\n;"},
    {"a boundary that is no line", TYPE, PART("a") "--b\r\n--b--", "a=--b;"},
    {"quoted boundary", "multipart/form-data; boundary=\"b\"", PART("a") "x\r\n--b--", "a=x;"},
    {"quoted boundary with a blank", "multipart/form-data; boundary=\"b c\"", "--b c\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--b c--", "a=x;"},
    {"another parameter", "multipart/form-data; charset=utf-8; boundary=b", PART("a") "x\r\n--b--", "a=x;"},
    {"capital letters", "Multipart/Form-Data; Boundary=b", "--b\r\ncontent-disposition: FORM-DATA; NAME=a\r\n\r\nx\r\n--b--", "a=x;"},
    {"file", TYPE, "--b\r\nContent-Disposition: form-data; name=\"a\"; filename=\"f \\\".txt\"\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--", "a=x(f \\\".txt,text/plain);"},
    {"semicolon in a name", TYPE, "--b\r\nContent-Disposition: form-data; name=\"a;b\"\r\n\r\nx\r\n--b--", "a;b=x;"},
    {"an encoding that is none", TYPE, "--b\r\nContent-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: binary\r\n\r\nx\r\n--b--", "a=x;"},
    {"no type", "", PART("a") "x\r\n--b--", NULL},
    {"another type", "multipart/mixed; boundary=b", PART("a") "x\r\n--b--", NULL},
    {"a longer type", "multipart/form-datax; boundary=b", PART("a") "x\r\n--b--", NULL},
    {"no boundary", "multipart/form-data", PART("a") "x\r\n--b--", NULL},
    {"empty boundary", "multipart/form-data; boundary=\"\"", "--\r\n", NULL},
    {"two boundaries", TYPE "; boundary=c", PART("a") "x\r\n--b--", NULL},
    {"boundary that ends in a blank", "multipart/form-data; boundary=\"b \"", "--b \r\n", NULL},
    {"boundary with a bad character", "multipart/form-data; boundary=\"b\\\"\"", "--b\r\n", NULL},
    {"boundary of 71", "multipart/form-data; boundary=01234567890123456789012345678901234567890123456789012345678901234567890", "--b", NULL},
    {"empty", TYPE, "", NULL},
    {"preamble", TYPE, "hello\r\n" PART("a") "x\r\n--b--", NULL},
    {"line end before", TYPE, "\r\n" PART("a") "x\r\n--b--", NULL},
    {"no end", TYPE, PART("a") "x", NULL},
    {"no end but a boundary", TYPE, PART("a") "x\r\n--b\r\n", NULL},
    {"cut in the end", TYPE, PART("a") "x\r\n--b-", NULL},
    {"epilogue", TYPE, PART("a") "x\r\n--b--\r\nmore", NULL},
    {"boundary that goes on", TYPE, PART("a") "x\r\n--bb\r\n--b--", NULL},
    {"blank behind a boundary", TYPE, PART("a") "x\r\n--b \r\n--b--", NULL},
    {"line feeds alone", TYPE, "--b\nContent-Disposition: form-data; name=a\n\nx\n--b--", NULL},
    {"no disposition", TYPE, "--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--", NULL},
    {"no name", TYPE, "--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--", NULL},
    {"two names", TYPE, "--b\r\nContent-Disposition: form-data; name=a; name=b\r\n\r\nx\r\n--b--", NULL},
    {"two file names", TYPE, "--b\r\nContent-Disposition: form-data; name=a; filename=a; filename=b\r\n\r\nx\r\n--b--", NULL},
    {"two dispositions", TYPE, "--b\r\nContent-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b\r\n\r\nx\r\n--b--", NULL},
    {"an attachment", TYPE, "--b\r\nContent-Disposition: attachment; name=a\r\n\r\nx\r\n--b--", NULL},
    {"name without an end", TYPE, "--b\r\nContent-Disposition: form-data; name=\"a\r\n\r\nx\r\n--b--", NULL},
    {"backslash in a name", TYPE, "--b\r\nContent-Disposition: form-data; name=\"a\\\"b\"\r\n\r\nx\r\n--b--", NULL},
    {"something behind a name", TYPE, "--b\r\nContent-Disposition: form-data; name=\"a\"b\r\n\r\nx\r\n--b--", NULL},
    {"base64", TYPE, "--b\r\nContent-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64\r\n\r\neA==\r\n--b--", NULL},
    {"folded field", TYPE, "--b\r\nContent-Disposition: form-data;\r\n name=a\r\n\r\nx\r\n--b--", NULL},
    {"control character in a field", TYPE, "--b\r\nContent-Disposition: form-data; name=\"a\x01\"\r\n\r\nx\r\n--b--", NULL},
    {"no colon", TYPE, "--b\r\nContent-Disposition\r\n\r\nx\r\n--b--", NULL},
    {"no empty line", TYPE, "--b\r\nContent-Disposition: form-data; name=a\r\n--b--", NULL},
};
/* clang-format on */

static void read_all(const struct row *row, char *seen, size_t size)
{
    struct plat_multipart m;
    struct plat_part part;
    size_t n = 0;
    int r;

    seen[0] = '\0';
    if (!plat_multipart_init(&m, sv_str_of(row->type), sv_str_of(row->body))) {
        assert_non_null(m.why);
        assert_int_equal(plat_multipart_next(&m, &part), -1);
        strcpy(seen, "refused");
        return;
    }
    while ((r = plat_multipart_next(&m, &part)) > 0) {
        n += (size_t)snprintf(seen + n, size - n, "%.*s=%.*s", (int)part.name.len, part.name.ptr,
                              (int)part.body.len, part.body.ptr);
        if (part.is_file)
            n += (size_t)snprintf(seen + n, size - n, "(%.*s,%.*s)", (int)part.filename.len,
                                  part.filename.ptr, (int)part.type.len, part.type.ptr);
        n += (size_t)snprintf(seen + n, size - n, ";");
    }
    if (r < 0) {
        assert_non_null(m.why);
        strcpy(seen, "refused");
    }
    assert_int_equal(plat_multipart_next(&m, &part), r); /* it stays so */
}

static void reads(void **state)
{
    char seen[4096];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        read_all(&rows[i], seen, sizeof seen);
        if (strcmp(seen, rows[i].seen ? rows[i].seen : "refused") != 0)
            fail_msg("%s: %s", rows[i].what, seen);
    }
}

static void zeros(void **state)
{
    static const char body[] = PART("a") "\0\r\n\0\r\n--b--";
    struct plat_multipart m;
    struct plat_part part;

    (void)state;
    assert_true(plat_multipart_init(&m, sv_str_of(TYPE), (struct sv_str){body, sizeof body - 1}));
    assert_int_equal(plat_multipart_next(&m, &part), 1);
    assert_int_equal(part.body.len, 4);
    assert_memory_equal(part.body.ptr, "\0\r\n\0", 4);
    assert_int_equal(plat_multipart_next(&m, &part), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(reads), cmocka_unit_test(zeros)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
