/* Reads .eh_frame (DWARF 5, section 6.4) for one thing only: where, at each instruction, the
 * caller's place and frame pointer are. What is said of other registers is stepped over, and what
 * a row cannot say (an expression) is not known there. */
#include "aot/object_elf.h"

#include <stdlib.h>

#include "wasm/reader.h"

#define ROWS_MAX ((size_t)1 << 28)
#define REMEMBERED_MAX 16
#define UNKNOWN UINT32_MAX

enum { /* the two high bits, with an operand below them; else the whole byte */
       CFA_ADVANCE_LOC = 1,
       CFA_OFFSET,
       CFA_RESTORE,
       CFA_NOP = 0x00,
       CFA_ADVANCE_LOC1 = 0x02,
       CFA_ADVANCE_LOC2,
       CFA_ADVANCE_LOC4,
       CFA_OFFSET_EXTENDED,
       CFA_RESTORE_EXTENDED,
       CFA_UNDEFINED,
       CFA_SAME_VALUE,
       CFA_REGISTER,
       CFA_REMEMBER_STATE,
       CFA_RESTORE_STATE,
       CFA_DEF_CFA,
       CFA_DEF_CFA_REGISTER,
       CFA_DEF_CFA_OFFSET,
       CFA_DEF_CFA_EXPRESSION,
       CFA_EXPRESSION,
       CFA_OFFSET_EXTENDED_SF,
       CFA_DEF_CFA_SF,
       CFA_DEF_CFA_OFFSET_SF,
       CFA_VAL_OFFSET,
       CFA_VAL_OFFSET_SF,
       CFA_VAL_EXPRESSION,
       CFA_GNU_ARGS_SIZE = 0x2e
};
#define ENCODING_PCREL_SDATA4 0x1b

/* Where the caller's value of a register is. */
struct rule {
    enum { SAME, SAVED, LOST } kind;
    int64_t at; /* SAVED: from the CFA */
};

struct rules {
    uint64_t cfa_register;
    int64_t cfa_offset;
    bool cfa_lost;
    struct rule ret, fp;
};

struct unwinder {
    const struct sv_object *object;
    struct sv_object_unwinds *out;
    struct sv_reader in;
    const uint8_t *end;  /* of the section */
    const char *failure; /* of ours; a failed read has its own */
    bool failed_memory;
    const struct sv_object_section *rela; /* of .eh_frame, in ascending order */
    uint32_t nrela, next_rela;
    uint64_t ret_register, fp_register;
    /* the CIE at `cie`; NULL: none was read */
    const uint8_t *cie;
    uint64_t code_align;
    int64_t data_align;
    struct rules initial;
    /* the FDE */
    struct rules now, remembered[REMEMBERED_MAX];
    uint32_t nremembered;
    uint32_t code_at, code_end;
    size_t first_row;
};

static bool fail(struct unwinder *u, const char *what)
{
    u->failure = what;
    return false;
}

/* ---- Rows ---- */

static bool fits(int64_t n, uint32_t *ret)
{
    *ret = (uint32_t)n;
    return n >= 0 && n < UNKNOWN;
}

static struct sv_object_frame frame_of(const struct unwinder *u)
{
    const struct sv_object_frame none = {.cfa_register = UNKNOWN};
    const struct rules *now = &u->now;
    struct sv_object_frame f = {.cfa_register = (uint32_t)now->cfa_register};

    if (now->cfa_lost || now->cfa_register >= 32 || !fits(now->cfa_offset, &f.cfa_offset))
        return none;
    if (now->ret.kind == LOST || now->fp.kind == LOST)
        return none;
    /* In a register at the beginning: on aarch64 only. */
    if (now->ret.kind == SAME && u->object->machine != EM_AARCH64)
        return none;
    if ((now->ret.kind == SAVED && (now->ret.at >= 0 || !fits(-now->ret.at, &f.ret_below))) ||
        (now->fp.kind == SAVED && (now->fp.at >= 0 || !fits(-now->fp.at, &f.fp_below))))
        return none;
    return f;
}

/* What holds from code_at on. */
static bool add_row(struct unwinder *u)
{
    struct sv_object_unwinds *out = u->out;
    struct sv_object_row row = {u->code_at, frame_of(u)};

    if (u->code_at == u->code_end ||
        (out->rows.len > u->first_row &&
         memcmp(&out->rows.data[out->rows.len - 1].frame, &row.frame, sizeof row.frame) == 0))
        return true;
    if (SV_VEC_PUSH(&out->rows, ROWS_MAX, row))
        return true;
    u->failed_memory = true;
    return false;
}

