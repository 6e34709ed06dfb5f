/* diff-runner: reads the records that test/diff/tool writes (standard input) and compares ssvm with
 * them: verdicts of the validator, results of executed modules, gas. The other engine is not linked
 * here; the format is in tool/src/record.rs. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "interp/interp.h"
#include "runtime/instance.h"
#include "runtime/store.h"

#define SLOTS_MAX 4096
#define RECORD_MAX (64u << 20)

struct bytes {
    unsigned char *data;
    uint32_t len;
};
struct value {
    unsigned char kind; /* i I f F v r */
    union sv_slot slot[2];
};
enum outcome_kind { OUTCOME_OK, OUTCOME_TRAP, OUTCOME_EXCEPTION, OUTCOME_UNKNOWN };
struct outcome {
    unsigned char kind, code;
};

static struct {
    struct sv_engine *engine;
    const char *save; /* folder for the modules that differ */
    unsigned agreed, differed, skipped;
    bool metered;
} run;

/* What is known about the module at hand. */
struct subject {
    struct bytes bytes;
    struct sv_store *store;
    struct sv_module *module;
    struct sv_instance *instance;
    char last[64];         /* function called last */
    bool differs, skipped; /* skipped: a limit was met, nothing more can be compared */
};

/* ---- Reading
 * -------------------------------------------------------------------------------------------------------
 */

static void need(void *p, size_t n)
{
    if (fread(p, 1, n, stdin) != n) {
        fprintf(stderr, "diff-runner: the records end in the middle\n");
        exit(2);
    }
}
static unsigned char read_u8(void)
{
    unsigned char x;
    need(&x, 1);
    return x;
}
static uint32_t read_u32(void)
{
    uint32_t x;
    need(&x, 4);
    return x;
}
static uint64_t read_u64(void)
{
    uint64_t x;
    need(&x, 8);
    return x;
}
static struct bytes read_bytes(void)
{
    struct bytes b = {NULL, read_u32()};
    if (b.len > RECORD_MAX) {
        fprintf(stderr, "diff-runner: damaged records\n");
        exit(2);
    }
    b.data = malloc((size_t)b.len + 1);
    if (!b.data)
        exit(2);
    need(b.data, b.len);
    b.data[b.len] = 0;
    return b;
}
static struct value read_value(void)
{
    struct value v = {.kind = read_u8()};
    need(v.slot, sizeof v.slot);
    return v;
}
static struct outcome read_outcome(void)
{
    struct outcome o;
    need(&o, sizeof o);
    return o;
}

/* ---- Reports
 * -------------------------------------------------------------------------------------------------------
 */

