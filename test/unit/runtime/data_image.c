/* Images of initial memory, and what the next tenant of a slot finds: against a model that is built
 * by copying segments. */
#include "../must/must.h"
#include "fake.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../proc.h"
#include "runtime/data_image.h"
#include "runtime/signal.h"

enum { PAGES = 24, MAX_PAGES = 40, ROUNDS = 400, GLOBAL_AT = 7777 };
#define SIZE ((uint64_t)PAGES << 16)

static uint64_t seed = 88172645463325252u;
static uint64_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* What memory 0 must hold. */
static uint8_t model[SIZE];

enum place { PLACE_CONST, PLACE_GLOBAL, PLACE_PASSIVE };

/* A segment of `len` bytes, counted from `first`; into the model where it lies in bounds. */
static void add_data(struct must *m, enum place place, uint32_t memory, uint32_t at, uint32_t len,
                     uint8_t first)
{
    struct sv_buf *b = must_entry(m, MUST_DATA);

    if (place == PLACE_PASSIVE) {
        put_byte(b, 1);
    } else {
        put_byte(b, 2);
        put_u64(b, memory);
        put_byte(b, place == PLACE_GLOBAL ? 0x23 : 0x41);
        put_sleb(b, place == PLACE_GLOBAL ? 0 : (int32_t)at);
        put_byte(b, 0x0b);
    }
    put_u64(b, len);
    for (uint32_t i = 0; i < len; i++) {
        uint8_t byte = (uint8_t)(first + i * 13 + (i >> 8));

        put_byte(b, byte);
        if (place != PLACE_PASSIVE && memory == 0 && at + len <= SIZE)
            model[at + i] = byte;
    }
}

static void add_memory(struct must *m, uint64_t max)
{
    must_limits(must_entry(m, MUST_MEMORY), 1, PAGES, max);
}

static void release_copy(void *bytes, size_t len)
{
    (void)len;
    sv_free(bytes);
}

static struct sv_module *decode(struct sv_engine *e, struct must *m)
{
    struct sv_decode_options opts = {.features = e->features};
    struct sv_module *module;
    struct sv_err err = {0};
    struct sv_buf bytes;
    uint8_t *copy;

    must_bytes(m, &bytes);
    copy = sv_alloc(bytes.len);
    memcpy(copy, bytes.data, bytes.len);
    if (sv_module_new(&err, e->types, copy, bytes.len, release_copy, &opts, &module) < 0)
        fail_msg("%s", err.text);
    sv_buf_release(&bytes);
    return module;
}

/* Segments that overlap, one at the very end, a passive one between. */
static struct sv_module *plain_module(struct sv_engine *e)
{
    struct must m;

    memset(model, 0, sizeof model);
    must_init(&m);
    add_memory(&m, MAX_PAGES);
    add_data(&m, PLACE_CONST, 0, 70000, 300000, 1);
    add_data(&m, PLACE_CONST, 0, 80000, 5000, 77);
    add_data(&m, PLACE_PASSIVE, 0, 0, 100, 5);
    add_data(&m, PLACE_CONST, 0, 360000, 20000, 200);
    add_data(&m, PLACE_CONST, 0, SIZE - 9, 9, 3);
    add_data(&m, PLACE_CONST, 0, SIZE, 0, 3);
    return decode(e, &m);
}

static struct sv_instance *instance_in(struct sv_store *s, struct sv_module *m)
{
    struct sv_instance *inst;
    struct sv_err err = {0};

    if (sv_instance_new(&err, s, m, NULL, &inst) < 0)
        fail_msg("%s", err.text);
    return inst;
}

static void *fill_from_here(void *arg)
{
    memset(arg, 0xee, 100000);
    return NULL;
}

