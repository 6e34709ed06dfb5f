/* Constant expressions: a small stack machine on the wasm stack, so that the collector sees its
 * references. Knows only the instructions that validation lets through (spec 3.4.11). */
#include <string.h>

#include "runtime/gc.h"
#include "runtime/instance.h"

struct machine {
    struct sv_thread *th;
    struct sv_instance *inst;
    const uint8_t *p;
};

/* The bytes are validated: no bounds or overlong forms to check. */
static uint64_t read_u(struct machine *m)
{
    uint64_t v = 0;
    unsigned shift = 0;
    uint8_t b;

    do {
        b = *m->p++;
        v |= (uint64_t)(b & 0x7f) << shift;
        shift += 7;
    } while ((b & 0x80) && shift < 64);
    return v;
}

static int64_t read_s(struct machine *m)
{
    uint64_t v = 0;
    unsigned shift = 0;
    uint8_t b;

    do {
        b = *m->p++;
        v |= (uint64_t)(b & 0x7f) << shift;
        shift += 7;
    } while ((b & 0x80) && shift < 64);
    if (shift < 64 && (b & 0x40))
        v |= ~UINT64_C(0) << shift;
    return (int64_t)v;
}

/* Room for n slots, zeroed; NULL when the wasm stack is full. */
static union sv_slot *push(struct machine *m, uint64_t n)
{
    struct sv_thread *th = m->th;
    union sv_slot *top = th->sp;

    if (n > (uint64_t)(th->stack_end - top))
        return NULL;
    memset(top, 0, n * sizeof *top);
    th->sp = top + n;
    return top;
}

static int push_bits(struct machine *m, const void *bits, unsigned size)
{
    union sv_slot *v = push(m, size > 8 ? 2 : 1);

    if (!v)
        return SV_TRAP_STACK;
    memcpy(v, bits, size);
    return 0;
}

static int push_ref(struct machine *m, sv_ref r)
{
    return push_bits(m, &r, sizeof r);
}

static int get_global(struct machine *m)
{
    const struct sv_global *g = m->inst->globals[read_u(m)];

    return push_bits(m, &g->value, sv_valtype_slots(g->type.type) * 8);
}

static int get_func(struct machine *m)
{
    struct sv_func *f = sv_instance_func(m->inst, (uint32_t)read_u(m));

    return f ? push_ref(m, (sv_ref)(uintptr_t)f) : SV_TRAP_ALLOCATION_SIZE;
}

static int binary(struct machine *m, uint8_t op)
{
    union sv_slot *a = m->th->sp - 2, *b = m->th->sp - 1;

    switch (op) {
    case 0x6a:
        a->i64 = a->i32 + b->i32;
        break;
    case 0x6b:
        a->i64 = a->i32 - b->i32;
        break;
    case 0x6c:
        a->i64 = (uint32_t)((uint64_t)a->i32 * b->i32);
        break;
    case 0x7c:
        a->i64 += b->i64;
        break;
    case 0x7d:
        a->i64 -= b->i64;
        break;
    default:
        a->i64 *= b->i64;
        break;
    }
    a->i64 = op < 0x70 ? a->i32 : a->i64;
    m->th->sp = b;
    return 0;
}

static int new_struct(struct machine *m, const struct sv_type *t, bool defaults)
{
    struct sv_object *o = sv_gc_new_struct(m->th, t); /* the operands are still on the stack */
    union sv_slot *v = m->th->sp;

    if (!o)
        return SV_TRAP_GC_HEAP;
    for (uint32_t i = t->strct.nfields; i-- > 0 && !defaults;) {
        const struct sv_field *f = &t->strct.fields[i];

        v -= sv_valtype_slots(f->type);
        sv_field_write((char *)o + f->offset, f, v);
    }
    m->th->sp = v;
    return push_ref(m, (sv_ref)(uintptr_t)o);
}

static int new_array(struct machine *m, const struct sv_type *t, bool defaults)
{
    uint32_t len = m->th->sp[-1].i32;
    union sv_slot *init = m->th->sp - 1 - (defaults ? 0 : sv_valtype_slots(t->array.field.type));
    sv_ref r;
    int code = sv_array_new(m->th, t, len, defaults ? NULL : init, &r);

    if (code)
        return code;
    m->th->sp = init;
    return push_ref(m, r);
}

static int new_array_fixed(struct machine *m, const struct sv_type *t, uint32_t len)
{
    const struct sv_field *f = &t->array.field;
    unsigned slots = sv_valtype_slots(f->type);
    union sv_slot *v = m->th->sp - (uint64_t)len * slots;
    sv_ref r;
    int code = sv_array_new(m->th, t, len, NULL, &r);

    if (code)
        return code;
    for (uint32_t i = 0; i < len; i++)
        sv_field_write(((struct sv_array *)(uintptr_t)r)->data + (uint64_t)i * f->size, f,
                       v + (uint64_t)i * slots);
    m->th->sp = v;
    return push_ref(m, r);
}

static int gc_op(struct machine *m)
{
    uint32_t sub = (uint32_t)read_u(m);
    const struct sv_type *t = NULL;

    if (sub <= 0x08)
        t = m->inst->module->types[read_u(m)];
    switch (sub) {
    case 0x00:
        return new_struct(m, t, false);
    case 0x01:
        return new_struct(m, t, true);
    case 0x06:
        return new_array(m, t, false);
    case 0x07:
        return new_array(m, t, true);
    case 0x08:
        return new_array_fixed(m, t, (uint32_t)read_u(m));
    case 0x1c:
        m->th->sp[-1].ref = sv_ref_i31(m->th->sp[-1].i32);
        return 0;
    default: /* any.convert_extern, extern.convert_any: the same bits */
        return 0;
    }
}

static int step(struct machine *m, uint8_t op)
{
    uint64_t v;

    switch (op) {
    case 0x41:
        v = (uint32_t)read_s(m);
        return push_bits(m, &v, 8);
    case 0x42:
        v = (uint64_t)read_s(m);
        return push_bits(m, &v, 8);
    case 0x43:
        m->p += 4;
        return push_bits(m, m->p - 4, 4);
    case 0x44:
        m->p += 8;
        return push_bits(m, m->p - 8, 8);
    case 0x23:
        return get_global(m);
    case 0xd0:
        read_s(m);
        return push_ref(m, SV_REF_NULL);
    case 0xd2:
        return get_func(m);
    case 0xfb:
        return gc_op(m);
    case 0xfd: /* v128.const is the only one */
        read_u(m);
        m->p += 16;
        return push_bits(m, m->p - 16, 16);
    default:
        return binary(m, op);
    }
}

int sv_const_eval(struct sv_thread *th, struct sv_instance *inst, struct sv_const_expr e,
                  union sv_slot *ret)
{
    struct machine m = {.th = th, .inst = inst, .p = inst->module->bytes + e.offset};
    union sv_slot *base = th->sp;
    int code = 0;
    uint8_t op;

    if (*m.p == 0x41) { /* most are this one and nothing else */
        m.p++;
        ret[0].i64 = (uint32_t)read_s(&m);
        if (*m.p == 0x0b)
            return 0;
        m.p = inst->module->bytes + e.offset;
    }
    while ((op = *m.p++) != 0x0b && !code)
        code = step(&m, op);
    if (!code) {
        ret[0] = base[0];
        if (th->sp - base > 1)
            ret[1] = base[1];
    }
    th->sp = base;
    return code;
}
