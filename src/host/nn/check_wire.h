/* Protocol buffers as bytes: a reader that believes nothing. Refuses what parsers read differently:
 * groups, a field that may come once and comes twice (they merge messages), a known field of
 * another wire type, numbers with too many bytes. For check*.c alone. */
#ifndef SV_HOST_NN_CHECK_WIRE_H
#define SV_HOST_NN_CHECK_WIRE_H

#include "host/nn/check_model.h"

enum sv_wire_kind {
    SV_WIRE_VARINT,
    SV_WIRE_FIXED64,
    SV_WIRE_BYTES,
    SV_WIRE_FIXED32,
    SV_WIRE_VARINTS, /* repeated: one, or many packed */
    SV_WIRE_FIXED64S,
    SV_WIRE_FIXED32S
};
struct sv_wire_rule {
    uint16_t number;
    uint8_t kind; /* enum sv_wire_kind */
    bool once;
};
/* A message; at most 64 rules. */
struct sv_wire_message {
    const char *name;
    const struct sv_wire_rule *rules;
    unsigned nrules;
};
#define SV_WIRE_MESSAGE(variable, text, ...)                                                       \
    static const struct sv_wire_rule variable##_rules[] = {__VA_ARGS__};                           \
    static const struct sv_wire_message variable = {text, variable##_rules,                        \
                                                    SV_COUNT(variable##_rules)}
struct sv_wire {
    const uint8_t *p, *end;
    const struct sv_wire_message *message;
    uint64_t seen; /* rules that came */
};
struct sv_wire_field {
    uint32_t number; /* 0: one without a rule, to be passed over */
    uint64_t value;  /* of a varint or a fixed number */
    struct sv_str bytes;
    uint64_t count; /* values of a repeated number */
};
void sv_wire_init(struct sv_wire *, const struct sv_wire_message *, struct sv_str);
/* The next field: 1, 0 at the end, negative: refused (the check's err has why). */
int sv_wire_next(struct sv_nn_check *, struct sv_wire *, struct sv_wire_field *ret);
/* One number off packed varints; false: none is left, or it is malformed. */
bool sv_wire_number(const uint8_t **p, const uint8_t *end, uint64_t *ret);

#endif