static void differ(struct subject *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void differ(struct subject *s, const char *fmt, ...)
{
    char path[4096];
    va_list ap;

    printf("module %u: ", run.agreed + run.differed + run.skipped);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    if (run.save && !s->differs) {
        snprintf(path, sizeof path, "%s/%u.wasm", run.save,
                 run.agreed + run.differed + run.skipped);
        FILE *f = fopen(path, "wb");
        if (f) {
            fwrite(s->bytes.data, 1, s->bytes.len, f);
            fclose(f);
        }
    }
    s->differs = true;
}

static void finish(struct subject *s)
{
    if (s->differs)
        run.differed++;
    else if (s->skipped)
        run.skipped++;
    else
        run.agreed++;
    sv_store_delete(s->store);
    sv_module_unref(s->module);
    free(s->bytes.data);
}

static int load(struct sv_err *err, struct subject *s)
{
    struct sv_decode_options options = {.features = run.engine->features};
    return sv_module_new(err, run.engine->types, s->bytes.data, s->bytes.len, NULL, &options,
                         &s->module);
}

/* ---- Verdicts
 * ------------------------------------------------------------------------------------------------------
 */

static void verdict(void)
{
    struct subject s = {0};
    struct sv_err err = {0};
    bool valid = read_u8() != 0;
    struct bytes message;
    int r;

    s.bytes = read_bytes();
    message = read_bytes();
    r = load(&err, &s);
    if (r == SV_ELIMIT)
        s.skipped = true;
    else if (valid && r < 0)
        differ(&s, "refused (%s: %s), but valid", sv_code_text(r), err.text);
    else if (!valid && r == 0)
        differ(&s, "accepted, but: %s", message.data);
    free(message.data);
    finish(&s);
}

/* ---- Results
 * -------------------------------------------------------------------------------------------------------
 */

/* Traps that the other engine does not tell apart share a class. */
static int trap_class(int code)
{
    if (code == SV_TRAP_UNDEFINED_ELEMENT)
        return SV_TRAP_TABLE_BOUNDS;
    if (code == SV_TRAP_NULL_FUNCTION || code == SV_TRAP_UNINITIALIZED_ELEMENT)
        return SV_TRAP_NULL_REFERENCE;
    if (code >= SV_TRAP_NULL_REFERENCE && code <= SV_TRAP_NULL_EXCEPTION)
        return SV_TRAP_NULL_REFERENCE;
    return code;
}

/* Limits of ours: nothing can be compared after them. */
static bool is_limit(int code)
{
    return code == SV_TRAP_STACK || code == SV_TRAP_GC_HEAP || code == SV_TRAP_ALLOCATION_SIZE;
}

static const char *outcome_text(struct outcome o, char *buf, size_t size)
{
    static const char *const names[] = {"success", "trap", "an exception", "unknown"};
    if (o.kind == OUTCOME_TRAP)
        snprintf(buf, size, "trap '%s'", sv_trap_text(o.code));
    else
        snprintf(buf, size, "%s", names[o.kind & 3]);
    return buf;
}

static bool outcome_agrees(struct subject *s, const char *what, struct outcome want, int code)
{
    const struct sv_trap *trap = &s->store->thread.trap;
    char text[128];
    bool ok;

    if (want.kind == OUTCOME_UNKNOWN || (code == SV_ETRAP && is_limit(trap->code)) ||
        code == SV_ELIMIT) {
        s->skipped = true;
        return false;
    }
    ok = (want.kind == OUTCOME_OK && code == 0) ||
         (want.kind == OUTCOME_EXCEPTION && code == SV_EEXCEPTION) ||
         (want.kind == OUTCOME_TRAP && code == SV_ETRAP &&
          trap_class(want.code) == trap_class(trap->code));
    if (!ok)
        differ(s, "%s: %s%s%s, expected %s", what, sv_code_text(code), code == SV_ETRAP ? ": " : "",
               code == SV_ETRAP ? trap->text : "", outcome_text(want, text, sizeof text));
    return ok;
}

static void value_compare(struct subject *s, const char *what, const struct value *want,
                          const union sv_slot *got)
{
    bool ok;
    switch (want->kind) {
    case 'i':
    case 'f':
        ok = want->slot[0].i32 == got->i32;
        break;
    case 'v':
        ok = want->slot[0].i64 == got[0].i64 && want->slot[1].i64 == got[1].i64;
        break;
    case 'r':
        ok = (want->slot[0].i64 != 0) == (got->ref != SV_REF_NULL);
        break;
    default:
        ok = want->slot[0].i64 == got->i64;
    }
    if (!ok)
        differ(s,
               "%s: value of kind %c: 0x%" PRIx64 " 0x%" PRIx64 ", expected 0x%" PRIx64
               " 0x%" PRIx64,
               what, want->kind, got[0].i64, want->kind == 'v' ? got[1].i64 : 0, want->slot[0].i64,
               want->slot[1].i64);
}

/* The generated modules stop themselves by a global that is filled before every call. */
#define FUEL_NAME "ssvm-fuel"
#define FUEL 2000

static bool find(struct subject *s, struct bytes name, enum sv_extern_kind kind,
                 struct sv_extern *ret)
{
    struct sv_str str = {(const char *)name.data, name.len};
    if (s->instance && sv_instance_export(s->instance, str, ret) && ret->kind == kind)
        return true;
    differ(s, "no export '%s'", name.data);
    return false;
}

static uint32_t read_values(struct value *values)
{
    uint32_t n = read_u32();
    if (n > SLOTS_MAX / 2) {
        fprintf(stderr, "diff-runner: too many values\n");
        exit(2);
    }
    for (uint32_t i = 0; i < n; i++)
        values[i] = read_value();
    return n;
}

static void fill_fuel(struct subject *s)
{
    struct sv_extern fuel;
    if (sv_instance_export(s->instance, sv_str_of(FUEL_NAME), &fuel) &&
        fuel.kind == SV_EXTERN_GLOBAL)
        fuel.global->value.i32 = FUEL;
}

static void call(struct subject *s)
{
    static struct value values[SLOTS_MAX / 2];
    static union sv_slot slots[SLOTS_MAX];
    struct bytes name = read_bytes();
    uint32_t n = read_values(values);
    struct outcome want = read_outcome();
    struct sv_extern e;
    union sv_slot *slot = slots;
    int r;

    for (uint32_t i = 0; i < n; i++) {
        *slot++ = values[i].slot[0];
        if (values[i].kind == 'v')
            *slot++ = values[i].slot[1];
    }
    n = want.kind == OUTCOME_OK ? read_values(values) : 0;
    snprintf(s->last, sizeof s->last, "%s", (char *)name.data);
    if (!s->differs && !s->skipped && find(s, name, SV_EXTERN_FUNC, &e)) {
        fill_fuel(s);
        sv_trap_clear(&s->store->thread.trap);
        r = sv_func_call(&s->store->thread, e.func, slots);
        if (outcome_agrees(s, (char *)name.data, want, r)) {
            slot = slots;
            for (uint32_t i = 0; i < n; i++) {
                value_compare(s, (char *)name.data, &values[i], slot);
                slot += values[i].kind == 'v' ? 2 : 1;
            }
        }
    }
    free(name.data);
}

static uint64_t hash(const uint8_t *bytes, uint64_t len)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325), word;
    for (; len >= 8; len -= 8, bytes += 8) {
        memcpy(&word, bytes, 8);
        h = (h ^ word) * UINT64_C(0x100000001b3);
    }
    for (; len > 0; len--)
        h = (h ^ *bytes++) * UINT64_C(0x100000001b3);
    return h;
}

