/* diff-tiers: modules run in the interpreter and in native code, in every form; what they return,
 * what they leave in memories, globals and tables, gas, traps with their backtraces and exceptions
 * must be the same, to the byte. Modules come from standard input (length, bytes), or are made here
 * (tiers_make.c and others). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/tier.h"
#include "base/clock.h"
#include "interp/interp.h"
#include "runtime/gc.h"
#include "tiers.h"

static const char usage[] =
    "usage: diff-tiers [OPTION...] [< modules]\n"
    "  --make N      N modules made here, not from standard input\n"
    "  --traps N     N modules of traps, each under some frames\n"
    "  --loops N     N modules of counted loops\n"
    "  --endless N   N modules of loops without an end: a deadline, then limits of gas\n"
    "  --tails N     N modules of functions that replace each other, of any signatures\n"
    "  --seed N      other modules, other arguments (default 1)\n"
    "  --form N      one form: 1 deterministic, 2 checked, 4 collecting always, 8 metered (a sum)\n"
    "  --optimise N  one level of optimisation\n"
    "  --plain       forms that are not deterministic too: after a trap of memory only the trap "
    "counts where gas is not\n"
    "  --funcs N     bodies in a module made here (default 24)\n"
    "  --statements N  in a body (default 8)\n"
    "  --save DIR    keep the modules that differ\n";

#define MODULE_MAX (16u << 20)
#define SLOTS_MAX 4096
#define LOG_MAX (64u << 20)
#define FUEL 60
#define SMITH_FUEL 2000
#define SMITH_FUEL_NAME "ssvm-fuel"
#define LIMITS 4 /* runs under a limit of gas */
#define CALL_MS 20000
#define ENDLESS_MS 30 /* of what only the deadline ends */

enum form { FORM_DETERMINISTIC = 1, FORM_CHECKED = 2, FORM_STRESS = 4, FORM_METERED = 8 };
enum { INTERP, NATIVE, TIERS };

static struct {
    struct sv_engine *engines[TIERS][8]; /* by form, made when first wanted */
    const char *save;
    uint64_t seed;
    int form, optimise;
    bool plain;
    unsigned passed, failed, skipped;
    uint64_t functions, calls, traps, runs, exceptions;
} run = {.seed = 1, .form = -1, .optimise = -1};

/* A module in one tier. */
struct side {
    struct sv_engine *engine;
    struct sv_module *module;
    struct sv_store *store;
    struct sv_instance *instance;
    struct sv_buf log;
    uint64_t seed;  /* of arguments: the same on both sides */
    bool limited;   /* a limit was met that comes at another time in the other tier */
    unsigned calls; /* back from the host */
};
/* What is run on both sides. */
struct subject {
    const uint8_t *bytes;
    size_t len;
    bool made;    /* here: imports, two instances */
    bool endless; /* without a limit a deadline must end both sides, or neither */
    unsigned form, level;
    uint64_t seed, limit; /* of gas */
    uint64_t used;
};

static void die(const char *what, const struct sv_err *err)
{
    fprintf(stderr, "diff-tiers: %s: %s\n", what, err ? err->text : "");
    exit(2);
}

/* ---- Engines ---- */

static struct sv_engine *engine_of(unsigned tier, unsigned form, unsigned level)
{
    struct sv_engine **e = &run.engines[tier][form & 7];
    ssvm_config c = SSVM_CONFIG_INIT;
    struct sv_err err = {0};

    if (!*e) {
        if (sv_engine_new(&err, e) < 0)
            die("engine", &err);
        (*e)->exec = &sv_interp_ops;
        (*e)->deterministic = form & FORM_DETERMINISTIC;
        (*e)->no_guard = form & FORM_CHECKED;
        (*e)->gc_stress = form & FORM_STRESS;
        if (tier == NATIVE) {
            c.tier = "aot";
            if (sv_tier_new(&c, &(*e)->tier))
                die("tier", NULL);
            (*e)->tier->verify = true;
            (*e)->find_native = sv_tier_find;
            (*e)->tier_delete = sv_tier_delete;
        }
    }
    if (tier == NATIVE)
        (*e)->tier->opt_level = level;
    return *e;
}

/* ---- The log ---- */

