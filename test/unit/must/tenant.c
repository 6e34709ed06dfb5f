/* What one tenant leaves the next must not find; references stay alive through tables, globals and
 * exceptions while the collector runs at every allocation. */
#include "guest.h"

enum { PAGE = 65536, PAGES = 3, ELEMS = 100, LOCALS = 64, DEPTH = 200, TENANTS = 20 };
enum { TYPE_VOID, TYPE_DEPTH, TYPE_SUM, TYPE_BYTES, TYPE_STRUCT, NTYPES };
#define CANARY UINT64_C(0xa5a5a5a5a5a5a5a5)

static void emit_v128(struct must *m, uint8_t byte)
{
    EMIT(m, 0xfd, 12);
    for (unsigned i = 0; i < 16; i++)
        put_byte(&m->body, byte);
}

/* stack: (depth) fills LOCALS locals of 16 bytes with the canary, at every level. */
static void put_stack(struct must *m)
{
    uint32_t self = must_func(m, TYPE_DEPTH, "stack");

    for (unsigned i = 1; i <= LOCALS; i++) {
        emit_v128(m, 0xa5);
        EMIT(m, 0x21, (uint8_t)i);
    }
    EMIT(m, 0x20, 0, 0x04, 0x40, 0x20, 0, 0x41, 1, 0x6b, 0x10, (uint8_t)self, 0x0b);
    must_end_locals(m, LOCALS, 'v');
}

/* locals: (depth) -> the sum of bits of locals that nobody set, of all levels, before and after
 * deeper calls have used the stack. */
static void put_locals(struct must *m)
{
    uint32_t self = must_func(m, TYPE_SUM, "locals");

    EMIT(m, 0x42, 0);
    for (unsigned i = 1; i <= LOCALS; i++) {
        emit_get(m, i);
        EMIT(m, 0x84);
    }
    for (unsigned i = 1; i <= LOCALS; i++) {
        emit_i64(m, CANARY);
        EMIT(m, 0x21, (uint8_t)i);
    }
    EMIT(m, 0x20, 0, 0x04, 0x40);
    for (unsigned twice = 0; twice < 2; twice++) {
        EMIT(m, 0x20, 0, 0x41, 10, 0x6b, 0x10, (uint8_t)self, 0x21, 1);
        EMIT(m, 0x20, 1, 0x50, 0x45, 0x04, 0x40, 0x00, 0x0b);
    }
    EMIT(m, 0x0b);
    must_end_locals(m, LOCALS, 'I');
}

/* heap: fills objects with the canary; objects: () -> the bits of fresh objects. */
static void put_objects(struct must *m)
{
    must_func(m, TYPE_VOID, "heap");
    EMIT(m, 0x41, 0xe4, 0, 0x21, 0, 0x03, 0x40);
    EMIT(m, 0x41, 0xa5, 0x01, 0x41, 0xe4, 0, 0xfb, 6, TYPE_BYTES, 0x1a);
    emit_i64(m, CANARY);
    emit_v128(m, 0xa5);
    EMIT(m, 0xfb, 0, TYPE_STRUCT, 0x1a);
    EMIT(m, 0x20, 0, 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, 0x0b);
    must_end_locals(m, 1, 'i');
    must_func(m, TYPE_SUM, "objects"); /* (how many) */
    EMIT(m, 0x03, 0x40);
    EMIT(m, 0xfb, 1, TYPE_STRUCT, 0xfb, 2, TYPE_STRUCT, 0, 0x20, 1, 0x84, 0x21, 1);
    EMIT(m, 0xfb, 1, TYPE_STRUCT, 0xfb, 2, TYPE_STRUCT, 1, 0xfd, 0x53, 0xad, 0x20, 1, 0x84, 0x21,
         1);
    EMIT(m, 0x41, 0xe4, 0, 0xfb, 7, TYPE_BYTES, 0x20, 0, 0x41, 0xe4, 0, 0x70, 0xfb, 13, TYPE_BYTES,
         0xad, 0x20, 1, 0x84, 0x21, 1);
    EMIT(m, 0x20, 0, 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, 0x0b, 0x20, 1);
    must_end_locals(m, 1, 'I');
}

