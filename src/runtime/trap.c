/* Traps as data: texts, backtraces, their one printed form. How guest code is left is signal.c's.
 */
#include "runtime/trap.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "runtime/profile.h"
#include "runtime/store.h"
#include "wasm/dwarf.h"
#include "wasm/module.h"

const char *sv_trap_text(int code)
{
    switch (code) {
#define TRAP(name, number, text)                                                                   \
    case number:                                                                                   \
        return text;
#include "runtime/trap.def"
#undef TRAP
    default:
        return "unknown trap";
    }
}

void sv_trap_clear(struct sv_trap *t)
{
    for (uint32_t i = 0; i < t->nframes; i++)
        sv_module_unref((struct sv_module *)t->frames[i].module);
    t->code = 0;
    t->text[0] = 0;
    t->nframes = t->nskipped = t->skipped_at = 0;
}

void sv_trap_add_frame(struct sv_trap *t, const struct sv_module *m, uint32_t func, uint32_t offset)
{
    struct sv_frame *oldest = &t->frames[SV_FRAMES_INNER];

    if (m)
        sv_module_ref((struct sv_module *)m);
    if (t->nframes == SV_FRAMES_MAX) {
        sv_module_unref((struct sv_module *)oldest->module);
        memmove(oldest, oldest + 1, (SV_FRAMES_OUTER - 1) * sizeof *oldest);
        t->nframes--;
        t->nskipped++;
        t->skipped_at = SV_FRAMES_INNER;
    }
    t->frames[t->nframes++] = (struct sv_frame){.module = m, .func = func, .offset = offset};
}

void sv_backtrace_add(struct sv_backtrace *b, const struct sv_module *m, uint32_t func,
                      uint32_t offset)
{
    b->n++;
    if (b->trap)
        sv_trap_add_frame(b->trap, m, func, offset);
    if (b->sample && b->sample->n < SV_PROFILE_DEPTH) {
        uint32_t at = b->sample->n++;

        b->sample->frames[at].module = m;
        b->sample->frames[at].func = m ? func : SV_PROFILE_UNKNOWN;
    }
}

bool sv_backtrace_full(const struct sv_backtrace *b)
{
    return b->sample && b->sample->n == SV_PROFILE_DEPTH;
}

/* An interruption that is due explains best why memory was not to be had: collections are cut short
 * by it. */
static int better_code(const struct sv_thread *th, int code)
{
    int due = sv_thread_interrupt_code(th);

    return code == SV_TRAP_GC_HEAP && due ? due : code;
}

int sv_trap_raise(struct sv_thread *th, int code)
{
    const char *text;
    size_t len;

    if (th->trap.code)
        return SV_ETRAP;
    code = better_code(th, code);
    text = sv_trap_text(code);
    len = strlen(text);
    th->trap.code = code;
    memcpy(th->trap.text, text, len < sizeof th->trap.text ? len + 1 : sizeof th->trap.text);
    return SV_ETRAP;
}

int sv_trap_set(struct sv_thread *th, int code, const char *fmt, ...)
{
    va_list ap;

    if (!fmt || th->trap.code || better_code(th, code) != code)
        return sv_trap_raise(th, code);
    th->trap.code = code;
    va_start(ap, fmt);
    vsnprintf(th->trap.text, sizeof th->trap.text, fmt, ap);
    va_end(ap);
    return SV_ETRAP;
}

/* Names come from the guest: nothing that moves a terminal's cursor. */
static void print_name(struct sv_buf *b, struct sv_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        /* C1 controls in UTF-8 are c2 80 to c2 9f. */
        bool c1 = c == 0xc2 && i + 1 < s.len && (unsigned char)s.ptr[i + 1] < 0xa0;

        if (c < 0x20 || c == 0x7f)
            sv_buf_printf(b, "\\x%02x", c);
        else if (c1)
            sv_buf_printf(b, "\\x%02x\\x%02x", c, (unsigned char)s.ptr[++i]);
        else
            sv_buf_putc(b, (char)c);
    }
}

#define PATH_MAX_LEN 4096

static void print_place(struct sv_buf *b, const struct sv_dwarf_place *p)
{
    struct sv_buf path;

    sv_buf_init(&path, PATH_MAX_LEN);
    if (p->file)
        sv_dwarf_print_file(&path, p->file, false);
    print_name(b, path.len ? (struct sv_str){(const char *)path.data, path.len} : sv_str_of("?"));
    sv_buf_release(&path);
    sv_buf_printf(b, ":%u", p->line);
}

/* Where the source has it: (file:line), and if calls were inlined there (file:line in callee,
 * inlined at file:line). */
static void print_source(struct sv_buf *b, const struct sv_frame *f)
{
    const struct sv_dwarf *d = sv_module_dwarf(f->module);
    struct sv_dwarf_place places[SV_DWARF_PLACES];
    uint32_t n = d ? sv_dwarf_places(d, f->offset, places) : 0;

    for (uint32_t i = 0; i < n; i++) {
        sv_buf_puts(b, i == 0 ? " (" : ", inlined at ");
        print_place(b, &places[i]);
        if (places[i].func.len) {
            sv_buf_puts(b, " in ");
            print_name(b, places[i].func);
        }
    }
    if (n > 0)
        sv_buf_putc(b, ')');
}

static void print_frame(struct sv_buf *b, uint32_t number, const struct sv_frame *f)
{
    struct sv_str module, func;

    sv_buf_printf(b, "\n  %u: ", number);
    if (!f->module) {
        sv_buf_puts(b, "host function");
        return;
    }
    module = sv_module_name(f->module);
    func = sv_module_func_name(f->module, f->func);
    if (module.len) {
        print_name(b, module);
        sv_buf_putc(b, '!');
    }
    if (func.len)
        print_name(b, func);
    else
        sv_buf_printf(b, "function %u", f->func);
    if (f->offset) {
        sv_buf_printf(b, " at 0x%x", f->offset);
        print_source(b, f);
    }
}

void sv_trap_print(struct sv_buf *b, const struct sv_trap *t)
{
    sv_buf_puts(b, "trap: ");
    print_name(b, sv_str_of(t->text[0] ? t->text : sv_trap_text(t->code)));
    for (uint32_t i = 0; i < t->nframes; i++) {
        uint32_t number = i;

        if (t->nskipped && i >= t->skipped_at)
            number += t->nskipped;
        if (t->nskipped && i == t->skipped_at)
            sv_buf_printf(b, "\n  ... %u frames left out", t->nskipped);
        print_frame(b, number, &t->frames[i]);
    }
}