static bool advance(struct unwinder *u, uint64_t n)
{
    if (n == 0)
        return true;
    if (n > SV_LINKED_MAX || n * u->code_align > u->code_end - u->code_at)
        return fail(u, "an address outside its function");
    if (!add_row(u))
        return false;
    u->code_at += (uint32_t)(n * u->code_align);
    return true;
}

/* ---- Instructions ---- */

static struct rule *rule_of(struct unwinder *u, struct rules *rules, uint64_t reg)
{
    if (reg == u->ret_register)
        return &rules->ret;
    return reg == u->fp_register ? &rules->fp : NULL;
}

static void set_rule(struct unwinder *u, uint64_t reg, struct rule rule)
{
    struct rule *to = rule_of(u, &u->now, reg);

    if (to)
        *to = rule;
}

static bool scale(struct unwinder *u, int64_t n, int64_t *ret)
{
    return !__builtin_mul_overflow(n, u->data_align, ret) || fail(u, "an offset beyond 64 bits");
}

static bool read_sign_lost(struct unwinder *u, int64_t *ret)
{
    uint64_t n;

    if (!sv_read_u64(&u->in, &n))
        return false;
    *ret = (int64_t)n;
    return true;
}

/* Numbers of 64 bits without their sign are offsets of less. */
static bool read_offset(struct unwinder *u, int64_t *ret)
{
    return read_sign_lost(u, ret) && (*ret >= 0 || fail(u, "an offset beyond 64 bits"));
}

static bool set_saved(struct unwinder *u, uint64_t reg, bool is_signed)
{
    struct rule rule = {.kind = SAVED};
    int64_t n = 0;

    if (!(is_signed ? sv_read_signed(&u->in, 64, &n) : read_offset(u, &n)) ||
        !scale(u, n, &rule.at))
        return false;
    set_rule(u, reg, rule);
    return true;
}

static void restore(struct unwinder *u, uint64_t reg)
{
    struct rule *initial = rule_of(u, &u->initial, reg);

    if (initial)
        set_rule(u, reg, *initial);
}

static bool skip_block(struct unwinder *u)
{
    uint64_t len;

    return sv_read_u64(&u->in, &len) && sv_read_skip(&u->in, len);
}

static bool advance_fixed(struct unwinder *u, size_t bytes)
{
    uint32_t n = 0;

    if (sv_reader_left(&u->in) < bytes)
        return fail(u, "an instruction beyond the end");
    memcpy(&n, u->in.p, bytes);
    u->in.p += bytes;
    return advance(u, n);
}

static bool remember(struct unwinder *u)
{
    if (u->nremembered == REMEMBERED_MAX)
        return fail(u, "too many states to remember");
    u->remembered[u->nremembered++] = u->now;
    return true;
}

static bool bring_back(struct unwinder *u)
{
    if (u->nremembered == 0)
        return fail(u, "no state to restore");
    u->now = u->remembered[--u->nremembered];
    return true;
}

/* The rule of the CFA itself. */
static bool run_cfa(struct unwinder *u, uint8_t op)
{
    struct rules *now = &u->now;

    if (op == CFA_DEF_CFA_EXPRESSION) {
        now->cfa_lost = true;
        return skip_block(u);
    }
    if (op == CFA_DEF_CFA || op == CFA_DEF_CFA_SF || op == CFA_DEF_CFA_REGISTER) {
        if (!sv_read_u64(&u->in, &now->cfa_register))
            return false;
        now->cfa_lost &= op == CFA_DEF_CFA_REGISTER;
    }
    /* Written without its sign, but in front of a jump to a callee with fewer arguments on the
     * stack the CFA is below the stack pointer: a row that nothing is known of. */
    if (op == CFA_DEF_CFA || op == CFA_DEF_CFA_OFFSET)
        return read_sign_lost(u, &now->cfa_offset);
    if (op == CFA_DEF_CFA_SF || op == CFA_DEF_CFA_OFFSET_SF)
        return sv_read_signed(&u->in, 64, &now->cfa_offset) &&
               scale(u, now->cfa_offset, &now->cfa_offset);
    return true;
}

