/* Damaged objects: truncated, with bytes changed at random, with each number of a table replaced by
 * an extreme one. Every one is linked or refused in words; a sanitized build sees what is read or
 * written out of bounds. An argument is the number of random cases. */
#include "link.h"

#include "aot/object_elf.h"

static unsigned rounds = 4000;

static uint64_t random_state;
static uint32_t random_below(uint32_t n)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ z >> 31) % n);
}

/* What holds for every result. */
static void check_linked(const struct sv_linked *linked)
{
    uint32_t offset, size;

    assert_int_equal(linked->rodata_at % 4096, 0);
    assert_true(linked->text_len <= linked->rodata_at);
    for (uint32_t i = 0; i < linked->nsymbols; i++) {
        const struct sv_object_symbol *s = &linked->symbols[i];

        assert_true((size_t)s->offset + s->size <= linked->rodata_at + linked->rodata_len);
        assert_true(sv_linked_symbol(linked, s->name, &offset, &size));
        assert_int_equal(offset, s->offset);
    }
    for (uint32_t i = 0; i < linked->nlines; i++)
        assert_true(linked->lines[i].code_offset <= linked->text_len);
    for (uint32_t i = 1; i < linked->nlines; i++)
        assert_true(linked->lines[i].code_offset > linked->lines[i - 1].code_offset);
    for (uint32_t i = 0; i < linked->nunwind; i++)
        assert_true(
            linked->unwind[i].code_offset <= linked->text_len &&
            (linked->unwind[i].frame < linked->nframes || linked->unwind[i].frame == UINT32_MAX));
    for (uint32_t i = 1; i < linked->nunwind; i++)
        assert_true(linked->unwind[i].code_offset > linked->unwind[i - 1].code_offset);
}

static bool link_pair(struct file first, struct file second)
{
    struct sv_object_input in[] = {{first.bytes, first.len}, {second.bytes, second.len}};
    struct sv_err err = {0};
    struct sv_linked *linked = NULL;

    if (sv_objects_link(&err, in, 2, 4096, &linked) < 0) {
        assert_int_not_equal(err.code, 0);
        assert_true(err.text[0] != '\0');
        return false;
    }
    check_linked(linked);
    sv_linked_delete(linked);
    return true;
}

static void compile_pair(int machine, struct file *ret_first, struct file *ret_second)
{
    compile(machine, "first.c", "-gline-tables-only", "first.o");
    compile(machine, "second.c",
            "-gline-tables-only -ffunction-sections -fasynchronous-unwind-tables", "second.o");
    *ret_first = file_read("first.o");
    *ret_second = file_read("second.o");
    assert_true(link_pair(*ret_first, *ret_second));
}

static void truncated(void **state)
{
    (void)state;
    if (!have_tool("clang-22"))
        skip();
    for (int machine = 0; machine < MACHINES; machine++) {
        struct file first, second, cut;

        compile_pair(machine, &first, &second);
        for (size_t len = 0; len < second.len; len++) {
            cut = (struct file){malloc(len ? len : 1), len};
            assert_non_null(cut.bytes);
            memcpy(cut.bytes, second.bytes, len);
            assert_false(link_pair(first, cut)); /* the section headers come last */
            free(cut.bytes);
        }
        free(first.bytes);
        free(second.bytes);
    }
}

static void changed(void **state)
{
    unsigned linked = 0;

    (void)state;
    if (!have_tool("clang-22"))
        skip();
    for (int machine = 0; machine < MACHINES; machine++) {
        struct file first, second;

        compile_pair(machine, &first, &second);
        for (unsigned i = 0; i < rounds; i++) {
            uint8_t before[4];
            uint32_t at[4], n = 1 + i % 4;

            random_state = (uint64_t)i << 8 | (unsigned)machine;
            for (uint32_t k = 0; k < n; k++) {
                at[k] = random_below((uint32_t)second.len);
                before[k] = second.bytes[at[k]];
                second.bytes[at[k]] = i % 2 ? (uint8_t)random_below(256)
                                            : (uint8_t)(before[k] ^ 1u << random_below(8));
            }
            linked += link_pair(first, second);
            while (n-- > 0)
                second.bytes[at[n]] = before[n];
        }
        free(first.bytes);
        free(second.bytes);
    }
    assert_true(linked > 0);
}

/* Each 2, 4 and 8 bytes of the header and the tables at an extreme. */
static void extremes(void **state)
{
    static const uint64_t values[] = {0,          1,          0x7fff,
                                      0xffff,     0x7fffffff, 0x80000000,
                                      0xffffffff, INT64_MAX,  (uint64_t)INT64_MIN,
                                      UINT64_MAX};

    (void)state;
    if (!have_tool("clang-22"))
        skip();
    for (int machine = 0; machine < MACHINES; machine++) {
        struct file first, second;

        compile_pair(machine, &first, &second);
        for (size_t width = 2; width <= 8; width *= 2)
            for (size_t at = 0; at + width <= second.len; at += width)
                for (size_t i = 0; i < SV_COUNT(values); i++) {
                    uint8_t before[8];

                    memcpy(before, second.bytes + at, width);
                    memcpy(second.bytes + at, &values[i], width);
                    link_pair(first, second);
                    memcpy(second.bytes + at, before, width);
                }
        free(first.bytes);
        free(second.bytes);
    }
}

/* Each allocation fails once (where the hook is compiled in). */
static void no_memory(void **state)
{
    (void)state;
#ifdef SV_TORTURE
    if (!have_tool("clang-22"))
        skip();
    for (int machine = 0; machine < MACHINES; machine++) {
        struct file first, second;
        unsigned long before, count;

        compile_pair(machine, &first, &second);
        before = sv_alloc_count();
        assert_true(link_pair(first, second));
        count = sv_alloc_count() - before;
        for (unsigned long i = 1; i <= count; i++) {
            struct sv_object_input in[] = {{first.bytes, first.len}, {second.bytes, second.len}};
            struct sv_err err = {0};
            struct sv_linked *linked = NULL;
            int r;

            sv_alloc_fail_at(i);
            r = sv_objects_link(&err, in, 2, 4096, &linked);
            sv_alloc_fail_at(0);
            assert_true(r == SV_ENOMEM || r == 0); /* 0: where only a block was to shrink */
            sv_linked_delete(linked);
        }
        free(first.bytes);
        free(second.bytes);
    }
#else
    skip();
#endif
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(truncated),
        cmocka_unit_test(changed),
        cmocka_unit_test(extremes),
        cmocka_unit_test(no_memory),
    };

    if (argc > 1)
        rounds = (unsigned)strtoul(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
