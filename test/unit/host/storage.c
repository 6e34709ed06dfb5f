/* The module `ssvm_native`: pointers, order of calls, limits, what a back end says. What the
 * published crate does with it: test/crates. */
#include "guest.h"

#include "host/part.h"
#include "host/state/state.h"

static const struct sv_host_module *module;

static int open_part(void **state)
{
    struct sv_err err = {0};

    (void)state;
    if (sv_host_part_module(&err, "host-state.so", "storage", &module) == 0)
        return 0;
    fprintf(stderr, "%s\n", err.text);
    return -1;
}

/* ---- A back end with one key ---- */

static struct {
    char key[64];
    size_t key_len, len;
    uint8_t value[1 << 16];
    int code; /* what it says instead */
    unsigned sets, gets, sessions;
} kept;

static int fake_open(void *data, void *store_data, void **ret)
{
    (void)store_data;
    kept.sessions++;
    *ret = data;
    return SSVM_STATE_OK;
}

static void fake_close(void *session)
{
    assert_ptr_equal(session, &kept);
    kept.sessions--;
}

static int fake_set(void *session, ssvm_state_op *op, ssvm_state_bytes key, ssvm_state_bytes value,
                    uint64_t ttl_ms)
{
    assert_ptr_equal(session, &kept);
    assert_int_equal(ttl_ms, 0);
    kept.sets++;
    if (kept.code) {
        snprintf(op->error, sizeof op->error, "storage is full");
        return kept.code;
    }
    assert_true(key.len < sizeof kept.key && value.len <= sizeof kept.value);
    memcpy(kept.key, key.ptr, key.len);
    memcpy(kept.value, value.ptr, value.len);
    kept.key_len = key.len;
    kept.len = value.len;
    return SSVM_STATE_OK;
}

static int fake_get(void *session, ssvm_state_op *op, ssvm_state_bytes key)
{
    assert_ptr_equal(session, &kept);
    kept.gets++;
    if (kept.code)
        return kept.code;
    if (key.len != kept.key_len || memcmp(key.ptr, kept.key, key.len) != 0)
        return SSVM_STATE_ENOENT;
    return ssvm_state_put(op, SSVM_STATE_BODY, kept.value, kept.len) ? SSVM_STATE_OK
                                                                     : SSVM_STATE_ELIMIT;
}

static const struct ssvm_state_backend backend = {.abi = SSVM_STATE_ABI,
                                                  .open = fake_open,
                                                  .close = fake_close,
                                                  .kv_set = fake_set,
                                                  .kv_get = fake_get};

static void *no_data(const struct sv_store *s)
{
    (void)s;
    return NULL;
}

static void open_guest(struct guest *g, uint64_t max_bytes)
{
    memset(&kept, 0, sizeof kept);
    guest_open(
        g, module,
        &(struct sv_state_grant){
            .backend = &backend, .data = &kept, .max_bytes = max_bytes, .store_data = no_data});
}

static int say(struct guest *g, const char *name, uint64_t arg, size_t n)
{
    uint64_t ret;

    return guest_call_wide(g, name, &arg, n, &ret);
}

static uint64_t load(struct guest *g, const char *name)
{
    uint64_t ret = 0;

    assert_int_equal(guest_call_wide(g, name, NULL, 0, &ret), 0);
    return ret;
}

static void put_key(struct guest *g, uint32_t at, const char *key)
{
    memcpy(g->memory.base + at, key, strlen(key) + 1);
}

static const char *trap_text(struct guest *g)
{
    return g->store.thread.trap.text;
}

/* ---- Tests ---- */

static void records(void **state)
{
    struct guest g;

    (void)state;
    for (unsigned era = 1; era <= 2; era++) {
        open_guest(&g, 0);
        g.era = era;
        put_key(&g, 64, "short");
        assert_int_equal(say(&g, "beginStoreTx", 64, 1), 0);
        assert_int_equal(say(&g, "storeI32", 0x80000001, 1), 0);
        assert_int_equal(say(&g, "storeI64", UINT64_C(0x8000000000000002), 1), 0);
        assert_int_equal(kept.sets, 0);
        assert_int_equal(say(&g, "endStoreTx", 0, 0), 0);
        assert_int_equal(kept.len, 12);
        assert_int_equal(kept.key_len, 13);
        assert_memory_equal(kept.key, "storage/short", 13);
        assert_int_equal(say(&g, "beginLoadTx", 64, 1), 0);
        /* Another record may be made meanwhile. */
        put_key(&g, 128, "0123456789abcdef0123456789abcdefX");
        assert_int_equal(say(&g, "beginStoreTx", 128, 1), 0);
        assert_int_equal(load(&g, "loadI32"), 0x80000001);
        assert_true(load(&g, "loadI64") == UINT64_C(0x8000000000000002));
        assert_int_equal(say(&g, "loadI32", 0, 0), SV_ETRAP);
        assert_int_equal(say(&g, "endStoreTx", 0, 0), 0);
        assert_int_equal(kept.len, 0);
        assert_int_equal(kept.key_len, 40);
        assert_int_equal(say(&g, "endLoadTx", 0, 0), 0);
        assert_int_equal(say(&g, "endLoadTx", 0, 0), 0);
        assert_int_equal(g.store.memory_used, 0);
        assert_int_equal(kept.sessions, 1);
        guest_close(&g);
        assert_int_equal(kept.sessions, 0);
    }
}