static void print_value(struct sv_buf *b, sv_valtype type, const union sv_slot *v)
{
    switch (sv_valtype_kind(type)) {
    case SV_VAL_I32:
    case SV_VAL_F32:
        sv_buf_printf(b, " %" PRIx32, v->i32);
        break;
    case SV_VAL_I64:
    case SV_VAL_F64:
        sv_buf_printf(b, " %" PRIx64, v->i64);
        break;
    case SV_VAL_V128:
        sv_buf_printf(b, " %016" PRIx64 "%016" PRIx64, v[1].i64, v[0].i64);
        break;
    default:
        if (sv_ref_is_i31(v->ref))
            sv_buf_printf(b, " i31:%" PRIx64, v->ref);
        else
            sv_buf_puts(b, v->ref ? " ref" : " null");
    }
}

static void print_values(struct sv_buf *b, const sv_valtype *types, uint32_t n,
                         const union sv_slot *slot)
{
    for (uint32_t i = 0; i < n; i++) {
        print_value(b, types[i], slot);
        slot += sv_valtype_slots(types[i]);
    }
}

static uint64_t hash(uint64_t h, const void *bytes, uint64_t len)
{
    const uint8_t *p = bytes;
    uint64_t word;

    for (; len >= 8; len -= 8, p += 8) {
        memcpy(&word, p, 8);
        h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 29;
    }
    for (; len > 0; len--)
        h = (h ^ *p++) * UINT64_C(0x100000001b3);
    return h;
}

static void print_table(struct sv_buf *b, const struct sv_table *t)
{
    sv_buf_printf(b, "; table %" PRIu64 ":", t->size);
    for (uint64_t i = 0; i < t->size; i++)
        sv_buf_putc(b, t->elems[i] ? 'x' : '-');
}

static void print_state(struct side *s)
{
    struct sv_instance *inst = s->instance;
    const struct sv_module *m = s->module;

    for (uint32_t i = 0; i < m->nmemories; i++) {
        uint64_t size = sv_memory_size(inst->memories[i]);

        sv_buf_printf(&s->log, "; memory %" PRIu64 " %" PRIx64, size,
                      hash(i, inst->memories[i]->base, size));
    }
    for (uint32_t i = 0; i < m->ntables; i++)
        print_table(&s->log, inst->tables[i]);
    sv_buf_puts(&s->log, "; globals");
    for (uint32_t i = 0; i < m->nglobals; i++)
        print_value(&s->log, m->globals[i].type.type, inst->globals[i]->value.slot);
}

static void print_exception(struct side *s)
{
    const struct sv_exn *e = (const void *)(uintptr_t)s->store->thread.exn;
    const struct sv_type *type = e->tag->type;

    sv_buf_puts(&s->log, "exception");
    for (uint32_t i = 0; i < s->module->ntags; i++)
        if (s->instance->tags[i] == e->tag)
            sv_buf_printf(&s->log, " tag %u", i);
    print_values(&s->log, type->func.params, type->func.nparams, e->args);
}

/* Where a limit stops a guest depends on the tier. */
static bool is_limit(int code)
{
    return code == SV_TRAP_STACK || code == SV_TRAP_GC_HEAP || code == SV_TRAP_DEADLINE;
}

static void print_outcome(struct side *s, int r, const struct sv_type *type,
                          const union sv_slot *slots)
{
    const struct sv_trap *trap = &s->store->thread.trap;

    if (r == 0) {
        sv_buf_puts(&s->log, "ok");
        print_values(&s->log, type->func.results, type->func.nresults, slots);
    } else if (r == SV_ETRAP) {
        if (is_limit(trap->code))
            s->limited = true;
        sv_trap_print(&s->log, trap);
    } else if (r == SV_EEXCEPTION) {
        print_exception(s);
    } else {
        sv_buf_printf(&s->log, "%s", sv_code_text(r));
    }
    if (s->store->metered)
        sv_buf_printf(&s->log, "; gas %" PRIu64, sv_store_gas_used(s->store));
}

/* ---- Imports: a host that answers, traps, calls back and throws ---- */

/* Results of the host. */
static void fill_results(const struct sv_type *type, uint32_t x, union sv_slot *ret)
{
    for (uint32_t i = 0; i < type->func.nresults; i++) {
        ret[i].i64 = x + i;
        if (sv_valtype_kind(type->func.results[i]) == SV_VAL_F64)
            ret[i].f64 = x;
    }
}