/* The rule of a register. */
static bool run_rule(struct unwinder *u, uint8_t op)
{
    uint64_t reg, other;
    int64_t offset;

    if (!sv_read_u64(&u->in, &reg))
        return false;
    switch (op) {
    case CFA_OFFSET_EXTENDED:
    case CFA_OFFSET_EXTENDED_SF:
        return set_saved(u, reg, op == CFA_OFFSET_EXTENDED_SF);
    case CFA_RESTORE_EXTENDED:
        restore(u, reg);
        return true;
    case CFA_SAME_VALUE:
        set_rule(u, reg, (struct rule){.kind = SAME});
        return true;
    default:
        set_rule(u, reg, (struct rule){.kind = LOST});
        if (op == CFA_EXPRESSION || op == CFA_VAL_EXPRESSION)
            return skip_block(u);
        if (op == CFA_VAL_OFFSET_SF)
            return sv_read_signed(&u->in, 64, &offset);
        return op == CFA_UNDEFINED || sv_read_u64(&u->in, &other);
    }
}

static bool run_one(struct unwinder *u, uint8_t op)
{
    uint64_t size;

    switch (op) {
    case CFA_NOP:
        return true;
    case CFA_ADVANCE_LOC1:
    case CFA_ADVANCE_LOC2:
        return advance_fixed(u, op - 1u);
    case CFA_ADVANCE_LOC4:
        return advance_fixed(u, 4);
    case CFA_REMEMBER_STATE:
        return remember(u);
    case CFA_RESTORE_STATE:
        return bring_back(u);
    case CFA_DEF_CFA:
    case CFA_DEF_CFA_REGISTER:
    case CFA_DEF_CFA_OFFSET:
    case CFA_DEF_CFA_EXPRESSION:
    case CFA_DEF_CFA_SF:
    case CFA_DEF_CFA_OFFSET_SF:
        return run_cfa(u, op);
    case CFA_GNU_ARGS_SIZE:
        return sv_read_u64(&u->in, &size);
    default:
        return (op >= CFA_OFFSET_EXTENDED && op <= CFA_VAL_EXPRESSION)
                   ? run_rule(u, op)
                   : fail(u, "an instruction that is not known");
    }
}

static bool run(struct unwinder *u)
{
    uint8_t op;

    while (sv_reader_left(&u->in)) {
        uint8_t low;
        bool good = true;

        if (!sv_read_u8(&u->in, &op))
            return false;
        low = op & 0x3f;
        switch (op >> 6) {
        case CFA_ADVANCE_LOC:
            good = advance(u, low);
            break;
        case CFA_OFFSET:
            good = set_saved(u, low, false);
            break;
        case CFA_RESTORE:
            restore(u, low);
            break;
        default:
            good = run_one(u, op);
        }
        if (!good)
            return false;
    }
    return true;
}

/* ---- Entries ---- */

/* The bytes of an entry behind its length; false: it does not fit, or (*ret NULL) there is none. */
static bool read_entry(struct unwinder *u, const uint8_t *at, struct sv_reader *ret)
{
    uint32_t length;

    if ((size_t)(u->end - at) < sizeof length)
        return fail(u, "an entry without a length");
    memcpy(&length, at, sizeof length);
    at += sizeof length;
    if (length > (size_t)(u->end - at)) /* 64-bit DWARF, 0xffffffff, too */
        return fail(u, "an entry beyond the section");
    if (length && length < sizeof length)
        return fail(u, "an entry without a kind");
    *ret = (struct sv_reader){.p = at, .end = at + length, .base = u->in.base};
    return true;
}

