/* The linker of native code against ld.lld (byte for byte), against the same C in this program, and
 * under an emulator; what it refuses, and in which words. */
#include "link.h"

#include <sys/mman.h>
#include <unistd.h>

#include "aot/object_elf.h"
/* the reference: the same C as in the objects */
#include "link/first.c"
#include "link/second.c"

static void compile_parts(int machine, const char *flags)
{
    compile(machine, "first.c", flags, "first.o");
    compile(machine, "second.c", flags, "second.o");
}

static void compare_section(const char *section, const uint8_t *bytes, size_t len)
{
    struct file other;

    assert_true(run_tool("cd '%s' && llvm-objcopy-22 -O binary -j %s other.elf other.bin", scratch,
                         section));
    other = file_read("other.bin");
    assert_int_equal(other.len, len);
    if (len)
        assert_memory_equal(other.bytes, bytes, len);
    free(other.bytes);
}

static void compare_with_lld(int machine, const char *names, uint32_t page_size)
{
    struct sv_linked *linked = link_good(names, page_size), *again = link_good(names, page_size);

    link_other(names, linked, machine, "other.elf");
    compare_section(".text", linked->text, linked->text_len);
    compare_section(".rodata", linked->rodata, linked->rodata_len);
    assert_int_equal(linked->rodata_at % page_size, 0);
    assert_memory_equal(linked->text, again->text, linked->text_len);
    assert_memory_equal(linked->rodata, again->rodata, linked->rodata_len);
    assert_int_equal(linked->nlines, again->nlines);
    sv_linked_delete(linked);
    sv_linked_delete(again);
}

static void bytes_of_lld(void **state)
{
    static const char *const flags[] = {"", "-O0", "-Os -ffunction-sections -fdata-sections",
                                        "-mno-implicit-float -g"};

    (void)state;
    if (!have_tool("clang-22") || !have_tool("ld.lld-22") || !have_tool("llvm-objcopy-22"))
        skip();
    for (int machine = 0; machine < MACHINES; machine++) {
        char name[64];

        for (size_t i = 0; i < SV_COUNT(flags); i++) {
            compile_parts(machine, flags[i]);
            compare_with_lld(machine, "first.o second.o", 4096);
            compare_with_lld(machine, "second.o first.o", 65536);
        }
        snprintf(name, sizeof name, "forms_%s.s", machines[machine]);
        compile(machine, name, "", "forms.o");
        snprintf(name, sizeof name, "forms_other_%s.s", machines[machine]);
        compile(machine, name, "", "other.o");
        compare_with_lld(machine, "forms.o other.o", 4096);
        compare_with_lld(machine, "other.o forms.o", 65536);
    }
}

/* Names as the objects' own tables tell them, by llvm-nm on lld's result. */
static void symbols(void **state)
{
    struct sv_linked *linked;
    char path[512], name[128];
    unsigned long long at, size;
    uint32_t offset = 7, length = 7, seen = 0;
    FILE *f;

    (void)state;
    if (!have_tool("clang-22") || !have_tool("ld.lld-22") || !have_tool("llvm-nm-22"))
        skip();
    compile_parts(X86_64, "");
    linked = link_good("first.o second.o", 4096);
    link_other("first.o second.o", linked, X86_64, "other.elf");
    assert_true(run_tool("cd '%s' && llvm-nm-22 -S -g --format=bsd other.elf >names", scratch));
    snprintf(path, sizeof path, "%s/names", scratch);
    f = fopen(path, "r");
    assert_non_null(f);
    while (fscanf(f, "%llx %llx %*s %127s", &at, &size, name) == 3) {
        assert_true(sv_linked_symbol(linked, name, &offset, &length));
        assert_int_equal(offset, at);
        assert_int_equal(length, size);
        seen++;
    }
    fclose(f);
    assert_int_equal(seen, 7);
    assert_int_equal(linked->nsymbols, 7);
    offset = length = 7;
    assert_false(sv_linked_symbol(linked, "part_nothing", &offset, &length));
    assert_false(sv_linked_symbol(linked, "bits_of", &offset, &length)); /* static */
    assert_false(sv_linked_symbol(linked, "", &offset, &length));
    assert_int_equal(offset, 7);
    sv_linked_delete(linked);
}