static int host(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct side *s = c->data;
    uint32_t x = arg[0].i32;
    union sv_slot slots[64] = {arg[0], arg[1], arg[2], arg[3]};
    struct sv_extern e;
    char name[16];
    int r;

    if (x == 77)
        return sv_trap_set(c->th, SV_TRAP_HOST, "the host does not like %u", x);
    fill_results(c->func->type, x * 2654435761u ^ (uint32_t)arg[1].i64, ret);
    if (x % 8 != 5 || !s->instance || s->calls >= 4)
        return 0;
    s->calls++;
    snprintf(name, sizeof name, "f%u", x / 8 % 16);
    if (!sv_instance_export(s->instance, sv_str_of(name), &e) || e.kind != SV_EXTERN_FUNC)
        return 0;
    r = sv_func_call(c->th, e.func, slots);
    ret->i32 = slots[0].i32;
    if (r == 0 && e.func->type->func.nresults == 0)
        ret->i32 = 9;
    return r;
}

static void make_import(struct side *s, const struct sv_import *im, uint32_t nth,
                        struct sv_instance *other, struct sv_extern *ret)
{
    char name[16];

    ret->kind = im->kind;
    if (im->kind == SV_EXTERN_TAG) {
        ret->tag = other ? other->tags[nth - MAKE_IMPORTS]
                         : sv_tag_new(s->store, s->module->tags[im->index].type);
    } else if (other) {
        snprintf(name, sizeof name, "f%u", nth * 4 + 1 + nth % 2);
        if (!sv_instance_export(other, sv_str_of(name), ret))
            die("import", NULL);
    } else {
        ret->func = sv_func_new_host(s->store, s->module->funcs[im->index].type, host, s, "h", 3);
    }
    if (!ret->ptr)
        die("out of memory", NULL);
}

/* ---- One side ---- */

static bool instantiate(struct side *s, struct sv_instance *other, struct sv_instance **ret)
{
    const struct sv_module *m = s->module;
    struct sv_extern imports[MAKE_IMPORTS + 2];
    struct sv_err err = {0};
    int r;

    if (m->nimports > SV_COUNT(imports))
        die("imports", NULL);
    for (uint32_t i = 0; i < m->nimports; i++)
        make_import(s, &m->imports[i], i, other, &imports[i]);
    r = sv_instance_new(&err, s->store, s->module, imports, ret);
    if (r == 0)
        return true;
    if (r != SV_ETRAP && r != SV_EEXCEPTION)
        sv_buf_printf(&s->log, "not instantiated: %s", err.text);
    else
        print_outcome(s, r, NULL, NULL);
    return false;
}

static bool start(struct side *s, const struct subject *j)
{
    struct sv_store_limits limits = sv_store_limits_default;
    struct sv_err err = {0};

    limits.memory_bytes = 16u << 20;
    limits.gc_heap_bytes = 4u << 20;
    limits.stack_bytes = 512u << 10;
    if (sv_store_new(&err, s->engine, &limits, &s->store) < 0)
        die("store", &err);
    if (j->form & FORM_METERED)
        sv_store_set_gas(s->store, j->limit);
    if (!instantiate(s, NULL, &s->instance)) {
        s->instance = NULL;
        return false;
    }
    if (j->made) {
        struct sv_instance *first = s->instance;

        return instantiate(s, first, &s->instance);
    }
    return true;
}

static uint64_t make_number(struct side *s)
{
    static const uint64_t edges[] = {0,
                                     1,
                                     2,
                                     7,
                                     0xff,
                                     4096,
                                     65528,
                                     65536,
                                     131068,
                                     131072,
                                     0x7fffffff,
                                     0x80000000,
                                     0xffff0000,
                                     0xfffffff8,
                                     0xffffffff,
                                     0x100000000,
                                     0x7fffffffffffffff,
                                     0x8000000000000000,
                                     0xffffffffffffffff};
    uint64_t x = make_random(&s->seed);

    switch (x % 4) {
    case 0:
        return edges[x / 4 % SV_COUNT(edges)];
    case 1:
        return x;
    default:
        return x / 4 % 131072;
    }
}