static void order_of_calls(void **state)
{
    struct guest g;

    (void)state;
    open_guest(&g, 0);
    put_key(&g, 64, "k");
    assert_int_equal(say(&g, "storeI32", 1, 1), SV_ETRAP);
    assert_int_equal(say(&g, "storeI64", 1, 1), SV_ETRAP);
    assert_int_equal(say(&g, "endStoreTx", 0, 0), SV_ETRAP);
    assert_int_equal(say(&g, "loadI32", 0, 0), SV_ETRAP);
    assert_int_equal(say(&g, "loadI64", 0, 0), SV_ETRAP);
    assert_int_equal(say(&g, "beginLoadTx", 64, 1), SV_ETRAP); /* there is none */
    assert_int_equal(kept.sets, 0);
    /* A second beginning forgets the first; an empty key is none. */
    assert_int_equal(say(&g, "beginStoreTx", 64, 1), 0);
    assert_int_equal(say(&g, "storeI32", 1, 1), 0);
    assert_int_equal(say(&g, "beginStoreTx", 64, 1), 0);
    assert_int_equal(say(&g, "endStoreTx", 0, 0), 0);
    assert_int_equal(kept.len, 0);
    assert_int_equal(say(&g, "beginStoreTx", 65, 1), SV_ETRAP);
    assert_int_equal(say(&g, "storeI32", 1, 1), SV_ETRAP);
    guest_close(&g);
}

static void pointers(void **state)
{
    static const uint64_t outside[] = {GUEST_SIZE, GUEST_SIZE + 1, 0xffffffff, 0x80000000};
    struct guest g;

    (void)state;
    open_guest(&g, 0);
    memset(g.memory.base + GUEST_SIZE - 64, 'k', 64);
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        assert_int_equal(say(&g, "createUUID", outside[i], 1), SV_ETRAP);
        assert_int_equal(say(&g, "beginStoreTx", outside[i], 1), SV_ETRAP);
        assert_int_equal(say(&g, "beginLoadTx", outside[i], 1), SV_ETRAP);
    }
    /* At the end of the memory: a whole key, one with its NUL, one without. */
    assert_int_equal(say(&g, "beginStoreTx", GUEST_SIZE - 32, 1), 0);
    assert_int_equal(say(&g, "beginStoreTx", GUEST_SIZE - 31, 1), SV_ETRAP);
    g.memory.base[GUEST_SIZE - 1] = 0;
    assert_int_equal(say(&g, "beginStoreTx", GUEST_SIZE - 31, 1), 0);
    assert_int_equal(say(&g, "createUUID", GUEST_SIZE - 32, 1), SV_ETRAP);
    assert_int_equal(g.memory.base[GUEST_SIZE - 32], 'k');
    assert_int_equal(say(&g, "createUUID", GUEST_SIZE - 33, 1), 0);
    assert_int_equal(strlen((char *)g.memory.base + GUEST_SIZE - 33), 32);
    /* The small buffer of the crate: not a byte behind it. */
    put_key(&g, GUEST_SIZE - 12, "placeholder");
    assert_int_equal(say(&g, "createUUID", GUEST_SIZE - 12, 1), 0);
    assert_int_equal(strlen((char *)g.memory.base + GUEST_SIZE - 12), 11);
    assert_string_not_equal((char *)g.memory.base + GUEST_SIZE - 12, "placeholder");
    guest_close(&g);
}

static void limits(void **state)
{
    struct guest g;
    int r = 0;

    (void)state;
    open_guest(&g, 4096);
    put_key(&g, 64, "k");
    assert_int_equal(say(&g, "beginStoreTx", 64, 1), 0);
    for (int i = 0; i < 1024 && r == 0; i++)
        r = say(&g, "storeI32", 7, 1);
    assert_int_equal(r, 0);
    assert_int_equal(say(&g, "storeI32", 7, 1), SV_ETRAP);
    assert_in_range(g.store.memory_used, 4096, 8192);
    assert_int_equal(say(&g, "endStoreTx", 0, 0), 0);
    assert_int_equal(kept.len, 4096);
    assert_int_equal(g.store.memory_used, 0);
    g.store.limits.memory_bytes = 100;
    assert_int_equal(say(&g, "beginLoadTx", 64, 1), SV_ETRAP);
    assert_int_equal(say(&g, "beginStoreTx", 64, 1), 0);
    for (r = 0; r == 0;)
        r = say(&g, "storeI64", 7, 1);
    assert_int_equal(r, SV_ETRAP);
    guest_close(&g);
}

static void what_a_back_end_says(void **state)
{
    struct guest g;

    (void)state;
    open_guest(&g, 0);
    put_key(&g, 64, "k");
    kept.code = SSVM_STATE_ELIMIT;
    assert_int_equal(say(&g, "beginStoreTx", 64, 1), 0);
    assert_int_equal(say(&g, "endStoreTx", 0, 0), SV_ETRAP);
    assert_non_null(strstr(trap_text(&g), "storage is full"));
    /* It is over: it is not kept later, nor twice. */
    kept.code = 0;
    assert_int_equal(say(&g, "endStoreTx", 0, 0), SV_ETRAP);
    assert_int_equal(kept.sets, 1);
    kept.code = SSVM_STATE_EIO;
    memset(&g.store.thread.trap, 0, sizeof g.store.thread.trap);
    assert_int_equal(say(&g, "beginLoadTx", 64, 1), SV_ETRAP);
    assert_non_null(strstr(trap_text(&g), "failed"));
    assert_int_equal(g.store.memory_used, 0);
    guest_close(&g);
}

static void functions_are_in_order(void **state)
{
    (void)state;
    for (unsigned i = 1; i < module->nfuncs; i++)
        assert_true(strcmp(module->funcs[i - 1].name, module->funcs[i].name) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records),
        cmocka_unit_test(order_of_calls),
        cmocka_unit_test(pointers),
        cmocka_unit_test(limits),
        cmocka_unit_test(what_a_back_end_says),
        cmocka_unit_test(functions_are_in_order),
    };

    return cmocka_run_group_tests(tests, open_part, NULL);
}