/* dirty: memory (grown), table and global; table: () -> how many elements are not null. */
static void make_tenant(struct sv_buf *ret)
{
    struct sv_buf *b;
    struct must m;
    uint32_t dirty;

    must_init(&m);
    must_type(&m, ":");
    must_type(&m, "i:");
    must_type(&m, "i:I");
    put(must_entry(&m, MUST_TYPE), BYTES(0x5e, 0x78, 1));
    put(must_entry(&m, MUST_TYPE), BYTES(0x5f, 2, 0x7e, 1, 0x7b, 1));
    must_limits(must_entry(&m, MUST_MEMORY), 1, 1, PAGES);
    must_export(&m, "memory", 2, 0);
    b = must_entry(&m, MUST_TABLE);
    put_byte(b, 0x70);
    must_limits(b, 0, ELEMS, 0);
    put(must_entry(&m, MUST_GLOBAL), BYTES(0x7e, 1, 0x42, 0, 0x0b));
    must_export(&m, "global", 3, 0);
    dirty = must_func(&m, TYPE_VOID, "dirty");
    EMIT(&m, 0x41, PAGES - 1, 0x40, 0, 0x1a, 0x41, 0, 0x41, 0xa5, 0x01);
    emit_i32(&m, PAGES * PAGE);
    EMIT(&m, 0xfc, 11, 0);
    EMIT(&m, 0xd2, (uint8_t)dirty, 0x41, ELEMS / 2, 0xfc, 15, 0, 0x1a);
    EMIT(&m, 0x41, 0, 0xd2, (uint8_t)dirty, 0xfc, 16, 0, 0xfc, 17, 0);
    emit_i64(&m, CANARY);
    EMIT(&m, 0x24, 0);
    must_end(&m);
    must_export(&m, "f", 0, dirty); /* so that it may be referred to */
    must_func(&m, TYPE_SUM, "table");
    EMIT(&m, 0xd0, 0x70, 0x41, ELEMS / 2, 0xfc, 15, 0, 0x1a, 0x03, 0x40);
    EMIT(&m, 0x20, 0, 0x25, 0, 0xd1, 0x45, 0xad, 0x20, 1, 0x7c, 0x21, 1);
    EMIT(&m, 0x20, 0, 0x41, 1, 0x6a, 0x22, 0, 0xfc, 16, 0, 0x49, 0x0d, 0, 0x0b, 0x20, 1);
    must_end_locals(&m, 1, 'I');
    put_stack(&m);
    put_locals(&m);
    put_objects(&m);
    must_bytes(&m, ret);
}

static void find_nothing(struct guest *g)
{
    static const struct {
        const char *name;
        int32_t arg;
    } looks[] = {{"table", 0}, {"locals", 30}, {"objects", 100}};
    ssvm_memory *memory = ssvm_instance_memory(g->instance, "memory");
    const uint8_t *p = ssvm_memory_data(memory);
    ssvm_val out;

    assert_int_equal(ssvm_memory_size(memory), PAGE);
    assert_int_equal(ssvm_memory_grow(memory, PAGES - 1), 1);
    for (uint64_t i = 0; i < PAGES * PAGE; i += 8)
        assert_true(memcmp(p + i, "\0\0\0\0\0\0\0\0", 8) == 0);
    ssvm_global_get(g->store, ssvm_instance_global(g->instance, "global"), &out);
    assert_int_equal(out.of.i64, 0);
    for (unsigned i = 0; i < SV_COUNT(looks); i++) {
        ok(guest_call(g, looks[i].name, &looks[i].arg, 1, &out));
        if (out.of.i64 != 0)
            fail_msg("%s: %llx", looks[i].name, (unsigned long long)out.of.i64);
    }
}

static void leave_canaries(struct guest *g)
{
    static const int32_t depth = DEPTH;

    ok(guest_call(g, "heap", NULL, 0, NULL));
    ok(guest_call(g, "stack", &depth, 1, NULL));
}

static void next_tenant_finds_zeros(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        ssvm_config config = SSVM_CONFIG_INIT;
        struct sv_buf bytes;
        struct guest g;

        config.no_guard = i % 2;
        config.no_optimise = i / 2;
        make_tenant(&bytes);
        guest_open(&g, &bytes, &config, NULL);
        for (unsigned t = 0; t < TENANTS; t++) {
            guest_start(&g);
            find_nothing(&g);
            /* The table grew in find_nothing, the memory too: dirty fills all there is. */
            ok(guest_call(&g, "dirty", NULL, 0, NULL));
            leave_canaries(&g);
            ssvm_linker_delete(g.linker);
            ssvm_store_delete(g.store);
            ok(ssvm_store_new(g.engine, NULL, &g.store));
            ok(ssvm_linker_new(g.store, &g.linker));
        }
        guest_close(&g);
    }
}

/* ---- References that only a table, a global, or an exception holds ---- */

enum { GC_NODE, GC_ADD, GC_THROW, GC_TAKE, GC_RUN };
#define NODES 60
#define NODE_REF 0x63, GC_NODE /* (ref null node) */

