/* The machine that a client makes, asks what it can do, and configures. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "evmc/eth.h"

#define MEMORY_BYTES_MAX (UINT64_C(4) << 30)
#define CACHE_BYTES_MAX (UINT64_C(64) << 30)
#define TIME_MS_MAX (UINT64_C(24) * 3600 * 1000)

/* What the loader calls: by the file's name, and the name for all. */
#define ETH_EXPORT __attribute__((visibility("default")))
ETH_EXPORT struct evmc_vm *evmc_create(void);
ETH_EXPORT struct evmc_vm *evmc_create_ssvm_evmc(void);

static struct eth_vm *vm_of(struct evmc_vm *vm)
{
    return (struct eth_vm *)vm;
}

static void destroy(struct evmc_vm *vm)
{
    struct eth_vm *v = vm_of(vm);

    eth_contract_forget(v);
    ssvm_engine_delete(v->engine);
    pthread_mutex_destroy(&v->mutex);
    sv_free(v);
}

static evmc_capabilities_flagset capabilities(struct evmc_vm *vm)
{
    (void)vm;
    return EVMC_CAPABILITY_EWASM;
}

/* Whole numbers in decimal. */
static bool read_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
    unsigned long long n;
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    n = strtoull(text, &end, 10);
    if (errno || *end || n < min || n > max)
        return false;
    *ret = n;
    return true;
}

/* One of two words. */
static bool read_choice(const char *text, const char *yes, const char *no, bool *ret)
{
    bool is_yes = strcmp(text, yes) == 0;

    if (!is_yes && strcmp(text, no) != 0)
        return false;
    *ret = is_yes;
    return true;
}

static bool read_tier(const char *text, char ret[8])
{
    static const char *const tiers[] = {"interp", "auto", "aot"};

    for (size_t i = 0; i < SV_COUNT(tiers); i++) {
        if (strcmp(text, tiers[i]) == 0) {
            memcpy(ret, tiers[i], strlen(tiers[i]) + 1);
            return true;
        }
    }
    return false;
}

static enum evmc_set_option_result change(struct eth_options *o, const char *name,
                                          const char *value)
{
    bool ok;

    if (strcmp(name, "tier") == 0)
        ok = read_tier(value, o->tier);
    else if (strcmp(name, "guard") == 0)
        ok = read_choice(value, "on", "off", &o->guard);
    else if (strcmp(name, "instruction-gas") == 0)
        ok = read_choice(value, "on", "off", &o->count);
    else if (strcmp(name, "memory-bytes") == 0)
        ok = read_number(value, 65536, MEMORY_BYTES_MAX, &o->memory_bytes);
    else if (strcmp(name, "cache-bytes") == 0)
        ok = read_number(value, 0, CACHE_BYTES_MAX, &o->cache_bytes);
    else if (strcmp(name, "time-ms") == 0)
        ok = read_number(value, 0, TIME_MS_MAX, &o->time_ms);
    else
        return EVMC_SET_OPTION_INVALID_NAME;
    return ok ? EVMC_SET_OPTION_SUCCESS : EVMC_SET_OPTION_INVALID_VALUE;
}

static enum evmc_set_option_result set_option(struct evmc_vm *vm, const char *name,
                                              const char *value)
{
    struct eth_vm *v = vm_of(vm);
    enum evmc_set_option_result r = EVMC_SET_OPTION_INVALID_VALUE;

    pthread_mutex_lock(&v->mutex);
    if (!v->frames) { /* what runs, runs by the options that it began with */
        r = change(&v->options, name, value);
        if (r == EVMC_SET_OPTION_SUCCESS) {
            eth_contract_forget(v);
            ssvm_engine_delete(v->engine);
            v->engine = NULL;
        }
    }
    pthread_mutex_unlock(&v->mutex);
    return r;
}

ssvm_engine *eth_vm_engine(struct eth_vm *vm)
{
    ssvm_config config = SSVM_CONFIG_INIT;

    if (vm->engine)
        return vm->engine;
    config.tier = vm->options.tier;
    config.no_guard = !vm->options.guard;
    config.deterministic = true;
    /* What no contract needs, and what is not the same on every machine. */
    config.disable = "threads,relaxed-simd,gc,exceptions,legacy-exceptions,memory64,multi-memory";
    ssvm_error_delete(ssvm_engine_new(&config, &vm->engine));
    return vm->engine;
}

struct evmc_vm *evmc_create(void)
{
    struct eth_vm *v = sv_alloc_zero(sizeof *v);
    struct evmc_vm vm = {.abi_version = EVMC_ABI_VERSION,
                         .name = "ssvm",
                         .version = SSVM_VERSION,
                         .destroy = destroy,
                         .execute = eth_execute,
                         .get_capabilities = capabilities,
                         .set_option = set_option};

    if (!v)
        return NULL;
    memcpy(&v->vm, &vm, sizeof vm); /* it has a constant member */
    v->options = (struct eth_options){.tier = "interp",
                                      .guard = true,
                                      .memory_bytes = UINT64_C(256) << 20,
                                      .cache_bytes = UINT64_C(64) << 20};
    if (pthread_mutex_init(&v->mutex, NULL) != 0) {
        sv_free(v);
        return NULL;
    }
    return &v->vm;
}

struct evmc_vm *evmc_create_ssvm_evmc(void)
{
    return evmc_create();
}
