/* The validator's loop: instructions whose type is a row of opcode.def are checked here, from its
 * signature; the others go to the files beside. Nothing is allocated per instruction. */
#include "wasm/validate.h"

#include <string.h>

/* ---- the signatures, unpacked at compile time ---- */

#define HAND 0xff /* typed by hand */
#define ADDR 0xfe /* the memory's address type */
#define MAX_IN 3

/* How the loop treats an instruction: one unpredictable jump for the frequent ones, two for the
 * others. */
enum way {
    WAY_NONE, /* a prefix, or no instruction */
    WAY_RULE, /* any immediate, then the rule; all that came after the MVP */
    WAY_HAND,
    WAY_LOCAL_GET,
    WAY_LOCAL_SET,
    WAY_LOCAL_TEE,
    WAY_I32_CONST,
    WAY_PLAIN,  /* no immediate, one or two operands */
    WAY_ACCESS, /* a load or store */
    WAY_BLOCK,
    WAY_END,
    WAY_BR_IF,
    WAY_CALL,
};

struct rule {
    uint8_t nin, nout, out;
    uint8_t in[MAX_IN];
    uint8_t imm, feature, way;
    uint16_t op;
};

/* Longer than any signature, so that every index below is inside. */
#define AT(s, k) ((s "\0\0\0\0\0\0")[k])
#define KIND(c)                                                                                    \
    ((c) == 'i'   ? SV_VAL_I32                                                                     \
     : (c) == 'I' ? SV_VAL_I64                                                                     \
     : (c) == 'f' ? SV_VAL_F32                                                                     \
     : (c) == 'F' ? SV_VAL_F64                                                                     \
     : (c) == 'v' ? SV_VAL_V128                                                                    \
     : (c) == 'a' ? ADDR                                                                           \
                  : SV_VAL_BOT)
#define NIN(s)                                                                                     \
    (AT(s, 0) == '*' ? HAND : AT(s, 0) == ':' ? 0 : AT(s, 1) == ':' ? 1 : AT(s, 2) == ':' ? 2 : 3)
#define IN(s, k) ((k) < NIN(s) ? KIND(AT(s, k)) : SV_VAL_BOT)
#define OUT(s) KIND(AT(s, (NIN(s) & 3) + 1)) /* HAND & 3 is 3: behind the end */

#define WAY(op, imm, s, feature)                                                                   \
    ((op) == OP_LOCAL_GET          ? WAY_LOCAL_GET                                                 \
     : (op) == OP_LOCAL_SET        ? WAY_LOCAL_SET                                                 \
     : (op) == OP_LOCAL_TEE        ? WAY_LOCAL_TEE                                                 \
     : (op) == OP_I32_CONST        ? WAY_I32_CONST                                                 \
     : (op) == OP_BLOCK            ? WAY_BLOCK                                                     \
     : (op) == OP_END              ? WAY_END                                                       \
     : (op) == OP_BR_IF            ? WAY_BR_IF                                                     \
     : (op) == OP_CALL             ? WAY_CALL                                                      \
     : NIN(s) == HAND              ? WAY_HAND                                                      \
     : (feature) != SV_FEATURE_MVP ? WAY_RULE                                                      \
     : (imm) == IMM_NONE           ? WAY_PLAIN                                                     \
     : (imm) == IMM_MEMARG         ? WAY_ACCESS                                                    \
                                   : WAY_RULE)