/* Writes as guests, their hosts, and other threads do them. */
static void dirty(struct sv_store *s, struct sv_memory *m, unsigned round)
{
    unsigned writes = round % 9 == 8 ? 300 : round % 5 == 4 ? 30 : 3;
    int zero = open("/dev/zero", O_RDONLY);

    for (unsigned i = 0; i < writes; i++) {
        uint64_t at = writes == 3 ? 65536 * (i + 1) + next_random() % 4096 : next_random() % SIZE;

        m->base[at] ^= 0xcc;
    }
    if (round % 10 > 6) /* more than a few pages, in one piece */
        memset(m->base + next_random() % 65536, 0x77, SIZE - 65536);
    if (round % 4 == 1)
        assert_int_equal(read(zero, m->base + next_random() % (SIZE - 10000), 10000), 10000);
    if (round % 6 == 1) {
        assert_int_equal(sv_memory_grow(m, round % 3 + 1), PAGES);
        assert_int_equal(m->base[SIZE + (round % 3 << 16) + 5], 0);
        memset(m->base + SIZE, 0xdd, (uint64_t)(round % 3 + 1) << 16);
    }
    if (round % 7 == 1) {
        int64_t pages = (int64_t)sv_memory_pages(m);

        assert_int_equal(sv_memory_grow(m, 1), pages);
        m->base[((uint64_t)pages << 16) + 4096] = 1;
    }
    if (round % 16 == 15) {
        pthread_t t;
        uint8_t *p = sv_memory_expose(m) + next_random() % (SIZE - 100000);

        assert_int_equal(pthread_create(&t, NULL, fill_from_here, p), 0);
        pthread_join(t, NULL);
    }
    memset(s->thread.stack, 0xcc, round % 11 ? 3000 : 100000);
    close(zero);
}

static void look(struct sv_store *s, struct sv_memory *m, unsigned round)
{
    /* Looking makes pages resident: not always everywhere. */
    if (round % 3 == 0)
        assert_memory_equal(m->base, model, SIZE);
    for (uint64_t at = 0; at < SIZE; at += 65536)
        assert_memory_equal(m->base + at, model + at, 4096);
    /* The first slots: of constant expressions of this tenant's instantiation. */
    for (unsigned i = 4; i < (round % 5 ? 4000u : 100000u) / 8; i++)
        assert_int_equal(s->thread.stack[i].i64, 0);
}

static void tenants(bool no_guard)
{
    struct sv_engine *e = fake_engine();
    struct sv_module *m;
    unsigned images = 0, reused = 0;
    uint8_t *last = NULL;

    e->no_guard = no_guard;
    m = plain_module(e);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct sv_store *s = fake_store(e, NULL);
        struct sv_memory *memory = instance_in(s, m)->memory0;

        images += memory->region->image != NULL;
        reused += memory->base == last;
        last = memory->base;
        assert_int_equal(sv_memory_size(memory), SIZE);
        look(s, memory, round);
        dirty(s, memory, round);
        sv_store_delete(s);
    }
    assert_int_equal(images, no_guard ? 0 : ROUNDS - 1); /* the first one copies */
    assert_true(reused >= ROUNDS - 3);
    sv_module_unref(m);
    sv_engine_unref(e);
}

static void test_tenants(void **state)
{
    (void)state;
    tenants(false);
    tenants(true);
}

/* Two owners in turn on one thread, then a small one: none sees anything of another. */
static void test_owners(void **state)
{
    struct sv_engine *e = fake_engine();
    struct sv_module *m = plain_module(e);

    (void)state;
    for (unsigned round = 0; round < 60; round++) {
        struct sv_store *s = fake_store(e, NULL), *t = fake_store(e, NULL);
        struct sv_memory *with = instance_in(s, m)->memory0;
        struct sv_memory *without = fake_memory(t, 3 + round % 3, 100, false, false);

        assert_memory_equal(with->base, model, SIZE);
        for (uint64_t i = 0; i < sv_memory_size(without); i++)
            assert_int_equal(without->base[i], 0);
        memset(with->base + 70000, 0xab, 50000);
        memset(without->base, 0xab, sv_memory_size(without));
        sv_store_delete(round % 2 ? s : t);
        sv_store_delete(round % 2 ? t : s);
    }
    sv_module_unref(m);
    sv_engine_unref(e);
}

struct crowd {
    struct sv_engine *e;
    struct sv_module *m;
};

static void *many_tenants(void *arg)
{
    const struct crowd *c = arg;

    for (unsigned round = 0; round < 100; round++) {
        struct sv_store *s = fake_store(c->e, NULL);
        struct sv_memory *m = instance_in(s, c->m)->memory0;

        if (memcmp(m->base, model, SIZE) != 0)
            abort();
        memset(m->base + (round * 8192) % SIZE, 0xaa, 8192);
        sv_store_delete(s);
    }
    return NULL;
}

/* The image is made while others make instances; slots go from thread to thread. */
static void test_threads(void **state)
{
    struct crowd c = {.e = fake_engine()};
    pthread_t t[4];

    (void)state;
    c.m = plain_module(c.e);
    for (unsigned i = 0; i < SV_COUNT(t); i++)
        assert_int_equal(pthread_create(&t[i], NULL, many_tenants, &c), 0);
    for (unsigned i = 0; i < SV_COUNT(t); i++)
        pthread_join(t[i], NULL);
    many_tenants(&c);
    sv_module_unref(c.m);
    sv_engine_unref(c.e);
}