/* False: nothing of the type can be made. */
static bool make_argument(struct side *s, sv_valtype type, union sv_slot *ret)
{
    static const double floats[] = {0.0, -0.0, 1.0, -1.5, 0.5, 1e10, -3e38, 1e300, 12.0, -7.0};
    uint64_t x = make_number(s);

    ret->i64 = x;
    switch (sv_valtype_kind(type)) {
    case SV_VAL_F32:
        ret->i64 = 0;
        ret->f32 = (float)floats[x % 7];
        break;
    case SV_VAL_F64:
        ret->f64 = floats[x % SV_COUNT(floats)];
        break;
    case SV_VAL_V128:
        ret[1].i64 = make_number(s);
        break;
    case SV_VAL_REF:
        ret->ref = SV_REF_NULL;
        return sv_valtype_nullable(type);
    default:
        break;
    }
    return true;
}

static void fill_fuel(struct side *s)
{
    struct sv_extern e;

    if (sv_instance_export(s->instance, sv_str_of(MAKE_FUEL_NAME), &e) &&
        e.kind == SV_EXTERN_GLOBAL)
        e.global->value.i32 = FUEL;
    if (sv_instance_export(s->instance, sv_str_of(SMITH_FUEL_NAME), &e) &&
        e.kind == SV_EXTERN_GLOBAL)
        e.global->value.i32 = SMITH_FUEL;
}

static bool is_endless(const struct subject *j)
{
    return j->endless && j->limit == INT64_MAX;
}

/* False: nothing can be compared from here on. */
static bool call(struct side *s, const struct subject *j, const struct sv_export *x,
                 struct sv_func *f)
{
    static union sv_slot slots[SLOTS_MAX];
    const struct sv_type *type = f->type;
    union sv_slot *slot = slots;
    uint64_t ms;
    int r, code;

    for (uint32_t i = 0; i < type->func.nparams; i++) {
        if (!make_argument(s, type->func.params[i], slot))
            return true;
        slot += sv_valtype_slots(type->func.params[i]);
    }
    fill_fuel(s);
    s->calls = 0;
    sv_trap_clear(&s->store->thread.trap);
    sv_buf_printf(&s->log, "%.*s(", (int)x->name.len, x->name.ptr);
    print_values(&s->log, type->func.params, type->func.nparams, slots);
    sv_buf_puts(&s->log, "): ");
    ms = is_endless(j) ? ENDLESS_MS : CALL_MS;
    sv_store_set_deadline(s->store, sv_clock_ns() + ms * UINT64_C(1000000));
    r = sv_func_call(&s->store->thread, f, slots);
    print_outcome(s, r, type, slots);
    code = r == SV_ETRAP ? s->store->thread.trap.code : 0;
    run.calls++;
    run.traps += code != 0;
    run.exceptions += r == SV_EEXCEPTION;
    if (s->limited)
        return false;
    /* LLVM may have left out or moved stores before a fault. */
    if (code == SV_TRAP_MEMORY_BOUNDS &&
        !(j->form & (FORM_DETERMINISTIC | FORM_CHECKED | FORM_METERED)))
        return false;
    print_state(s);
    sv_buf_putc(&s->log, '\n');
    return code != SV_TRAP_GAS;
}

static void run_side(struct side *s, const struct subject *j, unsigned tier)
{
    struct sv_decode_options options;
    struct sv_err err = {0};

    *s = (struct side){.engine = engine_of(tier, j->form, j->level), .seed = j->seed};
    sv_buf_init(&s->log, LOG_MAX);
    options = (struct sv_decode_options){.features = s->engine->features};
    if (sv_module_new(&err, s->engine->types, j->bytes, j->len, NULL, &options, &s->module) < 0)
        sv_buf_printf(&s->log, "refused at 0x%" PRIx64 ": %s", err.offset, err.text);
}

/* Everything that the module exports, from a new store. */
static void run_exports(struct side *s, const struct subject *j)
{
    bool go = start(s, j);

    for (unsigned round = 0; go && round < (j->made ? 2 : 1); round++) {
        for (uint32_t i = 0; go && i < s->module->nexports; i++) {
            struct sv_extern e;

            if (s->module->exports[i].kind == SV_EXTERN_FUNC &&
                sv_instance_export_at(s->instance, i, &e))
                go = call(s, j, &s->module->exports[i], e.func);
        }
    }
}

static void end_store(struct side *s)
{
    sv_store_delete(s->store);
    s->store = NULL;
    s->instance = NULL;
}

/* ---- Both ---- */

static void save(const struct subject *j)
{
    char path[4096];
    FILE *f;

    if (!run.save)
        return;
    snprintf(path, sizeof path, "%s/%" PRIx64 "-%u-O%u.wasm", run.save, j->seed, j->form, j->level);
    f = fopen(path, "wb");
    if (f) {
        fwrite(j->bytes, 1, j->len, f);
        fclose(f);
    }
}

