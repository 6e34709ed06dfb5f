/* Limits on what a guest may use, and stopping it from outside. */
#include <pthread.h>
#include <ssvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static ssvm_engine *engine;
static ssvm_module *module;

static void check(ssvm_error *error)
{
    if (!error)
        return;
    fprintf(stderr, "limits: %s\n", ssvm_error_message(error));
    exit(1);
}

static ssvm_store *new_store(const ssvm_limits *limits, ssvm_instance **ret)
{
    ssvm_store *store;
    ssvm_linker *linker;

    check(ssvm_store_new(engine, limits, &store));
    check(ssvm_linker_new(store, &linker));
    check(ssvm_linker_instantiate(linker, module, ret));
    ssvm_linker_delete(linker);
    return store;
}

static void spin(const char *what, ssvm_store *store, ssvm_instance *instance)
{
    ssvm_error *error =
        ssvm_func_call(store, ssvm_instance_func(instance, "spin"), NULL, 0, NULL, 0);

    printf("%s: %s\n", what, error ? ssvm_error_message(error) : "came back");
    ssvm_error_delete(error);
}

/* Allowed from any thread as long as the store lives. */
static void *cancel_soon(void *store)
{
    struct timespec pause = {.tv_nsec = 20000000};

    nanosleep(&pause, NULL);
    ssvm_store_cancel(store);
    return NULL;
}

int main(int argc, char **argv)
{
    ssvm_limits wall = SSVM_LIMITS_INIT, gas = SSVM_LIMITS_INIT, memory = SSVM_LIMITS_INIT;
    ssvm_instance *instance;
    ssvm_store *store;
    ssvm_val old;
    pthread_t other;

    if (argc < 2)
        return 2;
    check(ssvm_engine_new(NULL, &engine));
    check(ssvm_module_open(engine, argv[1], &module));

    wall.wall_ms = 20;
    store = new_store(&wall, &instance);
    spin("deadline", store, instance);
    ssvm_store_delete(store);

    store = new_store(NULL, &instance);
    pthread_create(&other, NULL, cancel_soon, store);
    spin("cancel", store, instance);
    pthread_join(other, NULL);
    spin("again", store, instance); /* until ssvm_store_resume */
    ssvm_store_delete(store);

    gas.gas = 1000000;
    store = new_store(&gas, &instance);
    spin("gas", store, instance);
    ssvm_store_delete(store);

    memory.memory_bytes = 1 << 20;
    store = new_store(&memory, &instance);
    check(ssvm_func_call(store, ssvm_instance_func(instance, "grow"), NULL, 0, &old, 1));
    printf("memory: grow gives %d\n", old.of.i32);
    ssvm_store_delete(store);

    ssvm_module_delete(module);
    ssvm_engine_delete(engine);
    return 0;
}
