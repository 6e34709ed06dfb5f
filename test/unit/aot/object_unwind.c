/* The unwind table of linked code against llvm-dwarfdump's rows of the same objects, byte of code
 * by byte; and tables written by hand, good and damaged. */
#include "link.h"

#include "aot/object_elf.h"

#define UNKNOWN UINT32_MAX

/* What is known at a byte of code. */
static struct sv_object_frame frame_at(const struct sv_linked *linked, uint32_t at)
{
    uint32_t i = 0;

    while (i < linked->nunwind && linked->unwind[i].code_offset <= at)
        i++;
    if (i == 0 || linked->unwind[i - 1].frame == UNKNOWN)
        return (struct sv_object_frame){.cfa_register = UNKNOWN};
    return linked->frames[linked->unwind[i - 1].frame];
}

static void check_form(const struct sv_linked *linked)
{
    for (uint32_t i = 0; i < linked->nunwind; i++) {
        const struct sv_object_unwind *row = &linked->unwind[i];

        assert_true(row->code_offset <= linked->text_len);
        assert_true(row->frame < linked->nframes || row->frame == UNKNOWN);
        if (i == 0)
            continue;
        assert_true(row->code_offset > row[-1].code_offset);
        assert_int_not_equal(row->frame, row[-1].frame);
    }
    for (uint32_t i = 0; i < linked->nframes; i++)
        for (uint32_t k = 0; k < i; k++)
            assert_memory_not_equal(&linked->frames[i], &linked->frames[k], sizeof *linked->frames);
}

/* "REG=[CFA-8]" in a row, or 0. */
static uint32_t below_of(const char *row, const char *name)
{
    const char *at = strstr(row, name);

    return at ? (uint32_t)strtoul(at + strlen(name), NULL, 10) : 0;
}

/* "  0x10: CFA=RSP+16: RBP=[CFA-16], RIP=[CFA-8]" */
static void read_row(int machine, const char *row, struct sv_object_frame *ret)
{
    static const char *const names[MACHINES][3] = {{"RSP", "RBP", "R11"}, {"WSP", "W29", "W9"}};
    static const uint32_t numbers[MACHINES][3] = {{7, 6, 11}, {31, 29, 9}};
    const char *cfa = strstr(row, "CFA=");

    assert_non_null(cfa);
    cfa += 4;
    ret->cfa_register = 0;
    for (int i = 0; i < 3; i++)
        if (strncmp(cfa, names[machine][i], strlen(names[machine][i])) == 0) {
            ret->cfa_register = numbers[machine][i];
            cfa += strlen(names[machine][i]);
            break;
        }
    assert_int_not_equal(ret->cfa_register, 0);
    ret->cfa_offset = *cfa == '+' ? (uint32_t)strtoul(cfa + 1, NULL, 10) : 0;
    ret->ret_below = below_of(row, machine == X86_64 ? "RIP=[CFA-" : "W30=[CFA-");
    ret->fp_below = below_of(row, machine == X86_64 ? "RBP=[CFA-" : "W29=[CFA-");
}

/* What the dump says of each byte of the text. */
static unsigned read_dump(int machine, struct sv_object_frame *frames, size_t len)
{
    char path[512], text[1024];
    unsigned long long at, start = 0, end = 0, id;
    unsigned rows = 0;
    FILE *f;

    snprintf(path, sizeof path, "%s/dump", scratch);
    f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(text, sizeof text, f)) {
        const char *place = strstr(text, " FDE cie=");

        if (place && sscanf(place, " FDE cie=%llx pc=%llx...%llx", &id, &start, &end) == 3) {
            assert_true(end <= len);
            continue;
        }
        if (sscanf(text, " 0x%llx", &at) != 1 || !strstr(text, ": CFA="))
            continue;
        assert_true(at >= start && at < end);
        for (unsigned long long offset = at; offset < end; offset++)
            read_row(machine, text, &frames[offset]);
        rows++;
    }
    fclose(f);
    return rows;
}

