/* Reading protocol buffers. Knows no message. */
#include "host/nn/check_wire.h"

void sv_wire_init(struct sv_wire *w, const struct sv_wire_message *message, struct sv_str bytes)
{
    w->p = (const uint8_t *)bytes.ptr;
    w->end = w->p + bytes.len;
    w->message = message;
    w->seen = 0;
}

bool sv_wire_number(const uint8_t **p, const uint8_t *end, uint64_t *ret)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 70 && *p < end; shift += 7) {
        uint8_t byte = *(*p)++;

        if (shift == 63 && byte > 1)
            return false;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret = v;
            return true;
        }
    }
    return false;
}

static bool fixed(const uint8_t **p, const uint8_t *end, unsigned size, uint64_t *ret)
{
    *ret = 0;
    if ((size_t)(end - *p) < size)
        return false;
    memcpy(ret, *p, size);
    *p += size;
    return true;
}

static bool counted(const struct sv_str *packed, unsigned kind, uint64_t *ret)
{
    uint64_t n = 0;
    unsigned run = 0;

    if (kind != SV_WIRE_VARINTS) {
        unsigned size = kind == SV_WIRE_FIXED32S ? 4 : 8;

        *ret = packed->len / size;
        return packed->len % size == 0;
    }
    for (size_t i = 0; i < packed->len; i++) {
        bool last = (uint8_t)packed->ptr[i] < 0x80;

        run = last ? 0 : run + 1;
        if (run > 9)
            return false;
        n += last;
    }
    *ret = n;
    return run == 0;
}

/* Is a field of wire type `type` what the rule says? */
static bool fits(struct sv_wire_field *f, const struct sv_wire_rule *rule, unsigned type)
{
    static const uint8_t single[] = {[SV_WIRE_VARINTS] = SV_WIRE_VARINT,
                                     [SV_WIRE_FIXED64S] = SV_WIRE_FIXED64,
                                     [SV_WIRE_FIXED32S] = 5};

    if (rule->kind == SV_WIRE_FIXED32)
        return type == 5;
    if (rule->kind < SV_WIRE_VARINTS)
        return type == rule->kind;
    f->count = 1;
    return type == single[rule->kind] ||
           (type == SV_WIRE_BYTES && counted(&f->bytes, rule->kind, &f->count));
}

static bool payload(struct sv_wire *w, unsigned type, struct sv_wire_field *f)
{
    uint64_t len;

    switch (type) {
    case SV_WIRE_VARINT:
        return sv_wire_number(&w->p, w->end, &f->value);
    case SV_WIRE_FIXED64:
        return fixed(&w->p, w->end, 8, &f->value);
    case 5:
        return fixed(&w->p, w->end, 4, &f->value);
    case SV_WIRE_BYTES:
        if (!sv_wire_number(&w->p, w->end, &len) || len > (size_t)(w->end - w->p))
            return false;
        f->bytes = (struct sv_str){(const char *)w->p, len};
        w->p += len;
        return true;
    default:
        return false;
    }
}

int sv_wire_next(struct sv_nn_check *c, struct sv_wire *w, struct sv_wire_field *ret)
{
    const struct sv_wire_message *m = w->message;
    uint64_t tag;
    unsigned i;

    if (w->p == w->end)
        return 0;
    *ret = (struct sv_wire_field){0};
    if (!sv_wire_number(&w->p, w->end, &tag) || tag > UINT32_MAX || tag < 8 ||
        !payload(w, tag & 7, ret))
        return sv_nn_malformed(c, m->name);
    for (i = 0; i < m->nrules && m->rules[i].number != tag >> 3; i++)
        ;
    if (i == m->nrules)
        return 1;
    if (!fits(ret, &m->rules[i], tag & 7) || (m->rules[i].once && w->seen >> i & 1))
        return sv_nn_malformed(c, m->name);
    w->seen |= (uint64_t)1 << i;
    ret->number = (uint32_t)(tag >> 3);
    return 1;
}
