/* The smallest embedding: run a WASI command. */
#include <ssvm.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    ssvm_wasi wasi = SSVM_WASI_INIT;
    ssvm_engine *engine = NULL;
    ssvm_module *module = NULL;
    ssvm_store *store = NULL;
    ssvm_linker *linker = NULL;
    ssvm_instance *instance = NULL;
    ssvm_error *error;

    if (argc < 2) {
        fprintf(stderr, "usage: hello FILE.wasm\n");
        return 2;
    }
    /* Nothing is granted that is not said: here, our standard output and nothing else. */
    wasi.out.kind = SSVM_STREAM_INHERIT;

    error = ssvm_engine_new(NULL, &engine);
    if (!error)
        error = ssvm_module_open(engine, argv[1], &module);
    if (!error)
        error = ssvm_store_new(engine, NULL, &store);
    if (!error)
        error = ssvm_linker_new(store, &linker);
    if (!error)
        error = ssvm_linker_define_wasi(linker, &wasi);
    if (!error)
        error = ssvm_linker_instantiate(linker, module, &instance);
    if (!error)
        error = ssvm_instance_start(instance);
    if (error)
        fprintf(stderr, "hello: %s\n%s", ssvm_error_message(error), ssvm_error_backtrace(error));

    ssvm_linker_delete(linker);
    ssvm_store_delete(store);
    ssvm_module_delete(module);
    ssvm_engine_delete(engine);
    ssvm_error_delete(error); /* NULL is allowed in every delete */
    return error != NULL;
}
