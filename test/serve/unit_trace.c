/* Trace context: what is a traceparent, by W3C's recommendation, and what goes on from it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "serve/trace.h"

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"
#define OURS "0123456789abcdef"

static void reads(void **state)
{
    static const struct {
        const char *value, *wanted; /* NULL: refused */
    } cases[] = {
        {"00-" TRACE "-" SPAN "-01", "00-" TRACE "-" OURS "-01"},
        {"00-" TRACE "-" SPAN "-00", "00-" TRACE "-" OURS "-00"},
        {"00-" TRACE "-" SPAN "-03", "00-" TRACE "-" OURS "-01"},
        {"00-" TRACE "-" SPAN "-fe", "00-" TRACE "-" OURS "-00"},
        /* versions to come */
        {"01-" TRACE "-" SPAN "-01", "00-" TRACE "-" OURS "-01"},
        {"cc-" TRACE "-" SPAN "-01-what.the-future", "00-" TRACE "-" OURS "-01"},
        {"cc-" TRACE "-" SPAN "-01.what", NULL},
        {"ff-" TRACE "-" SPAN "-01", NULL},
        {"00-" TRACE "-" SPAN "-01-more", NULL},
        {"00-" TRACE "-" SPAN "-01 ", NULL},
        {"00-" TRACE "-" SPAN "-0", NULL},
        {"00-" TRACE "-" SPAN, NULL},
        {"", NULL},
        {"00-00000000000000000000000000000000-" SPAN "-01", NULL},
        {"00-" TRACE "-0000000000000000-01", NULL},
        {"00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01", NULL},
        {"00-" TRACE "-00F067AA0BA902B7-01", NULL},
        {"00-" TRACE "-" SPAN "-0A", NULL},
        {"0x-" TRACE "-" SPAN "-01", NULL},
        {"00_" TRACE "-" SPAN "-01", NULL},
        {"00-4bf92f3577b34da6a3ce929d0e0e473-" SPAN "-011", NULL},
        {".0-" TRACE "-" SPAN "-01", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char ret[SRV_TRACE_LEN + 1] = "";
        bool ok = srv_trace_read(cases[i].value, strlen(cases[i].value), OURS, ret);

        if (ok != (cases[i].wanted != NULL) || (ok && strcmp(ret, cases[i].wanted) != 0))
            fail_msg("'%s' gives '%s'", cases[i].value, ok ? ret : "nothing");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
