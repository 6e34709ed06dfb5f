/* For the tests of known classes of vulnerability: a writer of modules, and the engines (fast,
 * plain, explicitly checked, native) to run them on. Knows nothing of the layers below; no tests
 * here. */
#ifndef SV_TEST_MUST_H
#define SV_TEST_MUST_H

#include "../wasm/build.h"

#include <signal.h>

#ifdef SV_TEST_NATIVE
#include "api/tier.h"
#endif
#include "interp/interp.h"
#include "runtime/instance.h"
#include "runtime/native.h"
#include "runtime/store.h"

/* ---- Writing modules: sections fill in any order, must_bytes puts them together ---- */

enum must_section {
    MUST_TYPE = 1,
    MUST_IMPORT,
    MUST_FUNC,
    MUST_TABLE,
    MUST_MEMORY,
    MUST_GLOBAL,
    MUST_EXPORT,
    MUST_START,
    MUST_ELEM,
    MUST_CODE,
    MUST_DATA,
    MUST_DATA_COUNT, /* written before the code */
    MUST_TAG,
    MUST_SECTIONS
};

struct must {
    struct sv_buf section[MUST_SECTIONS];
    uint32_t count[MUST_SECTIONS];
    struct sv_buf body; /* of the function being written */
    uint32_t imports;   /* functions */
};

/* Append a byte string to section `s` of m. */
#define ADD(m, s, ...) put(&(m)->section[s], BYTES(__VA_ARGS__))
/* Append instructions to the open function. */
#define EMIT(m, ...) put(&(m)->body, BYTES(__VA_ARGS__))

static inline void must_init(struct must *m)
{
    memset(m, 0, sizeof *m);
    for (unsigned i = 0; i < MUST_SECTIONS; i++)
        sv_buf_init(&m->section[i], 1 << 24);
    sv_buf_init(&m->body, 1 << 20);
}

/* The section to append one more entry to. */
static inline struct sv_buf *must_entry(struct must *m, enum must_section s)
{
    m->count[s]++;
    return &m->section[s];
}

static inline void put_sleb(struct sv_buf *b, int64_t v)
{
    while (v < -64 || v > 63) {
        put_byte(b, (unsigned)(v & 0x7f) | 0x80);
        v >>= 7;
    }
    put_byte(b, (unsigned)v & 0x7f);
}

static inline unsigned must_type_code(char kind)
{
    static const char kinds[] = "iIfFvXN"; /* X = funcref, N = externref */
    static const uint8_t codes[] = {0x7f, 0x7e, 0x7d, 0x7c, 0x7b, 0x70, 0x6f};
    const char *at = strchr(kinds, kind);

    assert_non_null(at);
    return codes[at - kinds];
}

/* A function type from "iI:f"; its index. */
static inline uint32_t must_type(struct must *m, const char *sig)
{
    struct sv_buf *b = must_entry(m, MUST_TYPE);
    const char *colon = strchr(sig, ':');

    put_byte(b, 0x60);
    put_u64(b, (uint64_t)(colon - sig));
    for (; *sig != ':'; sig++)
        put_byte(b, must_type_code(*sig));
    put_u64(b, strlen(colon + 1));
    for (sig = colon + 1; *sig; sig++)
        put_byte(b, must_type_code(*sig));
    return m->count[MUST_TYPE] - 1;
}

static inline uint32_t must_import(struct must *m, const char *name, uint32_t type)
{
    struct sv_buf *b = must_entry(m, MUST_IMPORT);

    put(b, "\1h", 2);
    put_u64(b, strlen(name));
    put(b, name, strlen(name));
    put_byte(b, 0);
    put_u64(b, type);
    return m->imports++;
}

static inline void must_export(struct must *m, const char *name, unsigned kind, uint32_t index)
{
    struct sv_buf *b = must_entry(m, MUST_EXPORT);

    put_u64(b, strlen(name));
    put(b, name, strlen(name));
    put_byte(b, kind);
    put_u64(b, index);
}