static bool read_cie(struct unwinder *u, const uint8_t *at)
{
    static const uint8_t zr[] = {1, 'z', 'R', 0}; /* with the version */
    const struct sv_reader outer = u->in;
    uint32_t id;
    uint64_t reg, len;
    uint8_t encoding;

    if (u->cie == at)
        return true;
    if (!read_entry(u, at, &u->in))
        return false;
    if (sv_reader_left(&u->in) < sizeof id + sizeof zr)
        return fail(u, "a header beyond its entry");
    memcpy(&id, u->in.p, sizeof id);
    if (id != 0 || memcmp(u->in.p + sizeof id, zr, sizeof zr) != 0)
        return fail(u, "a header of another form");
    u->in.p += sizeof id + sizeof zr;
    if (!sv_read_u64(&u->in, &u->code_align) || !sv_read_signed(&u->in, 64, &u->data_align) ||
        !sv_read_u64(&u->in, &reg) || !sv_read_u64(&u->in, &len) || !sv_read_u8(&u->in, &encoding))
        return false;
    if (len != 1 || encoding != ENCODING_PCREL_SDATA4 || reg != u->ret_register ||
        u->code_align == 0 || u->code_align > 16)
        return fail(u, "a header of another form");
    u->now = u->initial = (struct rules){.cfa_lost = true};
    u->code_at = u->code_end = 0;
    u->nremembered = 0;
    if (!run(u))
        return false;
    u->initial = u->now;
    u->cie = at;
    u->in = outer;
    return true;
}

/* Where the function begins, and how long it is: zero in the file, and what the relocation says. */
static bool read_place(struct unwinder *u)
{
    struct sv_object_elf_symbol symbol;
    uint64_t offset = sv_reader_offset(&u->in);
    Elf64_Rela rela = {0};
    uint32_t len;
    int64_t value;

    if (sv_reader_left(&u->in) < 2 * sizeof len)
        return fail(u, "an entry without a function");
    memcpy(&len, u->in.p + sizeof len, sizeof len);
    u->in.p += 2 * sizeof len;
    while (u->next_rela < u->nrela) {
        rela = sv_object_relocation(u->rela, u->next_rela++);
        if (rela.r_offset >= offset)
            break;
    }
    if (rela.r_offset != offset ||
        ELF64_R_TYPE(rela.r_info) !=
            (u->object->machine == EM_X86_64 ? (unsigned)R_X86_64_PC32 : R_AARCH64_PREL32))
        return fail(u, "a function without its relocation");
    if (sv_object_symbol_read(NULL, u->object, (uint32_t)ELF64_R_SYM(rela.r_info), &symbol) < 0 ||
        !symbol.section || symbol.section->place != SV_PLACE_TEXT)
        return fail(u, "a function that is not code");
    value = symbol.value;
    if (__builtin_add_overflow(value, rela.r_addend, &value) || value < 0 ||
        (uint64_t)value > symbol.section->len || len > symbol.section->len - (uint64_t)value)
        return fail(u, "a function outside its section");
    u->code_at = symbol.section->at + (uint32_t)value;
    u->code_end = u->code_at + len;
    return true;
}

static bool read_function(struct unwinder *u)
{
    struct sv_object_span span;
    uint64_t len;

    if (!read_place(u) || !sv_read_u64(&u->in, &len) || !sv_read_skip(&u->in, len))
        return false;
    span = (struct sv_object_span){
        .start = u->code_at, .end = u->code_end, .first = (uint32_t)u->out->rows.len};
    u->first_row = u->out->rows.len;
    u->now = u->initial;
    u->nremembered = 0;
    if (!run(u) || !add_row(u))
        return false;
    span.nrows = (uint32_t)u->out->rows.len - span.first;
    if (SV_VEC_PUSH(&u->out->spans, ROWS_MAX, span))
        return true;
    u->failed_memory = true;
    return false;
}

static bool read_entries(struct unwinder *u, const struct sv_object_section *s)
{
    const uint8_t *at = s->bytes;
    uint32_t id;

    u->end = s->bytes + s->len;
    u->in.base = s->bytes;
    while (at < u->end) {
        if (!read_entry(u, at, &u->in))
            return false;
        at = u->in.end;
        if (sv_reader_left(&u->in) == 0)
            continue; /* what ends some tables */
        memcpy(&id, u->in.p, sizeof id);
        if (id == 0)
            continue; /* read when an entry names it */
        if (id > sv_reader_offset(&u->in))
            return fail(u, "a header outside the section");
        if (!read_cie(u, u->in.p - id))
            return false;
        u->in.p += sizeof id;
        if (!read_function(u))
            return false;
    }
    return true;
}

static int read_section(struct sv_err *err, const struct sv_object *o, uint32_t index,
                        struct sv_object_unwinds *ret)
{
    const struct sv_object_section *s = &o->sections[index];
    struct unwinder u = {.object = o, .out = ret};
    int r;