static void compare_with_dump(int machine, const char *names)
{
    struct sv_linked *linked = link_good(names, 4096);
    struct sv_object_frame *expected = calloc(linked->text_len + 1, sizeof *expected), found;

    assert_non_null(expected);
    for (size_t at = 0; at < linked->text_len; at++)
        expected[at].cfa_register = UNKNOWN;
    link_unwinding(names, linked, machine, "other.elf");
    assert_true(run_tool("cd '%s' && llvm-dwarfdump-22 --eh-frame other.elf >dump", scratch));
    assert_true(read_dump(machine, expected, linked->text_len) > 4);
    check_form(linked);
    for (uint32_t at = 0; at < linked->text_len; at++) {
        found = frame_at(linked, at);
        if (memcmp(&found, &expected[at], sizeof found) != 0)
            fail_msg("%s, %s: code 0x%x: %u+%u, %u, %u, not %u+%u, %u, %u", machines[machine],
                     names, at, found.cfa_register, found.cfa_offset, found.ret_below,
                     found.fp_below, expected[at].cfa_register, expected[at].cfa_offset,
                     expected[at].ret_below, expected[at].fp_below);
    }
    free(expected);
    sv_linked_delete(linked);
}

#define ASYNC "-fasynchronous-unwind-tables"

/* Frames of all sizes, in one of two objects. */
static const char sizes[] =
    "long part_use(char *, long, long, long, long, long, long, long, long);\n"
    "#define F(name, n) long name(long a) { char x[n];\\\n"
    "  if (a & 1) return a * 7; a += part_use(x, a, 1, 2, 3, 4, 5, 6, 7);\\\n"
    "  return a * part_use(x, a, a, a, a, a, a, a, a); }\n"
    "F(part_a, 8) F(part_b, 3000) F(part_c, 9000) F(part_d, 90000)\n";
static const char user[] = "long part_use(char *p, long a, long b, long c, long d, long e, long f,"
                           " long g, long h) { return *p + a + b * c - d * e + f * g + h; }\n"
                           "typedef long v __attribute__((vector_size(64)));\n"
                           "void part_over(v *); long part_align(v *p) { v x = p[1], y;\n"
                           " part_over(&y); return (x + y)[3]; } void part_over(v *p) { *p = *p * "
                           "3; }\n";

static void rows_of_dwarfdump(void **state)
{
    static const char *const flags[] = {
        ASYNC " -fomit-frame-pointer -fstack-clash-protection",
        ASYNC " -fno-omit-frame-pointer",
        ASYNC " -fomit-frame-pointer -ffunction-sections -Os",
        ASYNC " -O0",
        "-funwind-tables",
    };

    (void)state;
    if (!have_tool("clang-22") || !have_tool("ld.lld-22") || !have_tool("llvm-dwarfdump-22"))
        skip();
    for (int machine = 0; machine < MACHINES; machine++) {
        compile_text(machine, "c", "-fno-asynchronous-unwind-tables",
                     "int part_plain(int x) { return x * 3; }", "plain.o");
        for (size_t i = 0; i < SV_COUNT(flags); i++) {
            compile(machine, "first.c", flags[i], "first.o");
            compile(machine, "second.c", flags[(i + 1) % SV_COUNT(flags)], "second.o");
            compare_with_dump(machine, "first.o plain.o second.o");
            compile_text(machine, "c", flags[i], sizes, "sizes.o");
            compile_text(machine, "c", flags[(i + 2) % SV_COUNT(flags)], user, "user.o");
            compare_with_dump(machine, "sizes.o user.o");
        }
    }
}

static void no_table(void **state)
{
    struct sv_linked *linked;

    (void)state;
    if (!have_tool("clang-22"))
        skip();
    compile_text(X86_64, "c", "-fno-asynchronous-unwind-tables",
                 "int part_plain(int x) { return x * 3; }", "plain.o");
    linked = link_good("plain.o", 4096);
    assert_int_equal(linked->nunwind + linked->nframes, 0);
    assert_null(linked->unwind);
    sv_linked_delete(linked);
}

/* ---- By hand ---- */

/* 64 bytes of text, and .eh_frame with the given head, place and instructions. */
#define TEXT ".text\n.globl code\ncode: .space 64, 0x90\n"
#define SECTION ".section .eh_frame,\"a\",@progbits\n"
#define CIE(version, kind, aligns, reg, encoding, program)                                         \
    "0: .long 2f - 1f\n1: .long 0\n.byte " version "\n.asciz \"" kind "\"\n.byte " aligns ", " reg \
    ", 1, " encoding "\n.byte " program "\n2:\n"