/* A child's faults are counted from 0, its thread has another number: nothing that was noted before
 * holds. */
static void test_fork(void **state)
{
    struct crowd c = {.e = fake_engine()};
    int status;
    pid_t pid;

    (void)state;
    c.m = plain_module(c.e);
    many_tenants(&c);
    pid = fork();
    if (pid == 0) {
        if (sv_os_self.faults != 0 || sv_os_tid() != getpid())
            _exit(1);
        many_tenants(&c);
        _exit(0);
    }
    many_tenants(&c);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    sv_module_unref(c.m);
    sv_engine_unref(c.e);
}

/* A thread that fills `at` when asked to: its own faults, and none of the asking thread's. */
struct helper {
    _Atomic(uint8_t *) at; /* NULL: nothing to do */
    atomic_bool stop;
};

static void *help(void *arg)
{
    struct helper *h = arg;

    while (!atomic_load(&h->stop)) {
        uint8_t *at = atomic_load(&h->at);

        if (at) {
            memset(at, 0xee, 10000);
            atomic_store(&h->at, NULL);
        }
        sched_yield();
    }
    return NULL;
}

/* Memory that is shared, or whose pointer the embedder has, is written by another thread while this
 * one makes no fault: nothing of it stays. */
static void test_other_thread(void **state)
{
    struct sv_engine *e = fake_engine();
    struct helper h = {.at = NULL};
    unsigned still = 0;
    pthread_t t;

    (void)state;
    assert_int_equal(pthread_create(&t, NULL, help, &h), 0);
    for (unsigned round = 0; round < 60; round++) {
        struct sv_store *s = fake_store(e, NULL);
        struct sv_memory *m = fake_memory(s, 4, 4, false, round % 8 == 7);

        still += !m->region->moved;
        m->base[0] = 1;
        if (round % 4 == 3) {
            for (unsigned i = 4096; i < 4 << 16; i += 512)
                assert_int_equal(m->base[i], 0);
            m->exposed = true;
        }
        /* Not while it is learned which pages are written. */
        if (round > 20 && (round % 8 == 7 || round % 8 == 1)) {
            m->exposed = true;
            atomic_store(&h.at, m->base + 65536);
            while (atomic_load(&h.at))
                sched_yield();
        }
        sv_store_delete(s);
    }
    assert_true(still > 10);
    atomic_store(&h.stop, true);
    pthread_join(t, NULL);
    sv_engine_unref(e);
}

/* Pages of a tenant that had grown stay resident out of the reach of the next ones, who may be
 * looked at meanwhile; when somebody grows again without a fault they must still be wiped. */
static void test_grown(void **state)
{
    struct sv_engine *e = fake_engine();

    (void)state;
    for (unsigned round = 0; round < 400; round++) {
        struct sv_store *s = fake_store(e, NULL);
        struct sv_memory *m = fake_memory(s, 4, 8, false, false);

        m->base[0] = 1;
        if (round % 8 == 6) {
            m->base[8192 + round % 11 * 4096] = 1;
        } else {
            assert_int_equal(sv_memory_grow(m, 2), 4);
            assert_int_equal(m->base[5 << 16], 0);
            m->base[5 << 16] = 1;
        }
        sv_store_delete(s);
    }
    sv_engine_unref(e);
}

/* A segment out of bounds traps after those before it, before those behind it. */
static void test_trap_between(void **state)
{
    struct sv_engine *e = fake_engine();
    struct sv_module *module;
    struct must m;

    (void)state;
    memset(model, 0, sizeof model);
    must_init(&m);
    add_memory(&m, MAX_PAGES);
    add_data(&m, PLACE_CONST, 0, 1000, 100000, 1);
    add_data(&m, PLACE_CONST, 0, SIZE - 4, 5, 1);
    module = decode(e, &m);
    must_init(&m);
    add_memory(&m, MAX_PAGES);
    add_data(&m, PLACE_CONST, 0, 1000, 100000, 1);
    add_data(&m, PLACE_CONST, 0, SIZE - 4, 5, 1);
    put(&m.section[MUST_DATA], BYTES(0, 0x41, 1, 0x0b, 2, 9, 9));
    m.count[MUST_DATA]++;
    sv_module_unref(module);
    module = decode(e, &m);
    for (unsigned round = 0; round < 4; round++) {
        struct sv_store *s = fake_store(e, NULL);
        struct sv_instance *inst;
        struct sv_err err = {0};

        assert_int_equal(sv_instance_new(&err, s, module, NULL, &inst), SV_ETRAP);
        assert_string_equal(err.text, "out of bounds memory access");
        assert_int_equal(s->instances->memory0->region->image != NULL, round > 0);
        assert_memory_equal(s->instances->memory0->base, model, SIZE);
        sv_store_delete(s);
    }
    sv_module_unref(module);
    sv_engine_unref(e);
}