/* The call that `at` belongs to: its lines begin with "  ", but for the first. */
static size_t call_at(const char *s, size_t at)
{
    while (at > 0 && (s[at - 1] != '\n' || s[at] == ' '))
        at--;
    return at;
}
/* And its end. */
static int call_len(const char *s)
{
    int n = 0;

    while (s[n] && n < 4000 && (s[n] != '\n' || s[n + 1] == ' '))
        n++;
    return n;
}

/* The logs up to where the shorter one says nothing more. */
static bool logs_agree(struct side *s, const struct subject *j)
{
    const char *a = sv_buf_cstr(&s[INTERP].log), *b = sv_buf_cstr(&s[NATIVE].log);
    size_t at = 0;

    while (a[at] && a[at] == b[at])
        at++;
    if (a[at] == b[at])
        return true;
    if (is_endless(j) ? s[INTERP].limited && s[NATIVE].limited
                      : s[INTERP].limited || s[NATIVE].limited)
        return true;
    printf("module %" PRIx64 " form %u level %u limit %" PRIu64 " differs:\n", j->seed, j->form,
           j->level, j->limit);
    at = call_at(a, at);
    printf("  interpreted: %.*s\n", call_len(a + at), a + at);
    printf("  native:      %.*s\n", call_len(b + at), b + at);
    return false;
}

/* One run on both sides; false: they differ. */
static bool both(struct side *s, struct subject *j)
{
    bool agree;

    for (unsigned tier = 0; tier < TIERS; tier++) {
        s[tier].seed = j->seed;
        s[tier].limited = false;
        sv_buf_clear(&s[tier].log);
        run_exports(&s[tier], j);
    }
    run.runs++;
    agree = logs_agree(s, j);
    j->used = sv_store_gas_used(s[INTERP].store);
    if (!is_endless(j))
        run.skipped += s[INTERP].limited || s[NATIVE].limited;
    for (unsigned tier = 0; tier < TIERS; tier++)
        end_store(&s[tier]);
    return agree;
}

static void compare(struct subject *j)
{
    struct side s[TIERS];
    uint64_t seed = j->seed, total;
    bool agree = true;

    for (unsigned tier = 0; tier < TIERS; tier++)
        run_side(&s[tier], j, tier);
    j->limit = INT64_MAX;
    if (s[INTERP].module && s[NATIVE].module) {
        run.functions += s[INTERP].module->nfuncs - s[INTERP].module->nimports_of[SV_EXTERN_FUNC];
        agree = both(s, j);
        total = j->used;
        for (unsigned i = 0; agree && i < LIMITS && j->form & FORM_METERED && total; i++) {
            /* In the middle of things, mostly soon. */
            j->limit = make_random(&seed) % (i % 2 ? total : total / 8 + 1);
            agree = both(s, j);
        }
    } else {
        if (!s[INTERP].module == !s[NATIVE].module)
            printf("module %" PRIx64 " is not valid: %s\n", j->seed, sv_buf_cstr(&s[INTERP].log));
        agree = false;
    }
    for (unsigned tier = 0; tier < TIERS; tier++) {
        sv_module_unref(s[tier].module);
        sv_buf_release(&s[tier].log);
    }
    run.passed += agree;
    run.failed += !agree;
    if (!agree)
        save(j);
    fflush(stdout);
}

/* Forms and levels in turn. */
static void choose(struct subject *j, uint64_t nth)
{
    static const uint8_t strict[] = {FORM_DETERMINISTIC,
                                     FORM_DETERMINISTIC | FORM_METERED,
                                     FORM_DETERMINISTIC | FORM_METERED,
                                     FORM_DETERMINISTIC | FORM_CHECKED,
                                     FORM_DETERMINISTIC | FORM_STRESS,
                                     FORM_DETERMINISTIC | FORM_CHECKED | FORM_METERED};
    static const uint8_t plain[] = {0, FORM_METERED, FORM_CHECKED, FORM_STRESS | FORM_METERED};

    j->form = run.plain ? plain[nth % SV_COUNT(plain)] : strict[nth % SV_COUNT(strict)];
    if (run.form >= 0)
        j->form = (unsigned)run.form;
    j->level = run.optimise >= 0 ? (unsigned)run.optimise : 1 + (unsigned)(nth / 7 % 3);
}

