/* Standard input from memory, standard output into a buffer: a command as a function from bytes to
 * bytes. */
#include <ssvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct output {
    char bytes[256];
    size_t len;
};

static long take(void *data, const void *bytes, size_t len)
{
    struct output *out = data;

    if (len > sizeof out->bytes - out->len)
        return -1; /* the guest sees an I/O error */
    memcpy(out->bytes + out->len, bytes, len);
    out->len += len;
    return (long)len;
}

static void check(ssvm_error *error)
{
    if (!error)
        return;
    fprintf(stderr, "capture: %s\n", ssvm_error_message(error));
    exit(1);
}

int main(int argc, char **argv)
{
    static const char text[] = "text that was whispered";
    ssvm_wasi wasi = SSVM_WASI_INIT;
    struct output out = {.len = 0};
    ssvm_engine *engine;
    ssvm_module *module;
    ssvm_store *store;
    ssvm_linker *linker;
    ssvm_instance *instance;

    if (argc < 2)
        return 2;
    wasi.in = (ssvm_stream){.kind = SSVM_STREAM_BYTES, .bytes = text, .len = strlen(text)};
    wasi.out = (ssvm_stream){.kind = SSVM_STREAM_CALLBACK, .write = take, .data = &out};

    check(ssvm_engine_new(NULL, &engine));
    check(ssvm_module_open(engine, argv[1], &module));
    check(ssvm_store_new(engine, NULL, &store));
    check(ssvm_linker_new(store, &linker));
    check(ssvm_linker_define_wasi(linker, &wasi));
    check(ssvm_linker_instantiate(linker, module, &instance));
    check(ssvm_instance_start(instance));
    printf("captured %zu bytes: %.*s\n", out.len, (int)out.len, out.bytes);

    ssvm_linker_delete(linker);
    ssvm_store_delete(store);
    ssvm_module_delete(module);
    ssvm_engine_delete(engine);
    return 0;
}
