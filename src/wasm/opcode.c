/* The tables expanded from opcode.def and feature.def. Knows nothing of how instructions are typed
 * or run. */
#include "wasm/opcode.h"

#include "base/alloc.h"

const struct sv_op_info sv_op_info[OP_COUNT] = {
#define OP(name, code, text, imm, sig, feature, cost)                                              \
    [OP_##name] = {text, sig, code, IMM_##imm, SV_FEATURE_##feature, cost},
#include "wasm/opcode.def"
#undef OP
};

const uint16_t sv_op_slot[SV_OP_SLOTS] = {
#define OP(name, code, text, imm, sig, feature, cost) [SV_OP_SLOT(code)] = OP_##name + 1,
#include "wasm/opcode.def"
#undef OP
};

#define OP(name, code, text, imm, sig, feature, cost)                                              \
    _Static_assert(SV_OP_SLOT(code) < SV_OP_SLOTS, "no slot for " text);
#include "wasm/opcode.def"
#undef OP

/* A switch, not the table, because two equal cases are a compile error whatever the warnings. */
enum sv_op sv_op_find(uint32_t code)
{
    switch (code) {
#define OP(name, number, text, imm, sig, feature, cost)                                            \
    case number:                                                                                   \
        return OP_##name;
#include "wasm/opcode.def"
#undef OP
    default:
        return OP_COUNT;
    }
}

const uint8_t sv_op_access_log2_of[OP_COUNT] = {
#define ACCESS(name, log2) [OP_##name] = log2,
#include "wasm/access.def"
#undef ACCESS
};

const uint64_t sv_features_default = (UINT64_C(1) << SV_FEATURE_COUNT) - 1;

const char *sv_feature_name(enum sv_feature feature)
{
    static const char *const names[SV_FEATURE_COUNT] = {
#define FEATURE(name, text) [SV_FEATURE_##name] = text,
#include "wasm/feature.def"
#undef FEATURE
    };
    return feature < SV_FEATURE_COUNT ? names[feature] : "unknown";
}
