/* A function of the host that the guest calls, with access to the guest's memory. */
#include <ssvm.h>
#include <stdio.h>
#include <stdlib.h>

struct app {
    int calls;
};

/* host.say(ptr, len) -> how often it was called + 1 */
static ssvm_error *say(void *data, ssvm_caller *caller, const ssvm_val *args, ssvm_val *ret)
{
    struct app *app = data;
    uint32_t ptr = (uint32_t)args[0].of.i32, len = (uint32_t)args[1].of.i32;
    const char *text = ssvm_caller_slice(caller, ptr, len);

    if (!text) /* becomes a trap of the guest */
        return ssvm_error_new("say: the text is outside of memory");
    while (len > 0 && text[len - 1] == ' ')
        len--;
    printf("the guest says: %.*s\n", (int)len, text);
    app->calls++;
    ret[0].of.i32 = app->calls + 1; /* its kind is filled in already */
    return NULL;
}

static void check(ssvm_error *error)
{
    if (!error)
        return;
    fprintf(stderr, "host-function: %s\n", ssvm_error_message(error));
    exit(1);
}

int main(int argc, char **argv)
{
    const ssvm_kind params[] = {SSVM_I32, SSVM_I32}, results[] = {SSVM_I32};
    ssvm_val arg = {.kind = SSVM_I32, .of = {.i32 = 21}}, result;
    struct app app = {0};
    ssvm_engine *engine;
    ssvm_module *module;
    ssvm_store *store;
    ssvm_linker *linker;
    ssvm_instance *instance;
    ssvm_functype *type;
    ssvm_error *error;

    if (argc < 2)
        return 2;
    check(ssvm_engine_new(NULL, &engine));
    check(ssvm_module_open(engine, argv[1], &module));
    check(ssvm_store_new(engine, NULL, &store));
    check(ssvm_linker_new(store, &linker));
    type = ssvm_functype_new(params, 2, results, 1);
    check(ssvm_linker_define_func(linker, "host", "say", type, say, &app, NULL));
    ssvm_functype_delete(type);
    check(ssvm_linker_instantiate(linker, module, &instance));

    check(ssvm_func_call(store, ssvm_instance_func(instance, "run"), &arg, 1, &result, 1));
    printf("run(21) = %d\n", result.of.i32);
    error = ssvm_func_call(store, ssvm_instance_func(instance, "bad"), NULL, 0, &result, 1);
    if (error)
        printf("bad() failed: %s\n", ssvm_error_message(error));
    ssvm_error_delete(error);

    ssvm_linker_delete(linker);
    ssvm_store_delete(store);
    ssvm_module_delete(module);
    ssvm_engine_delete(engine);
    return 0;
}
