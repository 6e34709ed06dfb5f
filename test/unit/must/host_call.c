/* Calls that leave an instance, of host functions of all kinds and of another instance's: each tier
 * gives the same results, the same errors and backtraces, and the same gas for every limit of it.
 */
#include "guest.h"

#ifdef SV_TEST_NATIVE

enum { NOTHING, SPEND, BACK, FAIL, LEAVE, VALUE, OTHER, IMPORTS };
static const char *const import_names[] = {"nothing", "spend", "back", "fail",
                                           "leave",   "value", "other"};
enum { CALL = 0x10, DROP = 0x1a, LOOP = 0x03, BR_IF = 0x0d, VOID = 0x40, END = 0x0b };
enum form { PLAIN, TAIL_CALLS, OBJECTS, FORMS };

/* (i: i32) -> i32: a loop of 3 turns in which values live across each of the calls. */
static void put_all(struct must *m, uint32_t type)
{
    must_func(m, type, "all");
    EMIT(m, 0x41, 3, 0x21, 1, LOOP, VOID);
    for (uint32_t f = NOTHING; f < IMPORTS; f++) {
        if (f == FAIL || f == LEAVE)
            continue;
        if (f == VALUE)
            emit_get(m, 0);
        emit_u(m, CALL, f);
        if (f == VALUE)
            EMIT(m, 0x20, 1, 0x6a, 0x21, 0); /* + local 1 */
    }
    EMIT(m, 0x20, 1, 0x41, 1, 0x6b, 0x22, 1, BR_IF, 0, END);
    emit_get(m, 0);
    must_end_locals(m, 1, 'i');
}

static void make_caller(struct sv_buf *ret, enum form form)
{
    uint32_t none, one, array, first;
    struct must m;

    must_init(&m);
    none = must_type(&m, ":");
    one = must_type(&m, "i:i");
    array = m.count[MUST_TYPE];
    put(must_entry(&m, MUST_TYPE), BYTES(0x5e, 0x78, 1)); /* array of i8 */
    for (uint32_t f = NOTHING; f < IMPORTS; f++)
        must_import(&m, import_names[f], f == VALUE ? one : none);
    put_all(&m, one);
    for (uint32_t f = FAIL; f <= LEAVE; f++) {
        must_func(&m, none, import_names[f]);
        emit_u(&m, CALL, NOTHING);
        emit_u(&m, CALL, f);
        emit_u(&m, CALL, NOTHING);
        must_end(&m);
    }
    first = must_func(&m, none, "inner");
    emit_u(&m, CALL, NOTHING);
    EMIT(&m, 0x41, 1, DROP);
    must_end(&m);
    if (form == TAIL_CALLS) {
        must_func(&m, none, "tail");
        emit_u(&m, 0x12, first);
        must_end(&m);
    }
    must_func(&m, none, "make");
    if (form == OBJECTS) {
        EMIT(&m, 0x41, 1, 0xfb, 0x07);
        put_u64(&m.body, array);
        EMIT(&m, DROP);
    }
    must_end(&m);
    must_bytes(&m, ret);
}

/* What is called in another instance: () -> (), of 5 units of gas. */
static void make_other(struct sv_buf *ret)
{
    struct must m;

    must_init(&m);
    must_func(&m, must_type(&m, ":"), "other");
    EMIT(&m, 0x41, 1, DROP, 0x41, 1, DROP, 0x01);
    must_end(&m);
    must_bytes(&m, ret);
}

static ssvm_error *nothing(void *data, ssvm_caller *c, const ssvm_val *args, ssvm_val *ret)
{
    (void)args;
    (void)ret;
    assert_non_null(ssvm_caller_instance(c));
    ++*(unsigned *)data;
    return NULL;
}

static ssvm_error *spend(void *data, ssvm_caller *c, const ssvm_val *args, ssvm_val *ret)
{
    (void)data;
    (void)args;
    (void)ret;
    return ssvm_caller_use_gas(c, 10) ? NULL : ssvm_error_new("no gas to spend");
}

static ssvm_error *back(void *data, ssvm_caller *c, const ssvm_val *args, ssvm_val *ret)
{
    (void)data;
    (void)args;
    (void)ret;
    return ssvm_func_call(ssvm_caller_store(c),
                          ssvm_instance_func(ssvm_caller_instance(c), "inner"), NULL, 0, NULL, 0);
}

static ssvm_error *fails(void *data, ssvm_caller *c, const ssvm_val *args, ssvm_val *ret)
{
    (void)data;
    (void)c;
    (void)args;
    (void)ret;
    return ssvm_error_new("as it was asked to");
}

static ssvm_error *leave(void *data, ssvm_caller *c, const ssvm_val *args, ssvm_val *ret)
{
    (void)data;
    (void)c;
    (void)args;
    (void)ret;
    return ssvm_error_new_exit(7);
}

static ssvm_error *value(void *data, ssvm_caller *c, const ssvm_val *args, ssvm_val *ret)
{
    (void)data;
    (void)c;
    ret->of.i32 = args->of.i32 * 3;
    return NULL;
}

