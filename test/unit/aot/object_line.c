/* Line rows of linked code against llvm-dwarfdump on what ld.lld makes of the same objects, byte of
 * code by byte; and line programs written by hand, good and damaged. */
#include "link.h"

#include <limits.h>

#include "aot/object_elf.h"

/* The line of each byte of the text, 0 = none. A row holds up to the next one of its sequence. */
static void read_dump(uint32_t *lines, size_t len, unsigned *ret_rows)
{
    char path[512], text[512];
    unsigned long long at, last_at = 0;
    unsigned long line, last_line = 0;
    FILE *f;

    snprintf(path, sizeof path, "%s/dump", scratch);
    f = fopen(path, "r");
    assert_non_null(f);
    *ret_rows = 0;
    while (fgets(text, sizeof text, f)) {
        if (text[0] != '0' || text[1] != 'x' || sscanf(text, "%llx %lu", &at, &line) != 2)
            continue;
        assert_true(at <= len);
        for (; last_at < at && last_line != ULONG_MAX; last_at++)
            lines[last_at] = (uint32_t)last_line;
        last_at = at;
        last_line = strstr(text, "end_sequence") ? ULONG_MAX : line;
        *ret_rows += 1;
    }
    fclose(f);
}

static void check_form(const struct sv_linked *linked)
{
    for (uint32_t i = 0; i < linked->nlines; i++) {
        assert_true(linked->lines[i].code_offset <= linked->text_len);
        if (i == 0)
            continue;
        assert_true(linked->lines[i].code_offset > linked->lines[i - 1].code_offset);
        assert_int_not_equal(linked->lines[i].wasm_offset, linked->lines[i - 1].wasm_offset);
    }
}

static void compare_with_dump(int machine, const char *names)
{
    struct sv_linked *linked = link_good(names, 4096);
    uint32_t *expected = calloc(linked->text_len + 1, sizeof *expected);
    uint32_t next = 0, line = 0;
    unsigned rows;

    assert_non_null(expected);
    link_other(names, linked, machine, "other.elf");
    assert_true(run_tool("cd '%s' && llvm-dwarfdump-22 --debug-line other.elf >dump", scratch));
    read_dump(expected, linked->text_len, &rows);
    assert_true(rows > 5);
    check_form(linked);
    for (size_t at = 0; at < linked->text_len; at++) {
        if (next < linked->nlines && linked->lines[next].code_offset == at)
            line = linked->lines[next++].wasm_offset;
        if (line != expected[at])
            fail_msg("%s, %s: code 0x%zx: %u, not %u", machines[machine], names, at, line,
                     expected[at]);
    }
    if (next < linked->nlines) { /* what ends the last sequence */
        assert_int_equal(linked->lines[next].code_offset, linked->text_len);
        assert_int_equal(linked->lines[next++].wasm_offset, 0);
    }
    assert_int_equal(next, linked->nlines);
    free(expected);
    sv_linked_delete(linked);
}

static void rows_of_dwarfdump(void **state)
{
    static const char *const flags[] = {"-gline-tables-only", "-gline-tables-only -gdwarf-4",
                                        "-gline-tables-only -ffunction-sections",
                                        "-gline-tables-only -O0", "-g -gdwarf-5"};

    (void)state;
    if (!have_tool("clang-22") || !have_tool("ld.lld-22") || !have_tool("llvm-dwarfdump-22"))
        skip();
    for (int machine = 0; machine < MACHINES; machine++) {
        compile_text(machine, "c", "", "int part_plain(int x) { return x * 3; }", "plain.o");
        for (size_t i = 0; i < SV_COUNT(flags); i++) {
            compile(machine, "first.c", flags[i], "first.o");
            compile(machine, "second.c", flags[(i + 1) % SV_COUNT(flags)], "second.o");
            compare_with_dump(machine, "first.o second.o plain.o");
            compare_with_dump(machine, "plain.o second.o first.o");
        }
        compile(machine, "lines.ll", "", "lines.o");
        compare_with_dump(machine, "lines.o");
        compile(machine, "lines.ll", "-O0", "lines.o");
        compare_with_dump(machine, "plain.o lines.o");
    }
}