static void run_here(void **state)
{
#if defined __x86_64__ || defined __aarch64__
#ifdef __x86_64__
    const int machine = X86_64;
#else
    const int machine = AARCH64;
#endif
    struct sv_linked *linked;
    uint64_t (*checksum)(uint64_t);
    uint32_t offset, size, page = (uint32_t)sysconf(_SC_PAGESIZE);
    size_t len;
    uint8_t *image;

    (void)state;
    if (!have_tool("clang-22"))
        skip();
    compile_parts(machine, "");
    linked = link_good("first.o second.o", page);
    assert_true(linked->rodata_len > 0);
    len = linked->rodata_at + linked->rodata_len;
    image = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(image, MAP_FAILED);
    memcpy(image, linked->text, linked->text_len);
    memcpy(image + linked->rodata_at, linked->rodata, linked->rodata_len);
    assert_int_equal(mprotect(image, linked->rodata_at, PROT_READ | PROT_EXEC), 0);
    assert_int_equal(mprotect(image + linked->rodata_at, linked->rodata_len, PROT_READ), 0);
    __builtin___clear_cache((char *)image, (char *)image + linked->text_len);
    assert_true(sv_linked_symbol(linked, "part_checksum", &offset, &size));
    checksum = (uint64_t (*)(uint64_t))(uintptr_t)(image + offset);
    for (uint64_t seed = 0; seed < 100; seed++)
        assert_int_equal(checksum(seed), part_checksum(seed));
    munmap(image, len);
    sv_linked_delete(linked);
#else
    (void)state;
    skip();
#endif
}

#define SEEDS 20

static void run_emulated(void **state)
{
    struct sv_linked *linked;
    uint32_t offset, size;
    uint8_t *blob;
    size_t len;
    struct file out;

    (void)state;
    if (!have_tool("clang-22") || !have_tool("ld.lld-22") || !have_tool("qemu-aarch64"))
        skip();
    compile_parts(AARCH64, "");
    linked = link_good("second.o first.o", 65536);
    len = linked->rodata_at + linked->rodata_len;
    blob = calloc(1, len);
    assert_non_null(blob);
    memcpy(blob, linked->text, linked->text_len);
    memcpy(blob + linked->rodata_at, linked->rodata, linked->rodata_len);
    file_write("blob", blob, len);
    free(blob);
    assert_true(sv_linked_symbol(linked, "part_checksum", &offset, &size));
    sv_linked_delete(linked);
    assert_true(run_tool("clang-22 --target=aarch64-linux-gnu -O1 -ffreestanding -nostdlib -static "
                         "-fuse-ld=lld -DBLOB='\"%s/blob\"' -DENTRY=%u -DSEEDS=%d '" SV_TEST_SOURCES
                         "/link/run_aarch64.c' -o '%s/run' && qemu-aarch64 '%s/run' >'%s/out'",
                         scratch, offset, SEEDS, scratch, scratch, scratch));
    out = file_read("out");
    assert_int_equal(out.len, 17 * SEEDS);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        char line[18];

        snprintf(line, sizeof line, "%016llx\n", (unsigned long long)part_checksum(seed));
        assert_memory_equal(out.bytes + 17 * seed, line, 17);
    }
    free(out.bytes);
}

/* ---- What is refused ---- */

static void expect_failure(const char *names, int code, const char *text)
{
    struct sv_err err = {0};
    struct sv_linked *linked = (struct sv_linked *)(uintptr_t)1;

    assert_int_equal(link_named(&err, names, 4096, &linked), code);
    assert_string_equal(err.text, text);
    assert_ptr_equal(linked, (struct sv_linked *)(uintptr_t)1);
}

