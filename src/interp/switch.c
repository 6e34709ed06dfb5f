/* Going over to native code: which words of lowered code are changed when, and what a frame hands
 * over. Nothing polls: code is patched from another thread, one aligned word at a time, and every
 * word that may stand somewhere is right for whoever reads it. How calls go is slow_call.c's. */
#include "interp/switch.h"

#include <assert.h>
#include <string.h>

#include "interp/dispatch.h"
#include "interp/entry.h"
#include "runtime/native.h"

/* Loops of one function that are compiled for frames that run: the best guess comes first. */
#define LOOPS_MAX 8

void sv_loops_delete(own struct sv_loops *ls)
{
    if (!ls)
        return;
    for (uint32_t i = 0; i < ls->n; i++)
        sv_native_unref(ls->loops[i].native);
    sv_free(ls->loops);
    sv_free(ls->values);
    sv_free(ls);
}

static void patch(struct sv_icode *code, uint32_t at, uint32_t word)
{
    __atomic_store_n((uint32_t *)(void *)((uint8_t *)code->code + at), word, __ATOMIC_RELEASE);
}

void sv_switch_code(struct sv_icode *code)
{
    patch(code, 0, sv_iop_offsets[I_SWITCH]);
}

/* ---- Any thread ---- */

/* Does code of this flavour run in instances that code of the form may be for? (Whether it has
 * checks is decided when an instance comes.) */
static bool fits(unsigned bits, uint32_t form)
{
    return !(bits & (SV_FLAVOUR_NATIVE | SV_FLAVOUR_NATIVE_CHECKED)) &&
           !(bits & SV_FLAVOUR_METERED) == !(form & SV_NATIVE_METERED) &&
           !(bits & SV_FLAVOUR_CANON) == !(form & SV_NATIVE_DETERMINISTIC);
}

/* The next flavour that fits from *io on, which goes behind it; NULL: no more. */
static struct sv_flavour *next_flavour(const struct sv_module *m, uint32_t form, unsigned *io)
{
    struct sv_module_code *mc = atomic_load(&m->tier_data);

    while (mc && *io < SV_FLAVOUR_COUNT) {
        unsigned bits = (*io)++;
        struct sv_flavour *fl = atomic_load(&mc->flavours[bits]);

        if (fl && fl->codes && fits(bits, form))
            return fl;
    }
    return NULL;
}

/* All that have no image are to ask (again). */
static void ask_again(struct sv_icode *code)
{
    struct sv_loops *ls = code->loops;
    uint32_t images = 0;

    ls->entered = false;
    for (uint32_t i = 0; i < ls->n; i++)
        images += ls->loops[i].state == SV_LOOP_OPEN || ls->loops[i].state == SV_LOOP_FAILED;
    for (uint32_t i = 0; images < LOOPS_MAX && i < ls->n; i++) {
        struct sv_loop *loop = &ls->loops[i];

        if (loop->state != SV_LOOP_PLAIN)
            continue;
        loop->state = SV_LOOP_ASKING;
        loop->seen = false;
        patch(code, loop->at, sv_iop_offsets[I_LOOP_ASK]);
    }
}

static void find_loops(struct sv_flavour *fl, struct sv_icode *code)
{
    struct sv_loops *ls = sv_lower_loops(fl, code->func);

    pthread_mutex_lock(&fl->lock);
    if (ls && !code->loops) {
        code->loops = ls;
        ask_again(code);
        ls = NULL;
    }
    pthread_mutex_unlock(&fl->lock);
    sv_loops_delete(ls);
}

void sv_switch_ready(struct sv_module *m, uint32_t form)
{
    unsigned next = 0;

    for (struct sv_flavour *fl; (fl = next_flavour(m, form, &next)) != NULL;) {
        atomic_store(&fl->ready, true);
        for (uint32_t i = 0; i < m->nfuncs; i++) {
            struct sv_icode *code = atomic_load(&fl->codes[i]);

            if (code)
                sv_switch_code(code);
        }
        for (uint32_t i = 0; i < m->nfuncs; i++) {
            struct sv_icode *code = atomic_load(&fl->codes[i]);

            if (code)
                find_loops(fl, code);
        }
    }
}

/* Outer loops first: code entered at an inner one has a way into the outer ones that LLVM likes
 * less. */
static uint32_t pick(struct sv_icode *code)
{
    const struct sv_loops *ls = code->loops;
    const struct sv_loop *best = NULL;

    /* Who asked has found another way in, perhaps. */
    for (uint32_t i = 0; !ls->entered && i < ls->n; i++) {
        const struct sv_loop *loop = &ls->loops[i];

        if (loop->state == SV_LOOP_PLAIN && loop->seen && (!best || loop->depth < best->depth))
            best = loop;
    }
    if (!best)
        ask_again(code);
    return best ? best->offset : 0;
}