static void no_lines(void **state)
{
    struct sv_linked *linked;

    (void)state;
    if (!have_tool("clang-22"))
        skip();
    compile_text(X86_64, "c", "", "int part_plain(int x) { return x * 3; }", "plain.o");
    linked = link_good("plain.o", 4096);
    assert_int_equal(linked->nlines, 0);
    assert_null(linked->lines);
    sv_linked_delete(linked);
}

/* ---- By hand ---- */

/* 64 bytes of text, and .debug_line with the given fields and program. */
#define HEAD(version, extra, min, ops, range, base)                                                \
    ".text\n.globl code\ncode: .space 64, 0x90\n.globl code_end\ncode_end:\n"                      \
    ".section .debug_line,\"\",@progbits\n"                                                        \
    ".long 9f - 0f\n0: .short " version "\n" extra ".long 2f - 1f\n"                               \
    "1: .byte " min ", " ops ", 1, -3, " range ", " base "\n"                                      \
    ".byte 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1\n.byte 0, 0\n2:\n"
#define V4 HEAD("4", "", "1", "1", "12", "13")
#define V5 HEAD("5", ".byte 8, 0\n", "1", "1", "12", "13")
#define ADDRESS(where) ".byte 0, 9, 2\n.quad " where "\n"
#define END ".byte 0, 1, 1\n9:\n"

/* "code:wasm code:wasm ..." */
static void expect_rows(const char *text, const char *rows)
{
    struct sv_err err = {0};
    struct sv_linked *linked = link_text(&err, text);
    char buf[512] = "";
    size_t len = 0;

    if (!linked)
        fail_msg("%s", err.text);
    for (uint32_t i = 0; i < linked->nlines; i++)
        len += (size_t)snprintf(buf + len, sizeof buf - len, "%s%u:%u", i ? " " : "",
                                linked->lines[i].code_offset, linked->lines[i].wasm_offset);
    assert_string_equal(buf, rows);
    sv_linked_delete(linked);
}

/* clang-format off */
static void by_hand(void **state)
{
    (void)state;
    if (!have_tool("clang-22"))
        skip();
    /* copy; special opcodes: 13 + 3 + 2 + 12 * 4 is 4 bytes and 2 lines; const_add_pc is 20 bytes
     */
    expect_rows(V4 ADDRESS("code") ".byte 3, 9, 1, 66, 8, 1, 9, 3, 0, 1, 2, 5\n" END,
                "0:10 4:12 32:0");
    expect_rows(V5 ADDRESS("code") ".byte 3, 9, 1, 66, 8, 3, 1, 1, 9\n.short 3\n.byte 3, 3, 1\n"
                                   ".byte 2, 5\n" END,
                "0:10 4:12 24:13 27:16 32:0");
    /* of two rows at one address the last counts; columns, files, unknown opcodes, zero lines */
    expect_rows(V5 ADDRESS("code + 8") ".byte 1, 5, 0x81, 1, 4, 2, 6, 7, 10, 11, 12, 3\n"
                                       ".byte 0, 3, 9, 0, 0, 3, 9, 1, 2, 8, 3, 0x76, 1\n"
                                       ".byte 0, 2, 4, 9, 2, 8, 3, 0x87, 0, 1, 2, 8\n" END,
                "8:10 16:0 24:7 32:0");
    /* descending sequences, the first of them empty, a gap, and a neighbour with the same line */
    expect_rows(V4 ADDRESS("code + 64") ".byte 1, 0, 1, 1\n"
                   ADDRESS("code + 32") ".byte 3, 4, 1, 2, 8, 0, 1, 1\n"
                   ADDRESS("code + 16") ".byte 3, 4, 1, 2, 8, 0, 1, 1\n"
                   ADDRESS("code + 24") ".byte 3, 4, 1, 2, 8, 0, 1, 1\n"
                   ADDRESS("code") ".byte 3, 5, 1, 2, 8\n" END,
                "0:6 8:0 16:5 40:0");
    expect_rows(V4 "9:\n", "");
    expect_rows(".text\nnop\n.section .debug_line,\"\",@progbits\n", "");
}