/* A store of the caller with all that it imports. */
struct side {
    struct guest g;
    ssvm_module *other;
    unsigned calls; /* of `nothing` */
    char said[512]; /* of the last call: its result or error, and backtrace */
};

static void open_side(struct side *s, const char *tier, enum form form)
{
    ssvm_config config = SSVM_CONFIG_INIT;
    struct sv_buf caller, other;

    config.tier = tier;
    make_caller(&caller, form);
    make_other(&other);
    guest_open(&s->g, &caller, &config, NULL);
    ok(ssvm_module_new(s->g.engine, other.data, other.len, &s->other));
    sv_buf_release(&other);
}

static void close_side(struct side *s)
{
    ssvm_module_delete(s->other);
    guest_close(&s->g);
}

/* A new store. */
static void start_side(struct side *s, uint64_t gas)
{
    static const ssvm_kind i32 = SSVM_I32;
    ssvm_functype *type = ssvm_functype_new(&i32, 1, &i32, 1);
    ssvm_limits limits = SSVM_LIMITS_INIT;
    ssvm_instance *other;
    ssvm_linker *first;

    ssvm_linker_delete(s->g.linker);
    ssvm_store_delete(s->g.store);
    limits.gas = gas;
    ok(ssvm_store_new(s->g.engine, &limits, &s->g.store));
    ok(ssvm_linker_new(s->g.store, &first));
    ok(ssvm_linker_instantiate(first, s->other, &other));
    ssvm_linker_delete(first);
    ok(ssvm_linker_new(s->g.store, &s->g.linker));
    ok(ssvm_linker_define_instance(s->g.linker, "h", other));
    guest_import(&s->g, "nothing", nothing, &s->calls, NULL);
    guest_import(&s->g, "spend", spend, NULL, NULL);
    guest_import(&s->g, "back", back, NULL, NULL);
    guest_import(&s->g, "fail", fails, NULL, NULL);
    guest_import(&s->g, "leave", leave, NULL, NULL);
    ok(ssvm_linker_define_func(s->g.linker, "h", "value", type, value, NULL, NULL));
    ssvm_functype_delete(type);
    guest_start(&s->g);
    s->calls = 0;
}

static uint64_t gas_of(const struct side *s)
{
    ssvm_stats stats = SSVM_STATS_INIT;

    ssvm_store_stats(s->g.store, &stats);
    return stats.gas_used;
}

static void call_side(struct side *s, const char *name)
{
    bool all = strcmp(name, "all") == 0;
    ssvm_val ret = {.kind = SSVM_I32};
    int32_t arg = 5;
    ssvm_error *e = guest_call(&s->g, name, &arg, all, all ? &ret : NULL);
    const char *trace = e ? ssvm_error_backtrace(e) : NULL;

    snprintf(s->said, sizeof s->said, "%d, %s, exit %d, gas %llu, %u calls\n%s", ret.of.i32,
             e ? ssvm_error_message(e) : "good", e ? ssvm_error_exit_status(e) : 0,
             (unsigned long long)gas_of(s), s->calls, trace ? trace : "");
    ssvm_error_delete(e);
}

static void compare(struct side *sides, const char *name)
{
    for (unsigned i = 0; i < 2; i++)
        call_side(&sides[i], name);
    if (strcmp(sides[0].said, sides[1].said) != 0)
        fail_msg("%s: '%s', native '%s'", name, sides[0].said, sides[1].said);
}

static void start(struct side *sides, uint64_t gas)
{
    for (unsigned i = 0; i < 2; i++)
        start_side(&sides[i], gas);
    compare(sides, "make");
}

static void same_in_each_tier(void **state)
{
    static const uint64_t modes[] = {0, SSVM_GAS_COUNT, 100000};

    (void)state;
    for (enum form form = PLAIN; form < FORMS; form++) {
        struct side sides[2] = {{.calls = 0}};
        uint64_t all;

        open_side(&sides[0], "interp", form);
        open_side(&sides[1], "aot", form);
        for (unsigned i = 0; i < SV_COUNT(modes); i++) {
            start(sides, modes[i]);
            compare(sides, "all");
            assert_int_equal(strncmp(sides[1].said, "169, good, ", 11), 0);
            assert_int_equal(sides[1].calls, 6);
            compare(sides, "fail");
            assert_non_null(strstr(sides[1].said, "as it was asked to"));
            compare(sides, "leave");
            assert_non_null(strstr(sides[1].said, "exit 7"));
            compare(sides, "all");
        }
        start(sides, SSVM_GAS_COUNT);
        compare(sides, "all");
        all = gas_of(&sides[1]);
        /* Exhausted at each of the places. */
        for (uint64_t gas = 16; gas <= all; gas++) {
            start(sides, gas);
            compare(sides, "all");
            assert_true((strstr(sides[1].said, "good") != NULL) == (gas == all));
        }
        close_side(&sides[0]);
        close_side(&sides[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(same_in_each_tier)};

    return cmocka_run_group_tests_name("must/host_call", tests, NULL, NULL);
}

#else

int main(void)
{
    return 0; /* no compiler: one tier */
}

#endif