static void refused_names(void **state)
{
    (void)state;
    if (!have_tool("clang-22"))
        skip();
    compile_parts(X86_64, "");
    expect_failure("second.o first.o second.o", SV_ELINK,
                   "object 2: symbol 'part_scale' is defined twice");
    expect_failure("first.o", SV_ELINK,
                   "undefined symbols 'part_table', 'part_scale', 'part_single', 'part_letter'");
    compile_text(X86_64, "c", "",
                 "int a(void), b(void), c(void), d(void), e(void), f(void);\n"
                 "int z(void) { return a() + b() + c() + d() + e() + f() + a(); }\n",
                 "many.o");
    expect_failure("many.o", SV_ELINK, "undefined symbols 'a', 'b', 'c', 'd', 'e' and more");
    compile_text(X86_64, "c", "", "int a(void); int z(void) { return a(); }\n", "one.o");
    expect_failure("one.o", SV_ELINK, "undefined symbol 'a'");
    compile_parts(AARCH64, "");
    expect_failure("one.o second.o", SV_ELINK, "object 1: for another machine");
}

static void refused_sections(void **state)
{
    static const struct {
        int machine;
        const char *language, *flags, *text, *message;
    } cases[] = {
        {X86_64, "c", "", "int x = 3;", "object 0: writable section '.data'"},
        {X86_64, "c", "", "int x;", "object 0: writable section '.bss'"},
        {AARCH64, "c", "", "_Thread_local int x = 1;", "object 0: writable section '.tdata'"},
        {X86_64, "c", "", "int a(void) { return 1; } int (*const x)(void) = a;",
         "object 0: '.data.rel.ro'+0x0: relocation 1 to 'a': an absolute address"},
        {AARCH64, "c", "", "int a(void) { return 1; } int (*const x)(void) = a;",
         "object 0: '.data.rel.ro'+0x0: relocation 257 to 'a': an absolute address"},
        {X86_64, "c", "-fno-plt", "int a(void); int b(void) { return a() + 1; }",
         "undefined symbol 'a'"},
        {X86_64, "assembler", "", ".globl a\na: call *a@GOTPCREL(%rip)",
         "object 0: '.text'+0x2: relocation 41 to 'a': needs a global offset table"},
        {X86_64, "assembler", "", ".globl a\na: movl a@GOTPCREL(%rip), %eax",
         "object 0: '.text'+0x2: relocation 41 to 'a': needs a global offset table"},
        {X86_64, "assembler", "", "a: movl $a, %eax",
         "object 0: '.text'+0x1: relocation 10 to '.text': an absolute address"},
        {AARCH64, "assembler", "", ".globl a\na: adrp x0, :got:a",
         "object 0: '.text'+0x0: relocation 311 to 'a': of a kind that is not supported"},
        {AARCH64, "assembler", "", "a: ldr x0, [x0, :lo12:a + 4]",
         "object 0: '.text'+0x0: relocation 286 to '.text': not aligned to the access"},
        {X86_64, "assembler", "", ".section .debug_x,\"\"\na: .long 0\n.text\n.long a - .",
         "object 0: symbol '.debug_x' is in no section that is linked"},
        {X86_64, "assembler", "", ".p2align 13\nnop",
         "object 0: section '.text' has a bad alignment"},
        {X86_64, "assembler", "", ".section .x,\"ax\",@nobits\n.space 3",
         "object 0: section '.x' is of a kind that is not supported"},
        {X86_64, "assembler", "", ".text\n.long a - .\n.comm a, 4",
         "object 0: symbol 'a' is in no section that is linked"},
    };

    (void)state;
    if (!have_tool("clang-22"))
        skip();
    for (size_t i = 0; i < SV_COUNT(cases); i++) {
        struct sv_err err = {0};
        struct sv_linked *linked = NULL;

        compile_text(cases[i].machine, cases[i].language, cases[i].flags, cases[i].text, "x.o");
        assert_true(link_named(&err, "x.o", 4096, &linked) < 0);
        assert_string_equal(err.text, cases[i].message);
    }
}