/* node = struct (mut next) (mut i32). Table of nodes, global head, tag that carries a node.
 * run: () -> i32: makes NODES nodes: each goes to the table, and onto the list whose head passes
 * through an exception; then sums the list and the table. */
static void make_lists(struct sv_buf *ret)
{
    struct sv_buf *b;
    struct must m;
    uint32_t thrower;

    must_init(&m);
    put(must_entry(&m, MUST_TYPE), BYTES(0x5f, 2, NODE_REF, 1, 0x7f, 1));
    put(must_entry(&m, MUST_TYPE), BYTES(0x60, 1, NODE_REF, 0));       /* GC_ADD: takes a node */
    put(must_entry(&m, MUST_TYPE), BYTES(0x60, 0, 1, NODE_REF));       /* GC_THROW: gives one */
    put(must_entry(&m, MUST_TYPE), BYTES(0x60, 1, NODE_REF, 1, 0x7f)); /* GC_TAKE: sums */
    put(must_entry(&m, MUST_TYPE), BYTES(0x60, 0, 1, 0x7f));           /* GC_RUN */
    b = must_entry(&m, MUST_TABLE);
    put(b, BYTES(NODE_REF));
    must_limits(b, 0, NODES, 0);
    put(must_entry(&m, MUST_TAG), BYTES(0, GC_ADD));
    put(must_entry(&m, MUST_GLOBAL), BYTES(NODE_REF, 1, 0xd0, GC_NODE, 0x0b));
    thrower = must_func(&m, GC_ADD, NULL); /* allocates garbage, then throws */
    EMIT(&m, 0xfb, 1, GC_NODE, 0x1a, 0x20, 0, 0x08, 0);
    must_end(&m);
    must_func(&m, GC_TAKE, NULL); /* the sum of a list */
    EMIT(&m, 0x02, 0x40, 0x03, 0x40, 0x20, 0, 0xd1, 0x0d, 1);
    EMIT(&m, 0x20, 1, 0x20, 0, 0xfb, 2, GC_NODE, 1, 0x6a, 0x21, 1);
    EMIT(&m, 0x20, 0, 0xfb, 2, GC_NODE, 0, 0x21, 0, 0xfb, 1, GC_NODE, 0x1a, 0x0c, 0, 0x0b, 0x0b);
    EMIT(&m, 0x20, 1);
    must_end_locals(&m, 1, 'i');
    must_func(&m, GC_RUN, "run");
    EMIT(&m, 0x03, 0x40);
    /* head = catch(throw(node(head, i))) */
    EMIT(&m, 0x02, GC_THROW, 0x1f, GC_THROW, 1, 0, 0, 0);
    EMIT(&m, 0x23, 0, 0x20, 0, 0xfb, 0, GC_NODE, 0x10, (uint8_t)thrower, 0x00, 0x0b, 0x0b, 0x24, 0);
    /* table[i] = node(null, i) */
    EMIT(&m, 0x20, 0, 0xd0, GC_NODE, 0x20, 0, 0xfb, 0, GC_NODE, 0x26, 0);
    EMIT(&m, 0x20, 0, 0x41, 1, 0x6a, 0x22, 0, 0x41, NODES, 0x49, 0x0d, 0, 0x0b);
    EMIT(&m, 0x23, 0, 0x10, (uint8_t)thrower + 1, 0x21, 1);
    EMIT(&m, 0x03, 0x40, 0x20, 0, 0x41, 1, 0x6b, 0x22, 0, 0x25, 0, 0x10, (uint8_t)thrower + 1);
    EMIT(&m, 0x20, 1, 0x6a, 0x21, 1, 0x20, 0, 0x0d, 0, 0x0b, 0x20, 1);
    must_end_locals(&m, 2, 'i');
    must_bytes(&m, ret);
}

static void collector_at_every_allocation(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        ssvm_config config = SSVM_CONFIG_INIT;
        struct sv_buf bytes;
        struct guest g;
        ssvm_val out;

        config.gc_stress = i % 2;
        config.no_optimise = i / 2;
        make_lists(&bytes);
        guest_open(&g, &bytes, &config, NULL);
        guest_start(&g);
        for (unsigned again = 1; again <= 3; again++) { /* the list grows, the table is replaced */
            ok(guest_call(&g, "run", NULL, 0, &out));
            assert_int_equal(out.of.i32, (again + 1) * (NODES * (NODES - 1) / 2));
        }
        guest_close(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(next_tenant_finds_zeros),
        cmocka_unit_test(collector_at_every_allocation),
    };

    return cmocka_run_group_tests_name("must/tenant", tests, NULL, NULL);
}