    u.ret_register = o->machine == EM_X86_64 ? 16 : 30;
    u.fp_register = o->machine == EM_X86_64 ? 6 : 29;
    r = sv_object_table_relocations(err, o, index, "unwind table", &u.rela, &u.nrela);
    if (r < 0)
        return r;
    if (read_entries(&u, s))
        return 0;
    if (u.failed_memory)
        return sv_fail_nomem(err, "unwind table");
    return sv_fail(err, SV_EMALFORMED, SV_NO_OFFSET, "object %u: unwind table: %s", o->index,
                   u.failure ? u.failure : u.in.failure);
}

int sv_object_unwinds_read(struct sv_err *err, const struct sv_object *o,
                           struct sv_object_unwinds *unwinds)
{
    int r = 0;

    for (uint32_t i = 1; i < o->nsections && r == 0; i++)
        if (strcmp(o->sections[i].name, ".eh_frame") == 0)
            r = read_section(err, o, i, unwinds);
    return r;
}

/* ---- The table of the image ---- */

static int by_start(const void *a, const void *b)
{
    const struct sv_object_span *x = a, *y = b;

    return (x->start > y->start) - (x->start < y->start);
}

/* Frames are the same again and again: each once. */
struct table {
    struct sv_linked *out;
    struct sv_map numbers; /* of frames, plus 1; the keys lie in the rows */
    bool failed_memory;
};

static uint32_t number_of(struct table *t, const struct sv_object_frame *f)
{
    struct sv_str key = {(const char *)f, sizeof *f};
    void *known = sv_map_find(&t->numbers, key);

    if (f->cfa_register == UNKNOWN)
        return UNKNOWN;
    if (known)
        return (uint32_t)(uintptr_t)known - 1;
    t->out->frames[t->out->nframes++] = *f;
    if (!sv_map_put(&t->numbers, key, (void *)(uintptr_t)t->out->nframes))
        t->failed_memory = true;
    return t->out->nframes - 1;
}

/* The same frame as in the row before is no news. */
static void put(struct table *t, uint32_t code, uint32_t frame)
{
    struct sv_linked *out = t->out;

    if (frame != (out->nunwind ? out->unwind[out->nunwind - 1].frame : UNKNOWN))
        out->unwind[out->nunwind++] = (struct sv_object_unwind){code, frame};
}

static int put_all(struct sv_err *err, struct table *t, struct sv_object_unwinds *unwinds)
{
    uint32_t end = 0;

    qsort(unwinds->spans.data, unwinds->spans.len, sizeof *unwinds->spans.data, by_start);
    for (size_t i = 0; i < unwinds->spans.len; i++) {
        const struct sv_object_span *span = &unwinds->spans.data[i];

        if (span->start < end)
            return sv_fail(err, SV_EMALFORMED, SV_NO_OFFSET,
                           "unwind tables: two entries for the code at 0x%x", span->start);
        if (span->start > end)
            put(t, end, UNKNOWN);
        for (uint32_t k = 0; k < span->nrows; k++) {
            const struct sv_object_row *row = &unwinds->rows.data[span->first + k];

            put(t, row->code_offset, number_of(t, &row->frame));
        }
        end = span->end;
    }
    put(t, end, UNKNOWN);
    return t->failed_memory ? sv_fail_nomem(err, "unwind table") : 0;
}

static void *shrink(own void *p, size_t n, size_t size)
{
    void *fitting = sv_realloc(p, (n ? n : 1) * size);

    return fitting ? fitting : p;
}

int sv_object_unwinds_join(struct sv_err *err, struct sv_object_unwinds *unwinds,
                           struct sv_linked *out)
{
    struct table t = {.out = out};
    size_t most = unwinds->rows.len;
    int r;

    if (most == 0)
        return 0;
    out->unwind = sv_alloc_array(most + unwinds->spans.len + 1, sizeof *out->unwind);
    out->frames = sv_alloc_array(most, sizeof *out->frames);
    if (!out->unwind || !out->frames)
        return sv_fail_nomem(err, "unwind table");
    sv_map_init(&t.numbers);
    r = put_all(err, &t, unwinds);
    sv_map_release(&t.numbers);
    if (r < 0)
        return r;
    out->unwind = shrink(out->unwind, out->nunwind, sizeof *out->unwind);
    out->frames = shrink(out->frames, out->nframes, sizeof *out->frames);
    return 0;
}