/* By SV_OP_SLOT, so that a byte leads straight to its row. */
static const struct rule rules[SV_OP_SLOTS] = {
#define OP(name, code, text, imm, sig, feature, cost)                                              \
    [SV_OP_SLOT(code)] = {NIN(sig),                                                                \
                          OUT(sig) != SV_VAL_BOT,                                                  \
                          OUT(sig),                                                                \
                          {IN(sig, 0), IN(sig, 1), IN(sig, 2)},                                    \
                          IMM_##imm,                                                               \
                          SV_FEATURE_##feature,                                                    \
                          WAY(OP_##name, IMM_##imm, sig, SV_FEATURE_##feature),                    \
                          OP_##name},
#include "wasm/opcode.def"
#undef OP
};

static sv_validate_op *const by_hand[OP_COUNT] = {
    [OP_UNREACHABLE] = sv_validate_unreachable_op,
    [OP_BLOCK] = sv_validate_block,
    [OP_LOOP] = sv_validate_block,
    [OP_IF] = sv_validate_if,
    [OP_ELSE] = sv_validate_else,
    [OP_TRY] = sv_validate_try,
    [OP_CATCH] = sv_validate_catch,
    [OP_CATCH_ALL] = sv_validate_catch,
    [OP_DELEGATE] = sv_validate_delegate,
    [OP_RETHROW] = sv_validate_rethrow,
    [OP_TRY_TABLE] = sv_validate_try_table,
    [OP_THROW] = sv_validate_throw,
    [OP_THROW_REF] = sv_validate_throw_ref,
    [OP_END] = sv_validate_end,
    [OP_BR] = sv_validate_br,
    [OP_BR_IF] = sv_validate_br_if,
    [OP_BR_TABLE] = sv_validate_br_table,
    [OP_RETURN] = sv_validate_return,
    [OP_CALL] = sv_validate_call,
    [OP_RETURN_CALL] = sv_validate_call,
    [OP_CALL_INDIRECT] = sv_validate_call_indirect,
    [OP_RETURN_CALL_INDIRECT] = sv_validate_call_indirect,
    [OP_CALL_REF] = sv_validate_call_ref,
    [OP_RETURN_CALL_REF] = sv_validate_call_ref,
    [OP_BR_ON_NULL] = sv_validate_br_on_null,
    [OP_BR_ON_NON_NULL] = sv_validate_br_on_null,
    [OP_BR_ON_CAST] = sv_validate_br_on_cast,
    [OP_BR_ON_CAST_FAIL] = sv_validate_br_on_cast,
    [OP_DROP] = sv_validate_drop,
    [OP_SELECT] = sv_validate_select,
    [OP_SELECT_T] = sv_validate_select_t,
    [OP_LOCAL_GET] = sv_validate_local,
    [OP_LOCAL_SET] = sv_validate_local,
    [OP_LOCAL_TEE] = sv_validate_local,
    [OP_GLOBAL_GET] = sv_validate_global,
    [OP_GLOBAL_SET] = sv_validate_global,
    [OP_TABLE_GET] = sv_validate_table_access,
    [OP_TABLE_SET] = sv_validate_table_access,
    [OP_TABLE_SIZE] = sv_validate_table_size,
    [OP_TABLE_GROW] = sv_validate_table_size,
    [OP_TABLE_FILL] = sv_validate_table_size,
    [OP_TABLE_INIT] = sv_validate_table_init,
    [OP_TABLE_COPY] = sv_validate_table_copy,
    [OP_MEMORY_COPY] = sv_validate_memory_copy,
    [OP_REF_NULL] = sv_validate_ref_null,
    [OP_REF_IS_NULL] = sv_validate_ref_is_null,
    [OP_REF_FUNC] = sv_validate_ref_func,
    [OP_REF_EQ] = sv_validate_ref_eq,
    [OP_REF_AS_NON_NULL] = sv_validate_ref_as_non_null,
    [OP_REF_TEST] = sv_validate_ref_test,
    [OP_REF_TEST_NULL] = sv_validate_ref_test,
    [OP_REF_CAST] = sv_validate_ref_cast,
    [OP_REF_CAST_NULL] = sv_validate_ref_cast,
    [OP_ANY_CONVERT_EXTERN] = sv_validate_convert,
    [OP_EXTERN_CONVERT_ANY] = sv_validate_convert,
    [OP_REF_I31] = sv_validate_i31,
    [OP_I31_GET_S] = sv_validate_i31,
    [OP_I31_GET_U] = sv_validate_i31,
    [OP_STRUCT_NEW] = sv_validate_struct_new,
    [OP_STRUCT_NEW_DEFAULT] = sv_validate_struct_new,
    [OP_STRUCT_GET] = sv_validate_struct_get,
    [OP_STRUCT_GET_S] = sv_validate_struct_get,
    [OP_STRUCT_GET_U] = sv_validate_struct_get,
    [OP_STRUCT_SET] = sv_validate_struct_set,
    [OP_ARRAY_NEW] = sv_validate_array_new,
    [OP_ARRAY_NEW_DEFAULT] = sv_validate_array_new,
    [OP_ARRAY_NEW_FIXED] = sv_validate_array_new_fixed,
    [OP_ARRAY_NEW_DATA] = sv_validate_array_new_segment,
    [OP_ARRAY_NEW_ELEM] = sv_validate_array_new_segment,
    [OP_ARRAY_GET] = sv_validate_array_get,
    [OP_ARRAY_GET_S] = sv_validate_array_get,
    [OP_ARRAY_GET_U] = sv_validate_array_get,
    [OP_ARRAY_SET] = sv_validate_array_set,
    [OP_ARRAY_LEN] = sv_validate_array_len,
    [OP_ARRAY_FILL] = sv_validate_array_fill,
    [OP_ARRAY_COPY] = sv_validate_array_copy,
    [OP_ARRAY_INIT_DATA] = sv_validate_array_init_segment,
    [OP_ARRAY_INIT_ELEM] = sv_validate_array_init_segment,
};

/* ---- immediates of the simple ones ---- */

static int read_lane(struct sv_validator *v, enum sv_op op)
{
    const char *text = sv_op_info[op].text;
    unsigned lanes;
    uint8_t lane;

    if (!sv_read_u8(&v->r, &lane))
        return sv_validate_fail_read(v);
    if (sv_op_info[op].imm == IMM_MEMARG_LANE)
        lanes = 16u >> sv_op_access_log2(op);
    else /* "i8x16.", "i64x2." ... */
        lanes = text[1] == '8' ? 16 : text[1] == '1' ? 8 : text[1] == '3' ? 4 : 2;
    if (lane >= lanes)
        return sv_validate_fail(v, SV_EINVALID, "invalid lane index %u of '%s'", lane, text);
    return 0;
}

static int read_shuffle(struct sv_validator *v)
{
    for (unsigned i = 0; i < 16; i++) {
        uint8_t lane;

        if (!sv_read_u8(&v->r, &lane))
            return sv_validate_fail_read(v);
        if (lane >= 32)
            return sv_validate_fail(v, SV_EINVALID, "invalid lane index %u of 'i8x16.shuffle'",
                                    lane);
    }
    return 0;
}

static int address_type(struct sv_validator *v, uint32_t memory, sv_valtype *ret)
{
    if (memory >= v->m->nmemories)
        return sv_validate_fail(v, SV_EINVALID, "unknown memory %u", memory);
    *ret = v->m->memories[memory].limits.is64 ? SV_VAL_I64 : SV_VAL_I32;
    return 0;
}

/* Spec 5.4.6: bit 6 of the alignment announces a memory index. */
static int read_memarg(struct sv_validator *v, enum sv_op op, sv_valtype *ret)
{
    unsigned natural = sv_op_access_log2(op);
    uint32_t flags, memory = 0;
    uint64_t offset;
    int r;

    if (!sv_read_u32(&v->r, &flags))
        return sv_validate_fail_read(v);
    if (flags >= 0x80)
        return sv_validate_fail(v, SV_EMALFORMED, "malformed memop flags 0x%x", flags);
    if ((flags & 0x40) && !sv_read_u32(&v->r, &memory))
        return sv_validate_fail_read(v);
    if (!sv_read_u64(&v->r, &offset))
        return sv_validate_fail_read(v);
    r = address_type(v, memory, ret);
    if (r != 0)
        return r;
    flags &= 0x3f;
    if (sv_op_info[op].feature == SV_FEATURE_THREADS && flags != natural)
        return sv_validate_fail(v, SV_EINVALID, "atomic alignment must be natural");
    if (flags > natural)
        return sv_validate_fail(v, SV_EINVALID, "alignment must not be larger than natural");
    if (*ret == SV_VAL_I32 && offset > UINT32_MAX)
        return sv_validate_fail(v, SV_EINVALID, "offset out of range of a 32-bit memory");
    if (sv_op_info[op].imm == IMM_MEMARG_LANE)
        return read_lane(v, op);
    return 0;
}

static int read_segment(struct sv_validator *v, const char *what, uint32_t n)
{
    uint32_t index;

    if (!sv_read_u32(&v->r, &index))
        return sv_validate_fail_read(v);
    if (*what == 'd' && !v->has_data_count)
        return sv_validate_fail(v, SV_EMALFORMED, "data count section required");
    if (index >= n)
        return sv_validate_fail(v, SV_EINVALID, "unknown %s segment %u", what, index);
    return 0;
}

static int read_fixed(struct sv_validator *v, size_t n)
{
    return sv_read_skip(&v->r, n) ? 0 : sv_validate_fail_read(v);
}

static int read_immediate(struct sv_validator *v, enum sv_op op, sv_valtype *ret_address)
{
    int64_t number;
    uint32_t memory;
    uint8_t byte;
    int r;

    switch (sv_op_info[op].imm) {
    case IMM_NONE:
        return 0;
    case IMM_I32:
        return sv_read_signed(&v->r, 32, &number) ? 0 : sv_validate_fail_read(v);
    case IMM_I64:
        return sv_read_signed(&v->r, 64, &number) ? 0 : sv_validate_fail_read(v);
    case IMM_F32:
        return read_fixed(v, 4);
    case IMM_F64:
        return read_fixed(v, 8);
    case IMM_V128:
        return read_fixed(v, 16);
    case IMM_MEMARG:
    case IMM_MEMARG_LANE:
        return read_memarg(v, op, ret_address);
    case IMM_LANE:
        return read_lane(v, op);
    case IMM_SHUFFLE:
        return read_shuffle(v);
    case IMM_DATA:
        return read_segment(v, "data", v->m->ndatas);
    case IMM_ELEM:
        return read_segment(v, "elem", v->m->nelems);
    case IMM_MEMORY_INIT:
        r = read_segment(v, "data", v->m->ndatas);
        if (r != 0)
            return r;
        __attribute__((fallthrough));
    case IMM_MEMORY:
        if (!sv_read_u32(&v->r, &memory))
            return sv_validate_fail_read(v);
        return address_type(v, memory, ret_address);
    case IMM_FENCE:
        if (!sv_read_u8(&v->r, &byte))
            return sv_validate_fail_read(v);
        return byte ? sv_validate_fail(v, SV_EMALFORMED, "zero byte expected") : 0;
    default:
        return sv_validate_fail(v, SV_EINTERNAL, "no reader for the immediates of '%s'",
                                sv_op_info[op].text);
    }
}

/* ---- the loop ---- */

static inline sv_valtype rule_type(uint8_t kind, sv_valtype address)
{
    return kind == ADDR ? address : kind;
}

/* The operands are there and exactly of the rule's types; ADDR comes first if at all. */
static inline bool is_exact(const struct sv_validator *v, const struct rule *rule,
                            sv_valtype address)
{
    const sv_valtype *top = v->top;

    if ((size_t)(top - v->base) < rule->nin)
        return false;
    switch (rule->nin) {
    case 0:
        return true;
    case 1:
        return top[-1] == rule_type(rule->in[0], address);
    case 2:
        return top[-1] == rule_type(rule->in[1], address) &&
               top[-2] == rule_type(rule->in[0], address);
    default:
        return top[-1] == rule_type(rule->in[2], address) &&
               top[-2] == rule_type(rule->in[1], address) &&
               top[-3] == rule_type(rule->in[0], address);
    }
}

/* Pop and push as the rule says. */
static inline int apply_rule(struct sv_validator *v, const struct rule *rule, sv_valtype address)
{
    unsigned n = rule->nin;

    if (is_exact(v, rule, address))
        v->top -= n;
    else
        while (n-- > 0) {
            int r = sv_validate_pop(v, rule_type(rule->in[n], address));

            if (r != 0)
                return r;
        }
    *v->top = rule_type(rule->out, address);
    v->top += rule->nout;
    return 0;
}

/* A local with a one-byte index whose type is at hand; UINT32_MAX: go the long way. */
static inline uint32_t short_local(const struct sv_validator *v)
{
    return v->r.p != v->r.end && *v->r.p < v->nshort ? *v->r.p : UINT32_MAX;
}

static inline int apply_local_get(struct sv_validator *v)
{
    uint32_t index = short_local(v);

    if (index == UINT32_MAX)
        return sv_validate_local(v, OP_LOCAL_GET);
    v->r.p++;
    *v->top++ = v->eager[index];
    return 0;
}

static inline int apply_local_set(struct sv_validator *v, enum sv_op op)
{
    uint32_t index = short_local(v);

    if (index == UINT32_MAX || v->top == v->base || v->top[-1] != v->eager[index])
        return sv_validate_local(v, op);
    v->r.p++;
    v->top -= op == OP_LOCAL_SET;
    return 0;
}

/* An access to memory 0 with nothing unusual; false: nothing done, go the long way. */
static inline bool read_plain_memarg(struct sv_validator *v, enum sv_op op)
{
    const uint8_t *p = v->r.p;

    if (v->memory0 != SV_VAL_I32 || sv_reader_left(&v->r) < 2 || p[0] > sv_op_access_log2(op) ||
        p[1] >= 0x80)
        return false;
    v->r.p = p + 2;
    return true;
}

static inline int apply_access(struct sv_validator *v, enum sv_op op, const struct rule *rule)
{
    sv_valtype address = SV_VAL_I32;
    int r = 0;

    if (!read_plain_memarg(v, op))
        r = read_memarg(v, op, &address);
    return r != 0 ? r : apply_rule(v, rule, address);
}

static int apply_any(struct sv_validator *v, const struct rule *rule)
{
    enum sv_op op = (enum sv_op)rule->op;
    sv_valtype address = SV_VAL_BOT;
    int r = 0;

    if (rule->feature != SV_FEATURE_MVP)
        r = sv_validate_feature(v, rule->feature);
    if (r == 0 && rule->nin == HAND)
        return by_hand[op]
                   ? by_hand[op](v, op)
                   : sv_validate_fail(v, SV_EINTERNAL, "no typing of '%s'", sv_op_info[op].text);
    if (r == 0)
        r = read_immediate(v, op, &address);
    return r != 0 ? r : apply_rule(v, rule, address);
}

/* The row of a prefixed opcode, its prefix read. */
static int read_prefixed(struct sv_validator *v, const struct rule **ret)
{
    uint32_t prefix = v->r.p[-1], sub = 0, slot;

    if (prefix < 0xfb || prefix == 0xff)
        return sv_validate_fail(v, SV_EMALFORMED, "illegal opcode %02x", prefix);
    if (!sv_read_u32(&v->r, &sub))
        return sv_validate_fail_read(v);
    slot = SV_OP_SLOT(prefix << 16 | sub);
    if (sub >= SV_OP_SUBS || rules[slot].way == WAY_NONE)
        return sv_validate_fail(v, SV_EMALFORMED, "illegal opcode %02x %02x", prefix, sub);
    *ret = &rules[slot];
    return 0;
}

/* One instruction, its first byte read. */
static inline int apply(struct sv_validator *v, const struct rule *rule)
{
    int64_t number;
    int r;

    switch ((enum way)rule->way) {
    case WAY_LOCAL_GET:
        return apply_local_get(v);
    case WAY_LOCAL_SET:
        return apply_local_set(v, OP_LOCAL_SET);
    case WAY_LOCAL_TEE:
        return apply_local_set(v, OP_LOCAL_TEE);
    case WAY_I32_CONST:
        if (!sv_read_signed(&v->r, 32, &number))
            return sv_validate_fail_read(v);
        *v->top++ = SV_VAL_I32;
        return 0;
    case WAY_PLAIN:
        return apply_rule(v, rule, SV_VAL_BOT);
    case WAY_ACCESS:
        return apply_access(v, (enum sv_op)rule->op, rule);
    case WAY_BLOCK:
        return sv_validate_block(v, OP_BLOCK);
    case WAY_END:
        return sv_validate_end(v, OP_END);
    case WAY_BR_IF:
        return sv_validate_br_if(v, OP_BR_IF);
    case WAY_CALL:
        return sv_validate_call(v, OP_CALL);
    case WAY_HAND:
    case WAY_RULE:
        break;
    case WAY_NONE:
        r = read_prefixed(v, &rule);
        if (r != 0)
            return r;
        break;
    }
    return apply_any(v, rule);
}

/* Constant instructions, spec 3.4.13; global.get looks at mutability itself. */
static bool is_constant(enum sv_op op)
{
    switch (op) {
    case OP_I32_CONST:
    case OP_I64_CONST:
    case OP_F32_CONST:
    case OP_F64_CONST:
    case OP_V128_CONST:
    case OP_I32_ADD:
    case OP_I32_SUB:
    case OP_I32_MUL:
    case OP_I64_ADD:
    case OP_I64_SUB:
    case OP_I64_MUL:
    case OP_REF_NULL:
    case OP_REF_FUNC:
    case OP_REF_I31:
    case OP_STRUCT_NEW:
    case OP_STRUCT_NEW_DEFAULT:
    case OP_ARRAY_NEW:
    case OP_ARRAY_NEW_DEFAULT:
    case OP_ARRAY_NEW_FIXED:
    case OP_ANY_CONVERT_EXTERN:
    case OP_EXTERN_CONVERT_ANY:
    case OP_GLOBAL_GET:
    case OP_END:
        return true;
    default:
        return false;
    }
}

/* A constant instruction, its first byte read. */
static int apply_constant(struct sv_validator *v, const struct rule *rule)
{
    int r = 0;

    if (rule->way == WAY_NONE)
        r = read_prefixed(v, &rule);
    if (r != 0)
        return r;
    if (!is_constant((enum sv_op)rule->op))
        return sv_validate_fail(v, SV_EINVALID, "constant expression required, found '%s'",
                                sv_op_info[rule->op].text);
    if (rule->imm == IMM_NONE && rule->nin == 2)
        r = sv_validate_feature(v, SV_FEATURE_EXTENDED_CONST);
    return r != 0 ? r : apply_any(v, rule);
}

/* Instructions until the first block is closed. */
static int validate_code(struct sv_validator *v)
{
    while (v->ctrls.len > 0) {
        const struct rule *rule;
        int r;

        v->at = v->r.p;
        if (v->r.p == v->r.end)
            return sv_validate_fail(v, SV_EMALFORMED, "unexpected end of section or function");
        rule = &rules[*v->r.p++];
        if ((size_t)(v->end - v->top) < SV_RESERVED_OPERANDS) {
            r = sv_validate_reserve(v, SV_RESERVED_OPERANDS);
            if (r != 0)
                return r;
        }
        r = v->is_const ? apply_constant(v, rule) : apply(v, rule);
        if (r != 0)
            return r;
    }
    return 0;
}

/* ---- bodies ---- */

static int add_run(struct sv_validator *v, uint32_t n, sv_valtype type)
{
    uint32_t end = v->nlocals + n;

    for (; v->neager < end && v->neager < SV_EAGER_LOCALS; v->neager++)
        v->eager[v->neager] = type;
    v->nlocals = end;
    if (n == 0 || end <= SV_EAGER_LOCALS)
        return 0;
    if (!SV_VEC_PUSH(&v->runs, SV_LIMIT_PARAMS + SV_LIMIT_LOCALS, (struct sv_local_run){end, type}))
        return sv_fail_nomem(v->err, "locals");
    return 0;
}

static int read_locals(struct sv_validator *v)
{
    uint32_t nruns, n;
    uint64_t total = 0;
    int r = sv_validate_u32(v, &nruns);

    if (r != 0)
        return r;
    for (; nruns > 0; nruns--) {
        sv_valtype type;

        v->at = v->r.p;
        r = sv_validate_u32(v, &n);
        if (r != 0)
            return r;
        total += n;
        if (total > UINT32_MAX)
            return sv_validate_fail(v, SV_EMALFORMED, "too many locals");
        r = sv_validate_valtype(v, &type);
        if (r != 0)
            return r;
        if (total > SV_LIMIT_LOCALS)
            return sv_validate_fail(v, SV_ELIMIT, "too many locals: %llu, at most %u",
                                    (unsigned long long)total, SV_LIMIT_LOCALS);
        if (n > 0 && !sv_valtype_defaultable(type))
            v->any_nondefaultable = true;
        r = add_run(v, n, type);
        if (r != 0)
            return r;
    }
    return 0;
}

int sv_validate_body(struct sv_validator *v, const struct sv_func_decl *func)
{
    struct sv_blocktype type = {func->type, SV_VAL_BOT};
    int r = 0;

    v->r = (struct sv_reader){.p = v->m->bytes + func->body_offset, .base = v->m->bytes};
    v->r.end = v->r.p + func->body_len;
    v->at = v->r.p;
    v->is_const = false;
    v->memory0 = SV_VAL_BOT;
    if (v->m->nmemories > 0)
        v->memory0 = v->m->memories[0].limits.is64 ? SV_VAL_I64 : SV_VAL_I32;
    v->type = func->type;
    v->top = v->base = v->stack;
    v->ctrls.len = v->runs.len = 0;
    v->nlocals = v->neager = v->nshort = 0;
    v->any_nondefaultable = false;
    for (uint32_t i = 0; r == 0 && i < func->type->func.nparams; i++)
        r = add_run(v, 1, func->type->func.params[i]);
    if (r == 0)
        r = read_locals(v);
    v->nshort = v->any_nondefaultable ? 0 : v->nlocals < 0x80 ? v->nlocals : 0x80;
    if (r == 0 && v->any_nondefaultable && !v->is_set) {
        v->is_set = sv_alloc_zero((SV_LIMIT_PARAMS + SV_LIMIT_LOCALS) / 8 + 1);
        if (!v->is_set)
            r = sv_fail_nomem(v->err, "locals");
    }
    if (r == 0)
        r = sv_validate_push_ctrl(v, OP_BLOCK, type);
    if (r != 0)
        return r;
    /* the function's parameters are locals, not operands */
    v->top = v->base = v->stack;
    r = validate_code(v);
    if (r == 0 && v->r.p != v->r.end)
        r = sv_validate_fail(v, SV_EMALFORMED,
                             "section size mismatch: bytes behind the function's end");
    return r;
}

int sv_validate_const(struct sv_validator *v, struct sv_reader *r, sv_valtype type)
{
    int ret;

    v->r = *r;
    v->at = r->p;
    v->is_const = true;
    v->type = NULL;
    v->top = v->base = v->stack;
    v->ctrls.len = v->runs.len = 0;
    v->nlocals = v->neager = v->nshort = 0;
    v->any_nondefaultable = false;
    ret = sv_validate_push_ctrl(v, OP_BLOCK, (struct sv_blocktype){NULL, type});
    if (ret == 0)
        ret = validate_code(v);
    r->p = v->r.p;
    return ret;
}
