/* Values of DWARF by their form: read or stepped over. What they are for is the callers'. */
#include "wasm/dwarf_read.h"

bool sv_dwarf_number(struct sv_reader *in, unsigned n, uint64_t *ret)
{
    uint64_t v = 0;

    if (sv_reader_left(in) < n)
        return false;
    for (unsigned i = 0; i < n; i++)
        v |= (uint64_t)in->p[i] << 8 * i;
    in->p += n;
    *ret = v;
    return true;
}

struct sv_str sv_dwarf_string(struct sv_dwarf_reader *r, enum sv_dwarf_section section,
                              uint64_t offset)
{
    const struct sv_reader *s = &r->sections[section];
    const uint8_t *end;
    size_t left = sv_reader_left(s);

    if (offset >= left)
        return (struct sv_str){"", 0};
    end = memchr(s->p + offset, 0, left - offset);
    left = end ? (size_t)(end - s->p) - offset : 0;
    /* The search is cheap, but not for nothing. */
    if (!end || !sv_dwarf_pay(r, (uint32_t)(left / 16)))
        return (struct sv_str){"", 0};
    return (struct sv_str){(const char *)s->p + offset, left};
}

/* Bytes of forms whose size is fixed; 0: others. */
static unsigned size_of(uint64_t form, unsigned address_size)
{
    static const uint8_t sizes[] = {
        [DW_FORM_DATA1] = 1,      [DW_FORM_FLAG] = 1,      [DW_FORM_REF1] = 1,
        [DW_FORM_STRX1] = 1,      [DW_FORM_ADDRX1] = 1,    [DW_FORM_DATA2] = 2,
        [DW_FORM_REF2] = 2,       [DW_FORM_STRX2] = 2,     [DW_FORM_ADDRX2] = 2,
        [DW_FORM_STRX3] = 3,      [DW_FORM_ADDRX3] = 3,    [DW_FORM_DATA4] = 4,
        [DW_FORM_REF4] = 4,       [DW_FORM_STRX4] = 4,     [DW_FORM_ADDRX4] = 4,
        [DW_FORM_STRP] = 4,       [DW_FORM_LINE_STRP] = 4, [DW_FORM_REF_ADDR] = 4,
        [DW_FORM_SEC_OFFSET] = 4, [DW_FORM_DATA8] = 8,     [DW_FORM_REF8] = 8,
        [DW_FORM_REF_SIG8] = 8,
    };

    if (form == DW_FORM_ADDR)
        return address_size;
    return form < sizeof sizes ? sizes[form] : 0;
}

static bool skip_block(struct sv_reader *in, unsigned size)
{
    uint64_t n;

    if (!(size ? sv_dwarf_number(in, size, &n) : sv_read_u64(in, &n)) || n > sv_reader_left(in))
        return false;
    in->p += n;
    return true;
}

static bool read_string(struct sv_dwarf_reader *r, struct sv_reader *in, struct sv_str *ret)
{
    const uint8_t *end = memchr(in->p, 0, sv_reader_left(in));

    if (!end || !sv_dwarf_pay(r, (uint32_t)((end - in->p) / 16)))
        return false;
    *ret = (struct sv_str){(const char *)in->p, (size_t)(end - in->p)};
    in->p = end + 1;
    return true;
}

bool sv_dwarf_value(struct sv_dwarf_reader *r, struct sv_reader *in, uint64_t form,
                    unsigned address_size, struct sv_dwarf_value *ret)
{
    unsigned size = size_of(form, address_size);
    int64_t number = 0;

    *ret = (struct sv_dwarf_value){.form = form, .text = {"", 0}};
    if (!sv_dwarf_pay(r, 1))
        return false;
    if (size)
        return sv_dwarf_number(in, size, &ret->number);
    switch (form) {
    case DW_FORM_UDATA:
    case DW_FORM_REF_UDATA:
    case DW_FORM_STRX:
    case DW_FORM_ADDRX:
    case DW_FORM_LOCLISTX:
    case DW_FORM_RNGLISTX:
        return sv_read_u64(in, &ret->number);
    case DW_FORM_SDATA:
        if (!sv_read_signed(in, 64, &number))
            return false;
        ret->number = (uint64_t)number;
        return true;
    case DW_FORM_STRING:
        return read_string(r, in, &ret->text);
    case DW_FORM_BLOCK1:
        return skip_block(in, 1);
    case DW_FORM_BLOCK2:
        return skip_block(in, 2);
    case DW_FORM_BLOCK4:
        return skip_block(in, 4);
    case DW_FORM_BLOCK:
    case DW_FORM_EXPRLOC:
        return skip_block(in, 0);
    case DW_FORM_DATA16:
        return sv_read_skip(in, 16);
    case DW_FORM_FLAG_PRESENT:
        ret->number = 1;
        return true;
    default:
        return false;
    }
}

struct sv_str sv_dwarf_text(struct sv_dwarf_reader *r, const struct sv_dwarf_value *v)
{
    switch (v->form) {
    case DW_FORM_STRING:
        return v->text;
    case DW_FORM_STRP:
        return sv_dwarf_string(r, SV_DWARF_STR, v->number);
    case DW_FORM_LINE_STRP:
        return sv_dwarf_string(r, SV_DWARF_LINE_STR, v->number);
    default:
        return (struct sv_str){"", 0};
    }
}
