/* A fresh sandbox for every request: imports are resolved once, instances come in microseconds. */
#include <ssvm.h>
#include <stdio.h>
#include <stdlib.h>

static void check(ssvm_error *error)
{
    if (!error)
        return;
    fprintf(stderr, "template: %s\n", ssvm_error_message(error));
    exit(1);
}

int main(int argc, char **argv)
{
    ssvm_limits limits = SSVM_LIMITS_INIT;
    ssvm_wasi nothing = SSVM_WASI_INIT;
    ssvm_engine *engine;
    ssvm_module *module;
    ssvm_store *store;
    ssvm_linker *linker;
    ssvm_template *template;
    int fresh = 0;

    if (argc < 2)
        return 2;
    limits.wall_ms = 1000;
    check(ssvm_engine_new(NULL, &engine));
    check(ssvm_module_open(engine, argv[1], &module));

    /* Once: a linker in a store that is thrown away tells the template what the imports are. */
    check(ssvm_store_new(engine, NULL, &store));
    check(ssvm_linker_new(store, &linker));
    check(ssvm_linker_define_wasi(linker, &nothing));
    check(ssvm_template_new(linker, module, &template));
    ssvm_linker_delete(linker);
    ssvm_store_delete(store);

    /* Then, in any thread, for every request: store, instance, call, delete. */
    for (int i = 0; i < 1000; i++) {
        ssvm_instance *instance;
        ssvm_val calls;

        check(ssvm_store_new(engine, &limits, &store));
        check(ssvm_template_instantiate(template, store, &nothing, &instance));
        check(ssvm_func_call(store, ssvm_instance_func(instance, "call"), NULL, 0, &calls, 1));
        fresh += calls.of.i32 == 1;
        ssvm_store_delete(store);
    }
    printf("1000 requests, %d fresh instances\n", fresh);

    ssvm_template_delete(template);
    ssvm_module_delete(module);
    ssvm_engine_delete(engine);
    return 0;
}