static void run_made(uint64_t n, struct make_options o)
{
    struct sv_buf b;

    sv_buf_init(&b, MODULE_MAX);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t mix = run.seed * UINT64_C(0x100000001) + i;
        struct subject j = {.made = true, .endless = o.endless, .seed = make_random(&mix)};

        choose(&j, i);
        o.quiet = !(j.form & FORM_DETERMINISTIC);
        sv_buf_clear(&b);
        (o.tails ? make_tails : make_module)(&b, j.seed, &o);
        j.bytes = b.data;
        j.len = b.len;
        compare(&j);
    }
    sv_buf_release(&b);
}

static void run_input(void)
{
    uint64_t mix = run.seed;
    uint32_t len;

    for (uint64_t i = 0; fread(&len, sizeof len, 1, stdin) == 1; i++) {
        uint8_t *bytes = len <= MODULE_MAX ? malloc(len + 1) : NULL;
        struct subject j = {.bytes = bytes, .len = len, .seed = make_random(&mix)};

        if (!bytes || fread(bytes, 1, len, stdin) != len)
            die("the modules end in the middle", NULL);
        choose(&j, i);
        compare(&j);
        free(bytes);
    }
}

/* What can be made here, by option. */
enum kind { MAKE, TRAPS, LOOPS, ENDLESS, TAILS, KINDS };
static const char *const kind_options[KINDS] = {"--make", "--traps", "--loops", "--endless",
                                                "--tails"};

static bool read_kind(const char *option, uint64_t n, uint64_t counts[KINDS])
{
    for (enum kind k = 0; k < KINDS; k++) {
        if (strcmp(option, kind_options[k]) == 0) {
            counts[k] = n;
            return true;
        }
    }
    return false;
}

static bool read_options(int argc, char **argv, uint64_t counts[KINDS], struct make_options *o)
{
    for (int i = 1; i < argc; i++) {
        uint64_t n;

        if (strcmp(argv[i], "--plain") == 0) {
            run.plain = true;
            continue;
        }
        if (i + 1 == argc)
            return false;
        if (strcmp(argv[i], "--save") == 0) {
            run.save = argv[++i];
            continue;
        }
        n = strtoull(argv[i + 1], NULL, 0);
        if (strcmp(argv[i], "--seed") == 0)
            run.seed = n;
        else if (strcmp(argv[i], "--form") == 0)
            run.form = (int)n;
        else if (strcmp(argv[i], "--optimise") == 0)
            run.optimise = (int)n;
        else if (strcmp(argv[i], "--funcs") == 0)
            o->funcs = (unsigned)n;
        else if (strcmp(argv[i], "--statements") == 0)
            o->statements = (unsigned)n;
        else if (!read_kind(argv[i], n, counts))
            return false;
        i++;
    }
    return true;
}

static void run_kinds(const uint64_t counts[KINDS], const struct make_options *options)
{
    uint64_t all = 0;

    for (enum kind k = 0; k < KINDS; k++) {
        struct make_options o = *options;

        o.traps = k == TRAPS;
        o.endless = k == ENDLESS;
        o.loops = k == LOOPS || k == ENDLESS;
        o.tails = k == TAILS;
        if (k == ENDLESS)
            o.statements = 1;
        run_made(counts[k], o);
        all += counts[k];
    }
    if (!all)
        run_input();
}

int main(int argc, char **argv)
{
    struct make_options o = {.funcs = 24, .statements = 8};
    uint64_t counts[KINDS] = {0};
    struct sv_err err = {0};

    if (!read_options(argc, argv, counts, &o)) {
        fputs(usage, stderr);
        return 2;
    }
    if (sv_trap_init_process(&err) < 0 || sv_trap_init_thread(&err) < 0)
        die("traps", &err);
    run_kinds(counts, &o);
    for (unsigned i = 0; i < TIERS * 8; i++)
        sv_engine_unref(run.engines[i / 8][i % 8]);
    printf("%" PRIu64 " functions, %" PRIu64 " calls in both tiers (%" PRIu64 " traps, %" PRIu64
           " exceptions), %" PRIu64 " runs\n",
           run.functions, run.calls / 2, run.traps / 2, run.exceptions / 2, run.runs);
    printf("%u passed, %u failed, %u skipped\n", run.passed, run.failed, run.skipped);
    return run.failed != 0;
}
