/* Compiles the sources of link/ to objects with clang, reads files and runs other tools, for the
 * tests of the object linker. */
#ifndef SV_TEST_AOT_LINK_H
#define SV_TEST_AOT_LINK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "aot/object.h"

struct file {
    uint8_t *bytes;
    size_t len;
};

static const char *const machines[] = {"x86_64", "aarch64"};
enum { X86_64, AARCH64, MACHINES };

static char scratch[256];

static inline bool run_tool(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static inline bool run_tool(const char *fmt, ...)
{
    char command[4096];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(command, sizeof command, fmt, ap);
    va_end(ap);
    return system(command) == 0;
}

static inline bool have_tool(const char *name)
{
    return run_tool("command -v %s >/dev/null 2>&1", name);
}

/* Group set-up and tear-down: a scratch folder. */
static inline int scratch_make(void **state)
{
    const char *tmp = getenv("TMPDIR");

    (void)state;
    snprintf(scratch, sizeof scratch, "%s/ssvm-link-XXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(scratch) ? 0 : -1;
}
static inline int scratch_remove(void **state)
{
    (void)state;
    return run_tool("rm -rf '%s'", scratch) ? 0 : -1;
}

/* The block is as long as the file, so that reading beyond it is noticed. */
static inline struct file file_read(const char *name)
{
    char path[512];
    struct file file;
    FILE *f;
    long len;

    snprintf(path, sizeof path, "%s/%s", scratch, name);
    f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    len = ftell(f);
    assert_true(len >= 0);
    rewind(f);
    file.len = (size_t)len;
    file.bytes = malloc(file.len ? file.len : 1);
    assert_non_null(file.bytes);
    assert_int_equal(fread(file.bytes, 1, file.len, f), file.len);
    fclose(f);
    return file;
}

static inline void file_write(const char *name, const void *bytes, size_t len)
{
    char path[512];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", scratch, name);
    f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

/* link/SOURCE to OBJECT in the scratch folder. */
static inline void compile(int machine, const char *source, const char *flags, const char *object)
{
    assert_true(run_tool("clang-22 --target=%s-linux-gnu -c -w -fPIC -O2 -ffreestanding "
                         "-ffp-contract=off %s %s '" SV_TEST_SOURCES "/link/%s' -o '%s/%s'",
                         machines[machine], machine == AARCH64 ? "-DPARTS_HIDDEN" : "", flags,
                         source, scratch, object));
}

/* The same from text. */
static inline void compile_text(int machine, const char *language, const char *flags,
                                const char *text, const char *object)
{
    file_write("text", text, strlen(text));
    assert_true(run_tool("clang-22 --target=%s-linux-gnu -c -w -fPIC -O1 -x %s %s '%s/text' "
                         "-o '%s/%s'",
                         machines[machine], language, flags, scratch, scratch, object));
}

/* Read and link the named objects, separated by spaces. The result of sv_objects_link. */
static inline int link_named(struct sv_err *err, const char *names, uint32_t page_size,
                             struct sv_linked **ret)
{
    struct sv_object_input in[8];
    struct file files[8];
    char list[256], *next = list, *name;
    uint32_t n = 0;
    int r;

    snprintf(list, sizeof list, "%s", names);
    while ((name = strsep(&next, " "))) {
        assert_true(n < 8);
        files[n] = file_read(name);
        in[n] = (struct sv_object_input){files[n].bytes, files[n].len};
        n++;
    }
    r = sv_objects_link(err, in, n, page_size, ret);
    for (uint32_t i = 0; i < n; i++)
        free(files[i].bytes);
    return r;
}

static inline struct sv_linked *link_good(const char *names, uint32_t page_size)
{
    struct sv_err err = {0};
    struct sv_linked *linked = NULL;

    if (link_named(&err, names, page_size, &linked) < 0)
        fail_msg("%s: %s", names, err.text);
    return linked;
}

/* Assembled for x86-64 and linked; NULL: refused. */
static inline struct sv_linked *link_text(struct sv_err *err, const char *text)
{
    struct sv_linked *linked = NULL;

    compile_text(X86_64, "assembler", "", text, "x.o");
    link_named(err, "x.o", 4096, &linked);
    return linked;
}

/* The same with ld.lld and no merging, to OUTPUT (an ELF file), at the places that we chose. For
 * aarch64 its relaxing makes adr of adrp and add; for x86-64 lea of mov, as we do. */
static inline void link_with(const char *names, const struct sv_linked *linked, int machine,
                             const char *unwind, const char *output)
{
    char script[1024];

    snprintf(script, sizeof script,
             "SECTIONS { . = 0; .text : { *(.text .text.*) } =%s\n"
             "  . = %zu; .rodata : { *(.rodata .rodata.* .data.rel.ro .data.rel.ro.*) }\n"
             "  %s : { *(.eh_frame) } /DISCARD/ : { *(.comment) *(.note*) } }\n",
             machine == X86_64 ? "0xcccccccc" : "0", linked->rodata_at, unwind);
    file_write("script", script, strlen(script));
    assert_true(run_tool("cd '%s' && ld.lld-22 -O0 %s -T script -e 0 %s -o %s", scratch,
                         machine == AARCH64 ? "--no-relax" : "", names, output));
}
static inline void link_other(const char *names, const struct sv_linked *linked, int machine,
                              const char *output)
{
    link_with(names, linked, machine, "/DISCARD/", output);
}
/* The same with the unwind tables. */
static inline void link_unwinding(const char *names, const struct sv_linked *linked, int machine,
                                  const char *output)
{
    link_with(names, linked, machine, ".eh_frame", output);
}

#endif