/* Places that depend on the instance: copied, in order, over the image. */
static void test_global_place(void **state)
{
    struct sv_engine *e = fake_engine();
    struct sv_module *module;
    struct must m;

    (void)state;
    memset(model, 0, sizeof model);
    must_init(&m);
    put(must_entry(&m, MUST_IMPORT), BYTES(1, 'h', 1, 'g', 3, 0x7f, 0));
    put(must_entry(&m, MUST_IMPORT), BYTES(1, 'h', 1, 'm', 2, 0, 1));
    add_memory(&m, MAX_PAGES); /* memory 1; the segments of the model go to it */
    add_data(&m, PLACE_CONST, 0, 0, 50000, 1);
    memset(model, 0, sizeof model);
    add_data(&m, PLACE_CONST, 0, 0, 50000, 1);
    module = decode(e, &m);
    for (uint32_t round = 0; round < 4; round++) {
        struct sv_store *s = fake_store(e, NULL);
        union sv_val at = {.slot = {{.i64 = round}}};
        struct sv_extern imports[2] = {
            {.kind = SV_EXTERN_GLOBAL,
             .global =
                 sv_global_new(s, (struct sv_global_type){.type = SV_VALTYPE(SV_VAL_I32)}, &at)},
            {.kind = SV_EXTERN_MEMORY, .memory = fake_memory(s, PAGES, PAGES, false, false)}};
        struct sv_instance *inst;
        struct sv_err err = {0};

        assert_int_equal(sv_instance_new(&err, s, module, imports, &inst), 0);
        /* An imported memory is written each time. */
        assert_memory_equal(inst->memories[0]->base, model, SIZE);
        assert_int_equal(inst->memories[1]->base[0], 0);
        assert_null(inst->memories[1]->region->image);
        sv_store_delete(s);
    }
    sv_module_unref(module);

    memset(model, 0, sizeof model);
    must_init(&m);
    put(must_entry(&m, MUST_IMPORT), BYTES(1, 'h', 1, 'g', 3, 0x7f, 0));
    add_memory(&m, MAX_PAGES);
    add_data(&m, PLACE_CONST, 0, 500, 40000, 1);
    add_data(&m, PLACE_GLOBAL, 0, GLOBAL_AT, 3000, 100);
    add_data(&m, PLACE_CONST, 0, GLOBAL_AT + 100, 50, 9);
    module = decode(e, &m);
    for (uint32_t round = 0; round < 6; round++) {
        struct sv_store *s = fake_store(e, NULL);
        union sv_val at = {.slot = {{.i64 = GLOBAL_AT}}};
        struct sv_extern import = {
            .kind = SV_EXTERN_GLOBAL,
            .global =
                sv_global_new(s, (struct sv_global_type){.type = SV_VALTYPE(SV_VAL_I32)}, &at)};
        struct sv_instance *inst;
        struct sv_err err = {0};

        assert_int_equal(sv_instance_new(&err, s, module, &import, &inst), 0);
        assert_memory_equal(inst->memory0->base, model, SIZE);
        assert_int_equal(inst->memory0->region->image != NULL, round > 0);
        sv_store_delete(s);
    }
    sv_module_unref(module);
    sv_engine_unref(e);
}