uint32_t sv_switch_pick_loop(struct sv_module *m, uint32_t form, uint32_t func)
{
    uint32_t offset = 0;
    unsigned next = 0;

    for (struct sv_flavour *fl; !offset && (fl = next_flavour(m, form, &next)) != NULL;) {
        struct sv_icode *code = atomic_load(&fl->codes[func]);

        pthread_mutex_lock(&fl->lock);
        if (code && code->loops)
            offset = pick(code);
        pthread_mutex_unlock(&fl->lock);
    }
    return offset;
}

static void open_loop(struct sv_icode *code, uint32_t offset, struct sv_native *native)
{
    struct sv_loops *ls = code->loops;

    for (uint32_t i = 0; i < ls->n; i++) {
        struct sv_loop *loop = &ls->loops[i];

        if (loop->offset != offset || loop->native)
            continue;
        loop->state = native ? SV_LOOP_OPEN : SV_LOOP_FAILED;
        if (native)
            loop->native = sv_native_ref(native);
        patch(code, loop->at, native ? sv_iop_offsets[I_LOOP_ENTER] : loop->word);
    }
    ask_again(code);
}

void sv_switch_loop_ready(struct sv_module *m, uint32_t form, uint32_t func, uint32_t offset,
                          struct sv_native *native)
{
    unsigned next = 0;

    for (struct sv_flavour *fl; (fl = next_flavour(m, form, &next)) != NULL;) {
        struct sv_icode *code = atomic_load(&fl->codes[func]);

        pthread_mutex_lock(&fl->lock);
        if (code && code->loops)
            open_loop(code, offset, native);
        pthread_mutex_unlock(&fl->lock);
    }
}

/* ---- On the guest's thread ---- */

/* The loop at whose head ip is; with the lock. It is there: something was patched. */
static struct sv_loop *loop_at(const struct sv_icode *code, const uint32_t *ip)
{
    uint32_t at = (uint32_t)((uintptr_t)ip - (uintptr_t)code->code);

    for (uint32_t i = 0; i < code->loops->n; i++) {
        if (code->loops->loops[i].at == at)
            return &code->loops->loops[i];
    }
    return NULL;
}

static const struct sv_icode *code_at(struct sv_instance *inst, const uint32_t *ip)
{
    /* Only code is looked for: any frame will do. */
    struct sv_walk w = {.ip = ip, .fp = inst->store->thread.stack, .inst = inst};

    return sv_walk_find(&w) ? w.code : NULL;
}

uint32_t sv_switch_ask(struct sv_instance *inst, const uint32_t *ip)
{
    struct sv_flavour *fl = (struct sv_flavour *)(uintptr_t)inst->tier;
    struct sv_engine *e = inst->store->engine;
    struct sv_icode *code = (struct sv_icode *)(uintptr_t)code_at(inst, ip);
    struct sv_loop *loop;
    bool ask = false;
    uint32_t word;

    assert(code);
    pthread_mutex_lock(&fl->lock);
    loop = loop_at(code, ip);
    assert(loop);
    word = loop->word;
    if (loop->state == SV_LOOP_ASKING) {
        ask = loop->seen = true;
        loop->state = SV_LOOP_PLAIN;
        patch(code, loop->at, word);
    }
    pthread_mutex_unlock(&fl->lock);
    if (ask && e->ask_loop && sv_native_attach_late(inst) &&
        sv_native_has(inst->native, code->func))
        e->ask_loop(e, inst->module, inst->native->flags & (SV_NATIVE_FORMS - 1), code->func);
    return word;
}

bool sv_switch_enter(struct sv_instance *inst, const uint32_t *ip, struct sv_loop_entry *ret)
{
    struct sv_flavour *fl = (struct sv_flavour *)(uintptr_t)inst->tier;
    struct sv_loop *loop;
    bool enters;

    ret->code = code_at(inst, ip);
    assert(ret->code);
    pthread_mutex_lock(&fl->lock);
    ret->loops = ret->code->loops;
    ret->loop = loop = loop_at(ret->code, ip);
    assert(loop);
    ret->word = loop->word;
    enters = loop->native && sv_native_attach_late(inst) &&
             !((inst->native->flags ^ loop->native->flags) & (SV_NATIVE_FORMS - 1));
    if (enters)
        ret->code->loops->entered = true;
    pthread_mutex_unlock(&fl->lock);
    return enters;
}

uint32_t sv_switch_gather(const struct sv_loop_entry *e, union sv_slot *fp)
{
    uint32_t to = e->loops->locals;

    /* Every operand's own slot lies behind the saved ones, above where it goes. */
    for (uint32_t i = 0; i < e->loop->nvalues; i++) {
        const struct sv_loop_value *v = &e->loops->values[e->loop->values + i];
        uint32_t n = v->cls == CLASS_V ? 2 : 1;

        if (v->constant)
            fp[to].i64 = v->k;
        else
            memmove(&fp[to], &fp[v->slot], n * sizeof *fp);
        to += n;
    }
    return to;
}
