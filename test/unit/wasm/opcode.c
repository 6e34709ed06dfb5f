/* The table of instructions against what the specification's index says of it: counts, encodings,
 * alignment by name. */
#include "build.h"

#include "wasm/opcode.h"

static void lookup(void **state)
{
    (void)state;
    for (unsigned op = 0; op < OP_COUNT; op++) {
        uint32_t code = sv_op_info[op].code;

        assert_int_equal(sv_op_find(code), op);
        assert_int_equal(sv_op_slot[SV_OP_SLOT(code)], op + 1);
        assert_non_null(strchr(":*", sv_op_info[op].sig[strcspn(sv_op_info[op].sig, ":*")]));
        assert_true(sv_op_info[op].imm < IMM_COUNT);
        assert_true(sv_op_info[op].feature < SV_FEATURE_COUNT);
    }
    assert_int_equal(sv_op_find(0xff), OP_COUNT);
    assert_int_equal(sv_op_find(0xfd0114), OP_COUNT);
    assert_int_equal(sv_op_find(0xfd009a), OP_COUNT);
    assert_int_equal(sv_op_find(UINT32_MAX), OP_COUNT);
}

/* Instructions of each prefix: 3.0's index of instructions, plus threads and legacy exceptions. */
static void counts(void **state)
{
    static const struct {
        uint32_t prefix;
        unsigned n;
    } expected[] = {{0, 194 + 5}, {0xfb, 31}, {0xfc, 18}, {0xfd, 236 + 20}, {0xfe, 67}};

    (void)state;
    for (size_t i = 0; i < SV_COUNT(expected); i++) {
        unsigned n = 0;

        for (unsigned op = 0; op < OP_COUNT; op++)
            n += sv_op_info[op].code >> 16 == expected[i].prefix;
        printf("prefix %02x: %u\n", expected[i].prefix, n);
        assert_int_equal(n, expected[i].n);
    }
}

/* Bytes accessed, read off the instruction's name. */
static unsigned access_of(const char *text)
{
    const char *dot = strchr(text, '.'), *digit;
    unsigned bits = text[1] == '3' ? 32 : text[1] == '6' ? 64 : 128, n, lanes;

    if (strcmp(text, "memory.atomic.wait64") == 0)
        return 8;
    if (strncmp(text, "memory.atomic", 13) == 0)
        return 4;
    digit = dot + 1 + strcspn(dot + 1, "0123456789");
    if (*digit) {
        bits = n = (unsigned)strtoul(digit, (char **)&digit, 10);
        if (*digit == 'x') {
            lanes = (unsigned)strtoul(digit + 1, NULL, 10);
            bits = n * lanes;
        }
    }
    return bits / 8;
}

static void alignment(void **state)
{
    (void)state;
    for (unsigned op = 0; op < OP_COUNT; op++) {
        unsigned imm = sv_op_info[op].imm;

        if (imm == IMM_MEMARG || imm == IMM_MEMARG_LANE)
            assert_int_equal(1u << sv_op_access_log2((enum sv_op)op),
                             access_of(sv_op_info[op].text));
        else
            assert_int_equal(sv_op_access_log2((enum sv_op)op), 0);
    }
}

/* Names are the text with dots as underscores; gas is 1 but for block structure. */
static void names_and_costs(void **state)
{
    static const struct {
        const char *name, *text;
        unsigned cost;
    } rows[] = {
#define OP(name, code, text, imm, sig, feature, cost) {#name, text, cost},
#include "wasm/opcode.def"
#undef OP
    };

    (void)state;
    for (unsigned op = 0; op < OP_COUNT; op++) {
        char name[64];
        size_t n = 0;
        bool structure = op == OP_BLOCK || op == OP_LOOP || op == OP_ELSE || op == OP_END;

        for (const char *c = rows[op].text; *c; c++)
            name[n++] =
                *c == '.' || *c == ' ' ? '_' : (char)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c);
        name[n] = '\0';
        assert_string_equal(rows[op].name, op == OP_SELECT_T ? "SELECT_T" : name);
        assert_int_equal(rows[op].cost, structure ? 0 : 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lookup),
        cmocka_unit_test(counts),
        cmocka_unit_test(alignment),
        cmocka_unit_test(names_and_costs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
