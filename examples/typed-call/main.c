/* Calling exports by name with typed arguments. Modules made by wasm-bindgen take strings and bytes
 * in the same way. */
#include <ssvm.h>
#include <stdio.h>
#include <stdlib.h>

static void check(ssvm_error *error)
{
    if (!error)
        return;
    fprintf(stderr, "typed-call: %s\n", ssvm_error_message(error));
    exit(1);
}

int main(int argc, char **argv)
{
    /* An integer; and text as it comes from a command line, which becomes what the parameter asks
     * for. */
    ssvm_arg sum[] = {{.kind = SSVM_ARG_INT, .i = 40},
                      {.kind = SSVM_ARG_TEXT, .bytes = "2", .len = 1}};
    ssvm_arg five[] = {{.kind = SSVM_ARG_FLOAT, .f = 5}};
    ssvm_result result = SSVM_RESULT_INIT;
    ssvm_engine *engine;
    ssvm_module *module;
    ssvm_store *store;
    ssvm_linker *linker;
    ssvm_instance *instance;

    if (argc < 2)
        return 2;
    check(ssvm_engine_new(NULL, &engine));
    check(ssvm_module_open(engine, argv[1], &module));
    check(ssvm_store_new(engine, NULL, &store));
    check(ssvm_linker_new(store, &linker));
    check(ssvm_linker_define_bindgen(linker)); /* harmless for modules that do not need it */
    check(ssvm_linker_instantiate(linker, module, &instance));

    check(ssvm_instance_call(instance, "add", sum, 2, SSVM_RESULT_AUTO, &result));
    printf("add(40, 2) = %s\n", result.bytes);
    ssvm_string_delete(result.bytes);
    check(ssvm_instance_call(instance, "half", five, 1, SSVM_RESULT_AUTO, &result));
    printf("half(5) = %s\n", result.bytes);
    ssvm_string_delete(result.bytes);

    ssvm_linker_delete(linker);
    ssvm_store_delete(store);
    ssvm_module_delete(module);
    ssvm_engine_delete(engine);
    return 0;
}