/* Limits with flags as in the binary format: 1 = max, 4 = 64-bit. */
static inline void must_limits(struct sv_buf *b, unsigned flags, uint64_t min, uint64_t max)
{
    put_byte(b, flags);
    put_u64(b, min);
    if (flags & 1)
        put_u64(b, max);
}

/* Begin a function, exported when it has a name. Its index. */
static inline uint32_t must_func(struct must *m, uint32_t type, const char *name)
{
    uint32_t index = m->imports + m->count[MUST_FUNC];

    put_u64(must_entry(m, MUST_FUNC), type);
    sv_buf_clear(&m->body);
    if (name)
        must_export(m, name, 0, index);
    return index;
}

/* End it: `locals` are one group of `n` of a kind, after the parameters. */
static inline void must_end_locals(struct must *m, uint32_t n, char kind)
{
    struct sv_buf *b = must_entry(m, MUST_CODE), head;

    sv_buf_init(&head, 64);
    put_byte(&head, n ? 1 : 0);
    if (n) {
        put_u64(&head, n);
        put_byte(&head, must_type_code(kind));
    }
    put_u64(b, head.len + m->body.len + 1);
    put(b, head.data, head.len);
    if (m->body.len)
        put(b, m->body.data, m->body.len);
    put_byte(b, 0x0b);
    sv_buf_release(&head);
}
static inline void must_end(struct must *m)
{
    must_end_locals(m, 0, 'i');
}

static inline void emit_get(struct must *m, uint32_t local)
{
    put_byte(&m->body, 0x20);
    put_u64(&m->body, local);
}
static inline void emit_i32(struct must *m, uint32_t v)
{
    put_byte(&m->body, 0x41);
    put_sleb(&m->body, (int32_t)v);
}
static inline void emit_i64(struct must *m, uint64_t v)
{
    put_byte(&m->body, 0x42);
    put_sleb(&m->body, (int64_t)v);
}
static inline void emit_u(struct must *m, unsigned op, uint32_t imm)
{
    put_byte(&m->body, op);
    put_u64(&m->body, imm);
}

/* The whole module into ret (to be released); m is released. */
static inline void must_bytes(struct must *m, struct sv_buf *ret)
{
    static const uint8_t order[] = {MUST_TYPE,   MUST_IMPORT, MUST_FUNC,   MUST_TABLE,
                                    MUST_MEMORY, MUST_TAG,    MUST_GLOBAL, MUST_EXPORT,
                                    MUST_START,  MUST_ELEM,   MUST_CODE,   MUST_DATA};

    put_header(ret);
    for (unsigned i = 0; i < sizeof order; i++) {
        struct sv_buf body;

        sv_buf_init(&body, 1 << 25);
        if (order[i] == MUST_CODE && m->count[MUST_DATA]) {
            put_u64(&body, m->count[MUST_DATA]);
            put_section(ret, MUST_DATA_COUNT, &body);
            sv_buf_init(&body, 1 << 25);
        }
        if (m->section[order[i]].len == 0)
            continue;
        if (order[i] != MUST_START)
            put_u64(&body, m->count[order[i]]);
        put(&body, m->section[order[i]].data, m->section[order[i]].len);
        put_section(ret, order[i], &body);
        sv_buf_release(&m->section[order[i]]);
    }
    sv_buf_release(&m->body);
}

/* ---- Engines ---- */

enum must_engine {
    MUST_FAST,
    MUST_PLAIN,
    MUST_CHECKED,
    MUST_CHECKED_PLAIN,
#ifdef SV_TEST_NATIVE
    MUST_NATIVE,
    MUST_NATIVE_CHECKED,
#endif
    MUST_ENGINES
};
static const char *const must_engine_names[] = {"fast",          "plain",  "checked",
                                                "checked plain", "native", "native checked"};

/* cmocka takes SIGSEGV at each test; the runtime installs its handler once, with the first engine.
 */
static struct sigaction must_handler;

static inline void must_handle_faults(void)
{
    struct sv_err err = {0};

    if (!must_handler.sa_sigaction) {
        signal(SIGSEGV, SIG_DFL);
        assert_int_equal(sv_trap_init_process(&err), 0);
        sigaction(SIGSEGV, NULL, &must_handler);
    }
    sigaction(SIGSEGV, &must_handler, NULL);
}