static void damaged(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {V4 ADDRESS("code") ".byte 1, 2, 65\n" END, "an address outside its section"},
        {V4 ADDRESS(
             "code") ".byte 1, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1\n" END,
         "an address outside its section"},
        {V4 ADDRESS("code + 65") ".byte 1\n" END, "an address outside its section"},
        {V4 ADDRESS("code - 1") ".byte 1\n" END, "an address outside its section"},
        {V4 ADDRESS("0") ".byte 1\n" END, "an address without its relocation"},
        {V4 ADDRESS("nowhere") ".byte 1\n" END, "an address that is not of code"},
        {V4 ADDRESS("2b") ".byte 1\n" END, "an address that is not of code"},
        {V4 ".byte 0, 5, 2\n.long code\n.byte 1\n" END, "an address that is not of 64 bits"},
        {V4 ADDRESS("code + 8") ".byte 1\n" ADDRESS("code") ".byte 1\n" END,
         "addresses do not ascend"},
        {V4 ".byte 1\n" END, "a row without an address"},
        {V4 END, "a row without an address"},
        {V4 ADDRESS("code") ".byte 3, 0x7e, 1\n" END, "a line beyond 32 bits"},
        {V4 ADDRESS("code") ".byte 3, 0xff, 0xff, 0xff, 0xff, 15, 1\n" END,
         "a line beyond 32 bits"},
        {V4 ADDRESS(
             "code") ".byte 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 1\n" END,
         "a line beyond 32 bits"},
        {V4 ADDRESS("code") ".byte 1\n9:\n", "a sequence without an end"},
        {V4 ADDRESS("code") ".byte 1, 2, 0x80\n9:\n", "unexpected end"},
        {V4 ADDRESS("code") ".byte 0\n9:\n", "unexpected end"},
        {V4 ADDRESS("code") ".byte 0, 0\n" END, "an opcode beyond the end"},
        {V4 ADDRESS("code") ".byte 0, 4, 9\n9:\n", "an opcode beyond the end"},
        {V4 ADDRESS("code") ".byte 9, 1\n9:\n", "an opcode beyond the end"},
        {HEAD("3", "", "1", "1", "12", "13") END, "neither DWARF 4 nor 5"},
        {HEAD("6", "", "1", "1", "12", "13") END, "neither DWARF 4 nor 5"},
        {HEAD("5", ".byte 4, 0\n", "1", "1", "12", "13") END, "addresses that are not of 64 bits"},
        {HEAD("4", "", "1", "1", "0", "13") END, "a bad header"},
        {HEAD("4", "", "1", "1", "12", "9") END, "a bad header"},
        {HEAD("4", "", "1", "1", "12", "100") END, "a bad header"},
        {HEAD("4", "", "1", "4", "12", "13") END, "several operations an instruction"},
        {".section .debug_line,\"\",@progbits\n.short 3", "a unit without a header"},
        {".section .debug_line,\"\",@progbits\n.long 1\n.byte 4", "a unit without a header"},
        {".section .debug_line,\"\",@progbits\n.long 4\n.short 4, 0", "a unit without a header"},
        {".section .debug_line,\"\",@progbits\n.long 20\n.short 4, 0", "a unit beyond the section"},
        {".section .debug_line,\"\",@progbits\n.long -1\n.quad 4", "a unit beyond the section"},
        {".section .debug_line,\"\",@progbits\n.long 8\n.short 4\n.long 6\n.short 0",
         "a header beyond its unit"},
    };

    (void)state;
    if (!have_tool("clang-22"))
        skip();
    for (size_t i = 0; i < SV_COUNT(cases); i++) {
        struct sv_err err = {0};
        char message[128];

        assert_null(link_text(&err, cases[i].text));
        assert_int_equal(err.code, SV_EMALFORMED);
        snprintf(message, sizeof message, "object 0: line table: %s", cases[i].message);
        assert_string_equal(err.text, message);
    }
}

/* clang-format on */
static void overlapping(void **state)
{
    struct sv_err err = {0};

    (void)state;
    if (!have_tool("clang-22"))
        skip();
    assert_null(link_text(&err, V4 ADDRESS("code") ".byte 1, 2, 8, 0, 1, 1\n" ADDRESS(
                                    "code + 7") ".byte 1, 2, 8\n" END));
    assert_string_equal(err.text, "line tables: two sequences for the code at 0x7");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_dwarfdump), cmocka_unit_test(no_lines),
        cmocka_unit_test(by_hand),           cmocka_unit_test(damaged),
        cmocka_unit_test(overlapping),
    };

    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
