/* Allocation, arenas and pages: edges of sizes, limits, alignment, the failure hook. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/pages.h"

static void sizes(void **state)
{
    volatile size_t most = SIZE_MAX; /* hidden from the compiler, which would object */
    size_t r = 7;

    (void)state;
    assert_true(sv_mul_size(0, SIZE_MAX, &r) && r == 0);
    assert_true(sv_mul_size(SIZE_MAX, 1, &r) && r == SIZE_MAX);
    r = 7;
    assert_false(sv_mul_size(SIZE_MAX / 2 + 1, 2, &r));
    assert_int_equal(r, 7);
    assert_true(sv_add_size(SIZE_MAX - 1, 1, &r) && r == SIZE_MAX);
    assert_false(sv_add_size(SIZE_MAX, 1, &r));
    assert_null(sv_alloc_array(SIZE_MAX / 4, 8));
    assert_null(sv_alloc_array_zero(SIZE_MAX / 4, 8));
    assert_null(sv_alloc(most));
    assert_null(sv_alloc_zero(most / 2 + 1));
    assert_null(sv_strndup("x", SIZE_MAX));
}

static void blocks(void **state)
{
    void *p = sv_alloc(0);
    unsigned char *zero = sv_alloc_array_zero(10, 10);
    char *copy;

    (void)state;
    assert_non_null(p); /* NULL always means failure */
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(zero[i], 0);
    p = sv_realloc(p, 100);
    assert_non_null(p);
    sv_free(p);
    sv_free(zero);
    sv_free(NULL);
    copy = sv_strdup("abc");
    assert_string_equal(copy, "abc");
    sv_free(copy);
    copy = sv_strndup("abc", 2);
    assert_string_equal(copy, "ab");
    sv_free(copy);
    copy = sv_strndup(NULL, 0);
    assert_string_equal(copy, "");
    sv_free(copy);
}

/* The hook is compiled in with SV_TORTURE only. */
static void failure_hook(void **state)
{
    void *p;

    (void)state;
    sv_alloc_fail_at(2);
    p = sv_alloc(1);
    assert_non_null(p);
    sv_free(p);
    p = sv_alloc(1);
#ifdef SV_TORTURE
    assert_null(p);
    assert_true(sv_alloc_count() >= 2);
#else
    assert_non_null(p);
    assert_int_equal(sv_alloc_count(), 0);
#endif
    sv_free(p);
    p = sv_alloc(1);
    assert_non_null(p);
    sv_free(p);
    sv_alloc_fail_at(0);
}

static void arena(void **state)
{
    struct sv_arena a;
    unsigned char *p[200];

    (void)state;
    sv_arena_init(&a, 0);
    for (unsigned i = 0; i < 200; i++) {
        size_t size = i * i * 7 % 5000;

        p[i] = sv_arena_alloc(&a, size);
        assert_non_null(p[i]);
        assert_int_equal((uintptr_t)p[i] % 16, 0);
        memset(p[i], (int)i, size);
    }
    for (unsigned i = 0; i < 200; i++) /* nothing overlaps */
        for (size_t k = 0; k < i * i * 7 % 5000; k++)
            assert_int_equal(p[i][k], i);
    assert_non_null(sv_arena_alloc(&a, 5 << 20));
    assert_non_null(sv_arena_alloc(&a, 0));
    assert_string_equal(sv_arena_strndup(&a, "hello", 4), "hell");
    assert_null(sv_arena_alloc(&a, SIZE_MAX));
    assert_null(sv_arena_alloc(&a, PTRDIFF_MAX));
    assert_null(sv_arena_array_zero(&a, SIZE_MAX / 8, 16));
    assert_null(sv_arena_strndup(&a, "x", SIZE_MAX));
    p[0] = sv_arena_zero(&a, 3000);
    for (unsigned i = 0; i < 3000; i++)
        assert_int_equal(p[0][i], 0);
    sv_arena_release(&a);
    assert_int_equal(a.used, 0);
    p[0] = sv_arena_alloc(&a, 10); /* may be used again */
    assert_non_null(p[0]);
    sv_arena_release(&a);
}

static void arena_limit(void **state)
{
    struct sv_arena a;
    size_t got = 0;

    (void)state;
    sv_arena_init(&a, 10000);
    while (sv_arena_alloc(&a, 100))
        got += 100;
    assert_in_range(got, 5000, 10000);
    assert_in_range(a.used, got, 10000);
    assert_null(sv_arena_alloc(&a, 20000));
    sv_arena_release(&a);
}

static void pages(void **state)
{
    size_t page = sv_page_size();
    unsigned char *p = sv_pages_reserve(100 * page + 1);

    (void)state;
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % page, 0);
    assert_true(sv_pages_commit(p + page, 2 * page));
    p[page] = p[3 * page - 1] = 9;
    sv_pages_clear(p + page, 2 * page);
    assert_int_equal(p[page], 0);
    p[page] = 9;
    assert_true(sv_pages_decommit(p + page, page));
    assert_true(sv_pages_commit(p + page, page));
    assert_int_equal(p[page], 0); /* the contents did not come back */
    assert_int_equal(p[3 * page - 1], 0);
    assert_true(sv_pages_commit(p, 0) && sv_pages_decommit(p, 0));
    sv_pages_release(p, 100 * page + 1);
    sv_pages_release(NULL, page);
    assert_null(sv_pages_reserve(0));
    assert_null(sv_pages_reserve(SIZE_MAX));
    assert_null(sv_pages_reserve(SIZE_MAX / 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes), cmocka_unit_test(blocks),      cmocka_unit_test(failure_hook),
        cmocka_unit_test(arena), cmocka_unit_test(arena_limit), cmocka_unit_test(pages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