#define GOOD_CIE CIE("1", "zR", "1, 0x78", "16", "0x1b", "12, 7, 8, 0x90, 1")
#define FDE(where, len, program)                                                                   \
    "4: .long 6f - 5f\n5: .long 5b - 0b\n.long " where "\n.long " len "\n.byte 0\n.byte " program  \
    "\n6:\n"
#define TABLE(program) TEXT SECTION GOOD_CIE FDE("code - .", "64", program)

/* "code:register+offset,ret,fp ..." or "code:?" */
static void expect_rows(const char *text, const char *rows)
{
    struct sv_err err = {0};
    struct sv_linked *linked = link_text(&err, text);
    char buf[512] = "";
    size_t len = 0;

    if (!linked)
        fail_msg("%s", err.text);
    check_form(linked);
    for (uint32_t i = 0; i < linked->nunwind; i++) {
        const struct sv_object_unwind *row = &linked->unwind[i];
        struct sv_object_frame f = frame_at(linked, row->code_offset);

        len +=
            (size_t)snprintf(buf + len, sizeof buf - len, "%s%u:", i ? " " : "", row->code_offset);
        len += (size_t)(f.cfa_register == UNKNOWN
                            ? snprintf(buf + len, sizeof buf - len, "?")
                            : snprintf(buf + len, sizeof buf - len, "%u+%u,%u,%u", f.cfa_register,
                                       f.cfa_offset, f.ret_below, f.fp_below));
    }
    assert_string_equal(buf, rows);
    sv_linked_delete(linked);
}

/* clang-format off */
static void by_hand(void **state)
{
    (void)state;
    if (!have_tool("clang-22"))
        skip();
    expect_rows(TABLE("0"), "0:7+8,8,0 64:?");
    /* advances of each width; offset, register, both; the frame pointer saved, and restored */
    expect_rows(TABLE("0x41, 14, 16, 2, 2, 0x86, 2, 3, 3, 0, 13, 6, 4, 4, 0, 0, 0, 12, 7, 8, 0xc6"),
                "0:7+8,8,0 1:7+16,8,0 3:7+16,8,16 6:6+16,8,16 10:7+8,8,0 64:?");
    /* states are remembered; what is the same is no row; other registers do not matter */
    expect_rows(TABLE("0x41, 14, 24, 10, 0x41, 14, 8, 0x41, 11, 0x41, 0x83, 3, 0x41, 5, 12, 4, 0x2e, 9"),
                "0:7+8,8,0 1:7+24,8,0 2:7+8,8,0 3:7+24,8,0 64:?");
    /* the signed forms */
    expect_rows(TABLE("0x41, 18, 7, 0x7e, 0x41, 19, 0x7d, 17, 6, 3"), "0:7+8,8,0 1:7+16,8,0 2:7+24,8,24 64:?");
    /* what a row cannot say: a CFA below its register (-16), and back */
    expect_rows(TABLE("0x41, 14, 0xf0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0x41, 14, 8"), "0:7+8,8,0 1:? 2:7+8,8,0 64:?");
    /* expressions, places above, and back */
    expect_rows(TABLE("0x41, 15, 1, 0x30, 0x41, 12, 7, 8, 0x41, 16, 6, 1, 0x30, 0x41, 8, 6, 0x41, 7, 16, 0x41, 0xd0,"
                      "0x41, 18, 7, 1, 0x41, 12, 7, 8, 0x41, 9, 6, 3, 0x41, 6, 6, 0x41, 20, 6, 1, 0x41, 22, 6, 1, 0, 0x41, 21, 6, 1"),
                "0:7+8,8,0 1:? 2:7+8,8,0 3:? 4:7+8,8,0 5:? 6:7+8,8,0 7:? 8:7+8,8,0 9:? 10:7+8,8,0 11:?");
}