/* Dropped and passive segments, and the gas, are the same with and without the image. */
static void test_same_but_for_speed(void **state)
{
    struct sv_engine *e = fake_engine();
    struct sv_module *m = plain_module(e);
    uint64_t gas = 0;

    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        struct sv_store *s = fake_store(e, NULL);
        struct sv_instance *inst;
        struct sv_err err = {0};

        sv_store_set_gas(s, 1000000);
        inst = instance_in(s, m);
        if (round == 0)
            gas = sv_store_gas_used(s);
        assert_int_equal(sv_store_gas_used(s), gas);
        assert_true(gas > 325000 / 64);
        for (uint32_t d = 0; d < 6; d++) {
            assert_int_equal(sv_memory_init(&s->thread, inst, 0, d, 0, 0, 1),
                             d == 2 ? 0 : SV_TRAP_MEMORY_BOUNDS);
            assert_int_equal(sv_memory_init(&s->thread, inst, 0, d, 0, 0, 0), 0);
        }
        sv_store_delete(s);
        /* Exhausted in the middle. */
        s = fake_store(e, NULL);
        sv_store_set_gas(s, gas - 1);
        assert_int_equal(sv_instance_new(&err, s, m, NULL, &inst), SV_ETRAP);
        assert_string_equal(err.text, "gas exhausted");
        sv_store_delete(s);
    }
    sv_module_unref(m);
    sv_engine_unref(e);
}

/* Images that were written into a file are used from the first instance on; what is held is given
 * back. */
static void test_file(void **state)
{
    char path[] = "/tmp/image-XXXXXX";
    unsigned files = open_descriptors();
    struct sv_engine *e = fake_engine();
    struct sv_module *m = plain_module(e);
    uint8_t *pages = calloc(1, SIZE);
    int fd = mkstemp(path);

    (void)state;
    unlink(path);
    assert_true(fd >= 0);
    assert_int_equal(sv_data_images_size(m), SIZE - 65536);
    assert_true(sv_data_images_write(m, pages));
    assert_int_equal(pwrite(fd, pages, SIZE - 65536, 4096), SIZE - 65536);
    free(pages);
    assert_true(sv_data_images_use_file(m, fd, 4096));
    close(fd);
    assert_true(open_descriptors() > files);
    for (unsigned round = 0; round < 20; round++) {
        struct sv_store *s = fake_store(e, NULL);
        struct sv_memory *memory = instance_in(s, m)->memory0;

        assert_non_null(memory->region->image);
        look(s, memory, round);
        dirty(s, memory, round);
        sv_store_delete(s);
    }
    sv_module_unref(m);
    /* The slot of a module that is gone is given up for the next one. */
    assert_true(open_descriptors() > files);
    m = plain_module(e);
    struct sv_store *s = fake_store(e, NULL);
    instance_in(s, m);
    assert_int_equal(open_descriptors(), files);
    sv_store_delete(s);
    sv_module_unref(m);
    sv_engine_unref(e);
    assert_int_equal(open_descriptors(), files);
}

/* No image where it would not pay: little data, or little in a large range; no image of shared
 * memories and of pages that are not 64 KiB. */
static void test_none(void **state)
{
    static const struct {
        uint32_t at, len;
        unsigned flags; /* of the memory */
        uint64_t pages;
        bool want;
    } cases[] = {
        {0, 16383, 1, PAGES, false},          {0, 16384, 1, PAGES, true},
        {0, 40000, 1, 16384, true},           {0, 40000, 3, PAGES, false},
        {1073741800u, 40000, 1, 32768, true}, {0, 0, 1, PAGES, false},
    };
    struct sv_engine *e = fake_engine();

    (void)state;
    for (unsigned i = 0; i < SV_COUNT(cases); i++) {
        struct sv_module *module;
        struct must m;

        must_init(&m);
        must_limits(must_entry(&m, MUST_MEMORY), cases[i].flags, cases[i].pages, 65536);
        add_data(&m, PLACE_CONST, 0, cases[i].at, cases[i].len, 1);
        module = decode(e, &m);
        assert_int_equal(sv_data_images_size(module) != 0, cases[i].want);
        sv_module_unref(module);
    }
    /* 40,000 bytes at either end of 1 GiB. */
    struct must m;
    must_init(&m);
    must_limits(must_entry(&m, MUST_MEMORY), 1, 16384, 65536);
    add_data(&m, PLACE_CONST, 0, 0, 40000, 1);
    add_data(&m, PLACE_CONST, 0, 1073700000u, 40000, 1);
    struct sv_module *module = decode(e, &m);
    assert_int_equal(sv_data_images_size(module), 0);
    sv_module_unref(module);
    sv_engine_unref(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tenants),
        cmocka_unit_test(test_owners),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_fork),
        cmocka_unit_test(test_other_thread),
        cmocka_unit_test(test_grown),
        cmocka_unit_test(test_trap_between),
        cmocka_unit_test(test_global_place),
        cmocka_unit_test(test_same_but_for_speed),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_none),
    };

    return cmocka_run_group_tests_name("runtime/data_image", tests, NULL, NULL);
}