static inline bool must_is_native(enum must_engine kind)
{
    return kind > MUST_CHECKED_PLAIN;
}

#ifdef SV_TEST_NATIVE
/* Every module is compiled before its first instance; LLVM checks what it is given. */
static inline void must_use_native(struct sv_engine *e)
{
    ssvm_config config = {.size = sizeof config, .tier = "aot"};

    assert_null(sv_tier_new(&config, &e->tier));
    e->tier->verify = true;
    e->tier->opt_level = 1; /* facts about addresses, and quick */
    e->find_native = sv_tier_find;
    e->tier_delete = sv_tier_delete;
}
#endif

static inline struct sv_engine *must_engine(enum must_engine kind)
{
    struct sv_err err = {0};
    struct sv_engine *e = NULL;

    must_handle_faults();
    assert_int_equal(sv_trap_init_thread(&err), 0);
    assert_int_equal(sv_engine_new(&err, &e), 0);
    e->exec = &sv_interp_ops;
    e->deterministic = true;
    e->no_optimise = kind == MUST_PLAIN || kind == MUST_CHECKED_PLAIN;
    e->no_guard = kind == MUST_CHECKED || kind == MUST_CHECKED_PLAIN;
#ifdef SV_TEST_NATIVE
    e->no_guard |= kind == MUST_NATIVE_CHECKED;
    if (must_is_native(kind))
        must_use_native(e);
#endif
    return e;
}

struct must_world {
    struct sv_engine *engine; /* borrowed */
    struct sv_module *module;
    struct sv_store *store;
    struct sv_instance *inst;
};

/* Decode, and make a store; the module must be good. The bytes must outlive the world. `gas`:
 * counted and limited to it; 0: not counted. */
static inline void must_load(struct must_world *w, struct sv_engine *e, const struct sv_buf *bytes,
                             uint64_t gas)
{
    struct sv_decode_options options = {.features = e->features};
    struct sv_err err = {0};

    *w = (struct must_world){.engine = e};
    if (sv_module_new(&err, e->types, bytes->data, bytes->len, NULL, &options, &w->module) < 0)
        fail_msg("%s at %#llx", err.text, (unsigned long long)err.offset);
    assert_int_equal(sv_store_new(&err, e, NULL, &w->store), 0);
    if (gas)
        sv_store_set_gas(w->store, gas);
}
/* One more instance of the module; the world's is the last. */
static inline void must_instantiate(struct must_world *w, const struct sv_extern *imports)
{
    struct sv_err err = {0};

    if (sv_instance_new(&err, w->store, w->module, imports, &w->inst) < 0)
        fail_msg("%s", err.text);
    /* It is native code that is tested, if it is asked for. */
    for (uint32_t i = w->module->nimports_of[SV_EXTERN_FUNC];
         w->engine->find_native && i < w->module->nfuncs; i++)
        assert_true(w->inst->native && sv_native_has(w->inst->native, i));
}
/* Load and instantiate a module that imports nothing. */
static inline void must_open_metered(struct must_world *w, struct sv_engine *e,
                                     const struct sv_buf *bytes, uint64_t gas)
{
    must_load(w, e, bytes, gas);
    must_instantiate(w, NULL);
}
static inline void must_open(struct must_world *w, struct sv_engine *e, const struct sv_buf *bytes)
{
    must_open_metered(w, e, bytes, 0);
}
static inline void must_close(struct must_world *w)
{
    sv_store_delete(w->store);
    sv_module_unref(w->module);
}

/* 0, or the code of the trap; parameters in and results out by slots. */
static inline int must_call(struct must_world *w, uint32_t func, union sv_slot *slots)
{
    struct sv_func *f = sv_instance_func(w->inst, func);
    int r;

    assert_non_null(f);
    sv_trap_clear(&w->store->thread.trap);
    r = sv_func_call(&w->store->thread, f, slots);
    if (r == 0)
        return 0;
    assert_int_equal(r, SV_ETRAP);
    return (int)w->store->thread.trap.code;
}

#endif