static void damaged(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {TABLE("0x7f, 0x42"), "an address outside its function"},
        {TABLE("4, 0xff, 0xff, 0xff, 0xff"), "an address outside its function"},
        {TABLE("4, 1, 0"), "an instruction beyond the end"},
        {TABLE("3, 1"), "an instruction beyond the end"},
        {TABLE("14, 0x80"), "unexpected end"},
        {TABLE("0x86"), "unexpected end"},
        {TABLE("11"), "no state to restore"},
        {TABLE("10,10,10,10,10,10,10,10,10,10,10,10,10,10,10,10,10"), "too many states to remember"},
        {TABLE("0x2f"), "an instruction that is not known"},
        {TABLE("0x17"), "an instruction that is not known"},
        {TABLE("15, 9, 1"), "unexpected end"},
        {TABLE("5, 6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1"), "an offset beyond 64 bits"},
        {TABLE("0x86, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f"), "an offset beyond 64 bits"},
        {TEXT SECTION CIE("3", "zR", "1, 0x78", "16", "0x1b", "0") FDE("code - .", "64", "0"), "a header of another form"},
        {TEXT SECTION CIE("1", "zP", "1, 0x78", "16", "0x1b", "0") FDE("code - .", "64", "0"), "a header of another form"},
        {TEXT SECTION CIE("1", "zR", "1, 0x78", "16", "0x03", "0") FDE("code - .", "64", "0"), "a header of another form"},
        {TEXT SECTION CIE("1", "zR", "1, 0x78", "15", "0x1b", "0") FDE("code - .", "64", "0"), "a header of another form"},
        {TEXT SECTION CIE("1", "zR", "0, 0x78", "16", "0x1b", "0") FDE("code - .", "64", "0"), "a header of another form"},
        {TEXT SECTION CIE("1", "zR", "1, 0x78", "16", "0x1b", "0x41") FDE("code - .", "64", "0"), "an address outside its function"},
        {TEXT SECTION GOOD_CIE FDE("0", "64", "0"), "a function without its relocation"},
        {TEXT SECTION GOOD_CIE FDE("nowhere - .", "64", "0"), "a function that is not code"},
        {TEXT SECTION GOOD_CIE FDE("code - .", "65", "0"), "a function outside its section"},
        {TEXT SECTION GOOD_CIE FDE("code + 65 - .", "0", "0"), "a function outside its section"},
        {TEXT SECTION GOOD_CIE ".long 4, 0x7fffffff\n", "a header outside the section"},
        {TEXT SECTION GOOD_CIE ".long 4\n.long . - 0b\n", "an entry without a function"},
        {TEXT SECTION GOOD_CIE ".long 3\n.byte 0, 0, 0\n", "an entry without a kind"},
        {TEXT SECTION GOOD_CIE ".long 20\n.long . - 0b\n", "an entry beyond the section"},
        {TEXT SECTION GOOD_CIE ".long -1\n.quad 9\n", "an entry beyond the section"},
        {TEXT SECTION ".byte 0, 0\n", "an entry without a length"},
        {TEXT SECTION "0: .long 4, 0\n" FDE("code - .", "64", "0"), "a header beyond its entry"},
    };

    (void)state;
    if (!have_tool("clang-22"))
        skip();
    for (size_t i = 0; i < SV_COUNT(cases); i++) {
        struct sv_err err = {0};
        char message[128];

        if (link_text(&err, cases[i].text))
            fail_msg("%s", cases[i].text);
        snprintf(message, sizeof message, "object 0: unwind table: %s", cases[i].message);
        assert_string_equal(err.text, message);
        assert_int_equal(err.code, SV_EMALFORMED);
    }
}

/* clang-format on */
static void overlapping(void **state)
{
    struct sv_err err = {0};

    (void)state;
    if (!have_tool("clang-22"))
        skip();
    assert_null(link_text(&err, TEXT SECTION GOOD_CIE FDE("code - .", "8", "0")
                                    FDE("code + 7 - .", "8", "0")));
    assert_string_equal(err.text, "unwind tables: two entries for the code at 0x7");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_dwarfdump), cmocka_unit_test(no_table),
        cmocka_unit_test(by_hand),           cmocka_unit_test(damaged),
        cmocka_unit_test(overlapping),
    };

    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