static void nothing(void **state)
{
    struct sv_err err = {0};
    struct sv_linked *linked = NULL;
    struct sv_object_input empty = {NULL, 0};
    uint32_t offset, size;

    (void)state;
    assert_int_equal(sv_objects_link(&err, NULL, 0, 4096, &linked), 0);
    assert_int_equal(linked->text_len + linked->rodata_len + linked->rodata_at + linked->nlines, 0);
    assert_false(sv_linked_symbol(linked, "a", &offset, &size));
    sv_linked_delete(linked);
    sv_linked_delete(NULL);
    assert_int_equal(sv_objects_link(&err, &empty, 1, 4096, &linked), SV_EMALFORMED);
    assert_string_equal(err.text, "object 0: shorter than an ELF header");
}

/* ---- Ranges, which no object of reasonable size reaches ---- */

static void ranges(void **state)
{
    static const struct {
        uint16_t machine;
        uint32_t type;
        int64_t low, high; /* the least and the largest distance that fit */
        unsigned step;
    } cases[] = {
        {EM_X86_64, R_X86_64_PC32, INT32_MIN, INT32_MAX, 1},
        {EM_X86_64, R_X86_64_PLT32, INT32_MIN, INT32_MAX, 1},
        {EM_AARCH64, R_AARCH64_PREL32, INT32_MIN, INT32_MAX, 1},
        {EM_AARCH64, R_AARCH64_CALL26, -(INT64_C(128) << 20), (INT64_C(128) << 20) - 4, 4},
        {EM_AARCH64, R_AARCH64_JUMP26, -(INT64_C(128) << 20), (INT64_C(128) << 20) - 4, 4},
        {EM_AARCH64, R_AARCH64_CONDBR19, -(1 << 20), (1 << 20) - 4, 4},
        {EM_AARCH64, R_AARCH64_TSTBR14, -(1 << 15), (1 << 15) - 4, 4},
        {EM_AARCH64, R_AARCH64_ADR_PREL_LO21, -(1 << 20), (1 << 20) - 1, 1},
        {EM_AARCH64, R_AARCH64_ADR_PREL_PG_HI21, -(INT64_C(1) << 32), (INT64_C(1) << 32) - 1, 1},
    };
    static const uint8_t ones[8] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

    (void)state;
    for (size_t i = 0; i < SV_COUNT(cases); i++) {
        uint8_t bytes[8];
        const int64_t at = INT64_C(4096) * 5; /* of a page, for the last row */
        struct sv_object_patch patch = {.machine = cases[i].machine,
                                        .type = cases[i].type,
                                        .bytes = bytes,
                                        .len = 8,
                                        .offset = 4,
                                        .at = at};

        memset(bytes, 0xff, sizeof bytes);
        patch.symbol = at + cases[i].low - cases[i].step;
        assert_string_equal(sv_object_patch(&patch), "out of range");
        patch.symbol = at + cases[i].high + cases[i].step;
        assert_string_equal(sv_object_patch(&patch), "out of range");
        assert_memory_equal(bytes, ones, 8);
        patch.symbol = at + cases[i].high;
        assert_null(sv_object_patch(&patch));
        patch.symbol = at + cases[i].low;
        assert_null(sv_object_patch(&patch));
        assert_memory_equal(bytes, ones, 4);
        assert_memory_not_equal(bytes + 4, ones, 4);
        if (cases[i].step == 4) {
            patch.symbol = at + 2;
            assert_string_equal(sv_object_patch(&patch), "not a multiple of four");
        }
        for (uint64_t offset = 5; offset < 20; offset++) {
            patch.offset = offset;
            assert_string_equal(sv_object_patch(&patch), "outside its section");
        }
        patch.offset = 0;
        patch.addend = INT64_MAX;
        assert_string_equal(sv_object_patch(&patch), "out of range");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_of_lld),  cmocka_unit_test(symbols),
        cmocka_unit_test(run_here),      cmocka_unit_test(run_emulated),
        cmocka_unit_test(refused_names), cmocka_unit_test(refused_sections),
        cmocka_unit_test(nothing),       cmocka_unit_test(ranges),
    };

    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
