/* Applies one relocation: the encodings of x86-64 (psABI 4.4) and aarch64 (AAELF64 5.7). Knows
 * neither sections nor names. */
#include "aot/object_elf.h"

enum form {
    NOTHING,
    ABSOLUTE,
    RELATIVE, /* S + A - P as a number */
    GOT_LOAD, /* x86-64: `mov table(%rip), reg` becomes `lea symbol(%rip), reg` */
    BRANCH,   /* aarch64: `bits` bits of (S + A - P) / 4 */
    ADR,      /* aarch64: 21 bits of S + A - P, split */
    ADR_PAGE, /* aarch64: 21 bits of the distance in pages of 4 KiB, split */
    LOW12,    /* aarch64: the low 12 bits of S + A, divided by the size of the access */
};

struct kind {
    uint16_t machine, type;
    enum form form;
    uint8_t width;       /* bytes touched */
    uint8_t bits, shift; /* of a field; for LOW12 `bits` is the log2 of the size */
};

/* clang-format off */
static const struct kind kinds[] = {
    {EM_X86_64, R_X86_64_NONE, NOTHING, 0, 0, 0},
    {EM_X86_64, R_X86_64_64, ABSOLUTE, 8, 0, 0},
    {EM_X86_64, R_X86_64_32, ABSOLUTE, 4, 0, 0},
    {EM_X86_64, R_X86_64_32S, ABSOLUTE, 4, 0, 0},
    {EM_X86_64, R_X86_64_PC32, RELATIVE, 4, 0, 0},
    {EM_X86_64, R_X86_64_PLT32, RELATIVE, 4, 0, 0},
    {EM_X86_64, R_X86_64_PC64, RELATIVE, 8, 0, 0},
    {EM_X86_64, R_X86_64_GOTPCREL, GOT_LOAD, 4, 0, 0},
    {EM_X86_64, R_X86_64_GOTPCRELX, GOT_LOAD, 4, 0, 0},
    {EM_X86_64, R_X86_64_REX_GOTPCRELX, GOT_LOAD, 4, 0, 0},
    {EM_AARCH64, R_AARCH64_NONE, NOTHING, 0, 0, 0},
    {EM_AARCH64, R_AARCH64_ABS64, ABSOLUTE, 8, 0, 0},
    {EM_AARCH64, R_AARCH64_ABS32, ABSOLUTE, 4, 0, 0},
    {EM_AARCH64, R_AARCH64_PREL32, RELATIVE, 4, 0, 0},
    {EM_AARCH64, R_AARCH64_PREL64, RELATIVE, 8, 0, 0},
    {EM_AARCH64, R_AARCH64_CALL26, BRANCH, 4, 26, 0},
    {EM_AARCH64, R_AARCH64_JUMP26, BRANCH, 4, 26, 0},
    {EM_AARCH64, R_AARCH64_CONDBR19, BRANCH, 4, 19, 5},
    {EM_AARCH64, R_AARCH64_TSTBR14, BRANCH, 4, 14, 5},
    {EM_AARCH64, R_AARCH64_ADR_PREL_LO21, ADR, 4, 0, 0},
    {EM_AARCH64, R_AARCH64_ADR_PREL_PG_HI21, ADR_PAGE, 4, 0, 0},
    {EM_AARCH64, R_AARCH64_ADD_ABS_LO12_NC, LOW12, 4, 0, 0},
    {EM_AARCH64, R_AARCH64_LDST8_ABS_LO12_NC, LOW12, 4, 0, 0},
    {EM_AARCH64, R_AARCH64_LDST16_ABS_LO12_NC, LOW12, 4, 1, 0},
    {EM_AARCH64, R_AARCH64_LDST32_ABS_LO12_NC, LOW12, 4, 2, 0},
    {EM_AARCH64, R_AARCH64_LDST64_ABS_LO12_NC, LOW12, 4, 3, 0},
    {EM_AARCH64, R_AARCH64_LDST128_ABS_LO12_NC, LOW12, 4, 4, 0},
};
/* clang-format on */

static const char out_of_range[] = "out of range";

static bool fits(int64_t value, unsigned bits)
{
    int64_t limit = INT64_C(1) << (bits - 1);

    return value >= -limit && value < limit;
}

static const struct kind *kind_of(uint16_t machine, uint32_t type)
{
    for (size_t i = 0; i < SV_COUNT(kinds); i++)
        if (kinds[i].machine == machine && kinds[i].type == type)
            return &kinds[i];
    return NULL;
}

static const char *put_number(uint8_t *where, int64_t value, unsigned width)
{
    if (width == 4 && !fits(value, 32))
        return out_of_range;
    memcpy(where, &value, width); /* both machines and both hosts are little-endian */
    return NULL;
}

static void put_field(uint8_t *where, int64_t value, unsigned bits, unsigned shift)
{
    uint32_t insn, mask = (UINT32_C(1) << bits) - 1;

    memcpy(&insn, where, 4);
    insn = (insn & ~(mask << shift)) | ((uint32_t)value & mask) << shift;
    memcpy(where, &insn, 4);
}

/* The 21 bits of adr and adrp: the low two at bit 29, the rest at bit 5. */
static const char *put_adr(uint8_t *where, int64_t value)
{
    if (!fits(value, 21))
        return out_of_range;
    put_field(where, value, 2, 29);
    put_field(where, value >> 2, 19, 5);
    return NULL;
}

static const char *put_branch(uint8_t *where, int64_t distance, const struct kind *k)
{
    if (distance % 4 != 0)
        return "not a multiple of four";
    if (!fits(distance / 4, k->bits))
        return out_of_range;
    put_field(where, distance / 4, k->bits, k->shift);
    return NULL;
}

/* Only a load of 64 bits: REX.W 8b /r with an operand that is relative to the program counter, its
 * displacement the last of the instruction. */
static const char *put_lea(const struct sv_object_patch *p, int64_t distance)
{
    uint8_t *insn = p->bytes + p->offset;

    if (p->offset < 3 || p->addend != -4 || (insn[-3] & 0xf8) != 0x48 || insn[-2] != 0x8b ||
        (insn[-1] & 0xc7) != 0x05)
        return "needs a global offset table";
    if (!fits(distance, 32))
        return out_of_range;
    insn[-2] = 0x8d;
    return put_number(insn, distance, 4);
}

const char *sv_object_patch(const struct sv_object_patch *p)
{
    const struct kind *k = kind_of(p->machine, p->type);
    uint8_t *where = p->bytes + p->offset;
    int64_t target, distance;

    if (!k)
        return "of a kind that is not supported";
    if (k->form == NOTHING)
        return NULL;
    if (k->form == ABSOLUTE)
        return "an absolute address";
    if (k->width > p->len || p->offset > p->len - k->width)
        return "outside its section";
    if (!fits(p->addend, 33))
        return out_of_range;
    target = p->symbol + p->addend;
    distance = target - p->at;
    switch (k->form) {
    case GOT_LOAD:
        return put_lea(p, distance);
    case BRANCH:
        return put_branch(where, distance, k);
    case ADR:
        return put_adr(where, distance);
    case ADR_PAGE:
        return put_adr(where, (target >> 12) - (p->at >> 12));
    case LOW12:
        if (target & ((1 << k->bits) - 1))
            return "not aligned to the access";
        put_field(where, (target & 0xfff) >> k->bits, 12, 10);
        return NULL;
    default:
        return put_number(where, distance, k->width);
    }
}