static void memory_compare(struct subject *s, struct bytes name)
{
    uint64_t size = read_u64(), want = read_u64();
    struct sv_extern e;

    if (s->differs || s->skipped || !find(s, name, SV_EXTERN_MEMORY, &e))
        return;
    if (sv_memory_size(e.memory) != size)
        differ(s, "memory '%s': %" PRIu64 " bytes, expected %" PRIu64, name.data,
               sv_memory_size(e.memory), size);
    else if (hash(e.memory->base, size) != want)
        differ(s, "memory '%s': other contents", name.data);
}

static void state_compare(struct subject *s, unsigned char kind)
{
    struct bytes name = read_bytes();
    struct sv_extern e;

    if (kind == 'g') {
        struct value want = read_value();
        if (!s->differs && !s->skipped && find(s, name, SV_EXTERN_GLOBAL, &e))
            value_compare(s, (char *)name.data, &want, e.global->value.slot);
    } else if (kind == 'm') {
        memory_compare(s, name);
    } else {
        uint64_t size = read_u64();
        if (!s->differs && !s->skipped && find(s, name, SV_EXTERN_TABLE, &e) &&
            e.table->size != size)
            differ(s, "table '%s': %" PRIu64 " elements, expected %" PRIu64, name.data,
                   (uint64_t)e.table->size, size);
    }
    free(name.data);
}

static bool start(struct subject *s, struct outcome want)
{
    struct sv_err err = {0};
    int r;

    if (sv_store_new(&err, run.engine, &sv_store_limits_default, &s->store) < 0) {
        fprintf(stderr, "diff-runner: %s\n", err.text);
        exit(2);
    }
    if (run.metered)
        sv_store_set_gas(s->store, UINT64_MAX);
    r = load(&err, s);
    if (r < 0) {
        differ(s, "refused: %s", err.text);
        return false;
    }
    r = sv_instance_new(&err, s->store, s->module, NULL, &s->instance);
    if (r < 0)
        s->instance = NULL;
    return outcome_agrees(s, "instantiation", want, r);
}

static void gas_compare(struct subject *s)
{
    uint64_t want = read_u64(), got;
    if (s->differs || s->skipped)
        return;
    got = sv_store_gas_used(s->store);
    if (got != want)
        differ(s, "gas after '%s': %" PRIu64 ", expected %" PRIu64, s->last, got, want);
}

static void execute(void)
{
    struct subject s = {0};
    unsigned char kind;

    s.bytes = read_bytes();
    start(&s, read_outcome());
    while ((kind = read_u8()) != 0) {
        if (kind == 'c')
            call(&s);
        else if (kind == '$')
            gas_compare(&s);
        else
            state_compare(&s, kind);
    }
    finish(&s);
}

int main(int argc, char **argv)
{
    struct sv_err err = {0};
    int kind;

    if (sv_trap_init_process(&err) < 0 || sv_trap_init_thread(&err) < 0 ||
        sv_engine_new(&err, &run.engine) < 0) {
        fprintf(stderr, "diff-runner: %s\n", err.text);
        return 2;
    }
    run.engine->exec = &sv_interp_ops;
    run.engine->deterministic = true;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--no-guard") == 0) {
            run.engine->no_guard = true;
        } else if (strcmp(argv[i], "--no-optimise") == 0) {
            run.engine->no_optimise = true;
        } else if (strcmp(argv[i], "--gc-stress") == 0) {
            run.engine->gc_stress = true;
        } else if (strcmp(argv[i], "--metered") == 0) {
            run.metered = true;
        } else if (strcmp(argv[i], "--save") == 0 && i + 1 < argc) {
            run.save = argv[++i];
        } else {
            fprintf(stderr,
                    "usage: diff-runner [--no-guard] [--no-optimise] [--gc-stress] [--metered] "
                    "[--save FOLDER] < records\n");
            return 2;
        }
    }
    while ((kind = getchar()) != EOF) {
        if (kind == 'V') {
            verdict();
        } else if (kind == 'X') {
            execute();
        } else {
            fprintf(stderr, "diff-runner: damaged records\n");
            return 2;
        }
    }
    sv_engine_unref(run.engine);
    printf("%u agreed, %u differed, %u skipped\n", run.agreed, run.differed, run.skipped);
    return run.differed != 0;
}
