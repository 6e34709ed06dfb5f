/* One execution: a store, an instance, a call of `main`, and a result. */
#include <string.h>

#include "evmc/eth.h"

#define STACK_BYTES (UINT64_C(256) << 10) /* of wasm; there may be 1024 of them */
#define TABLE_ELEMS 100000
/* An execution needs so much of the thread's stack, its host included; asked for from this level
 * on, because the answer may cost more than a short contract. */
#define STACK_ROOM (128u << 10)
#define STACK_LEVEL 8

int64_t eth_frame_gas(const struct eth_frame *f)
{
    ssvm_stats stats = SSVM_STATS_INIT;

    if (!f->count)
        return f->gas;
    ssvm_store_stats(f->store, &stats);
    return f->msg->gas - (int64_t)stats.gas_used;
}

int eth_frame_charge(struct eth_frame *f, uint64_t gas)
{
    if (f->count)
        return ssvm_caller_use_gas(f->caller, gas) ? 0 : EVMC_OUT_OF_GAS;
    if (gas > (uint64_t)f->gas)
        return EVMC_OUT_OF_GAS;
    f->gas -= (int64_t)gas;
    return 0;
}

void eth_frame_drop_returned(struct eth_frame *f)
{
    if (f->returned.release)
        f->returned.release(&f->returned);
    f->returned = (struct evmc_result){0};
}

static uint64_t memory_of(const struct eth_frame *f)
{
    ssvm_stats stats = SSVM_STATS_INIT;

    if (f->store)
        ssvm_store_stats(f->store, &stats);
    return stats.memory_peak_bytes;
}

/* The innermost execution on this thread waits for the new one. */
static void push(struct eth_frame *f)
{
    struct eth_vm *vm = f->vm;

    f->thread = pthread_self();
    pthread_mutex_lock(&vm->mutex);
    for (const struct eth_frame *below = vm->frames; below; below = below->next) {
        if (pthread_equal(below->thread, f->thread)) {
            f->memory_below = below->memory_below + memory_of(below);
            f->level = below->level + 1;
            f->stack_low = below->stack_low;
            break;
        }
    }
    f->next = vm->frames;
    vm->frames = f;
    pthread_mutex_unlock(&vm->mutex);
}

static void pop(struct eth_frame *f)
{
    struct eth_frame **p = &f->vm->frames;

    pthread_mutex_lock(&f->vm->mutex);
    while (*p != f)
        p = &(*p)->next;
    *p = f->next;
    pthread_mutex_unlock(&f->vm->mutex);
}

static uintptr_t find_stack(void)
{
    pthread_attr_t attr;
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    size_t size = 0;
    void *low = NULL;

    if (pthread_getattr_np(pthread_self(), &attr) != 0)
        return 1;
    if (pthread_attr_getstack(&attr, &low, &size) != 0)
        size = 0;
    pthread_attr_destroy(&attr);
    /* Elsewhere: a host that runs on stacks of its own making. */
    return here - (uintptr_t)low < size ? (uintptr_t)low : 1;
}

/* Calls inside of calls use the thread's stack, which a contract must not bring to its end. */
static bool is_stack_low(struct eth_frame *f)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);

    if (f->level < STACK_LEVEL)
        return false;
    if (!f->stack_low)
        f->stack_low = find_stack();
    return here > f->stack_low && here - f->stack_low < STACK_ROOM;
}

/* What a host may not ask for; 0: nothing is wrong. */
static int check(const struct evmc_host_interface *host, const struct evmc_message *msg,
                 const uint8_t *code, size_t code_size)
{
    if (!host || !msg || (code_size && !code) || (msg->input_size && !msg->input_data) ||
        msg->depth < 0)
        return EVMC_INTERNAL_ERROR;
    if (!host->account_exists || !host->get_storage || !host->set_storage || !host->get_balance ||
        !host->get_code_size || !host->copy_code || !host->selfdestruct || !host->call ||
        !host->get_tx_context || !host->get_block_hash || !host->emit_log)
        return EVMC_INTERNAL_ERROR;
    if (msg->kind < EVMC_CALL || msg->kind > EVMC_CREATE2)
        return EVMC_REJECTED;
    if (msg->depth > ETH_DEPTH_MAX)
        return EVMC_CALL_DEPTH_EXCEEDED;
    return msg->gas < 0 ? EVMC_OUT_OF_GAS : 0;
}

static int status_of(const ssvm_error *error)
{
    switch (ssvm_error_kind_of(error)) {
    case SSVM_ETRAP:
        break;
    case SSVM_ENOMEM:
    case SSVM_ELIMIT:
        return EVMC_OUT_OF_MEMORY;
    default:
        return EVMC_INTERNAL_ERROR;
    }
    switch (ssvm_error_trap_code(error)) {
    case SSVM_TRAP_UNREACHABLE:
        return EVMC_WASM_UNREACHABLE_INSTRUCTION;
    case SSVM_TRAP_GAS:
        return EVMC_OUT_OF_GAS;
    case SSVM_TRAP_DEADLINE:
    case SSVM_TRAP_CANCELLED:
    case SSVM_TRAP_CPU_LIMIT:
        return EVMC_INTERNAL_ERROR;
    default:
        return EVMC_WASM_TRAP;
    }
}

static int make_store(struct eth_frame *f, ssvm_engine *engine)
{
    const struct eth_options *o = &f->vm->options;
    ssvm_limits limits = SSVM_LIMITS_INIT;
    ssvm_error *error;
    int r = 0;

    if (f->memory_below >= o->memory_bytes)
        return EVMC_OUT_OF_MEMORY;
    limits.memory_bytes = o->memory_bytes - f->memory_below;
    limits.stack_bytes = STACK_BYTES;
    limits.table_elems = TABLE_ELEMS;
    limits.wall_ms = o->time_ms;
    limits.gas = f->count ? (uint64_t)f->msg->gas : 0;
    error = ssvm_store_new(engine, &limits, &f->store);
    if (error)
        r = status_of(error);
    else
        ssvm_store_set_data(f->store, f);
    ssvm_error_delete(error);
    return r;
}

/* To the end of `main`, or of the contract. */
static int run(struct eth_frame *f, const struct eth_contract *c)
{
    ssvm_instance *instance = NULL;
    ssvm_error *error;
    int r = make_store(f, f->vm->engine);

    if (r != 0)
        return r;
    if (f->count && f->msg->gas == 0) /* for the store it would be no limit */
        return EVMC_OUT_OF_GAS;
    error = ssvm_template_instantiate(c->links, f->store, NULL, &instance);
    if (!error)
        error = ssvm_func_call(f->store, ssvm_instance_func(instance, "main"), NULL, 0, NULL, 0);
    if (f->ended)
        r = f->status == ETH_FINISHED ? EVMC_SUCCESS : f->status;
    else if (error)
        r = status_of(error);
    ssvm_error_delete(error);
    return r;
}

/* What an initialiser gives must be a contract in its turn. */
static int check_created(struct eth_frame *f)
{
    struct eth_contract *c = NULL;
    int r;

    if ((f->msg->kind != EVMC_CREATE && f->msg->kind != EVMC_CREATE2) || f->destroyed)
        return 0;
    r = eth_contract_find(f->vm, f->output, f->output_size, &c);
    eth_contract_release(f->vm, c);
    return r == EVMC_REJECTED ? EVMC_CONTRACT_VALIDATION_FAILURE : r;
}

void eth_release_output(const struct evmc_result *r)
{
    sv_free((void *)r->output_data);
}

static struct evmc_result result_of(struct eth_frame *f, int status)
{
    struct evmc_result r = {.status_code = (enum evmc_status_code)status};

    if (status != EVMC_SUCCESS && status != EVMC_REVERT) {
        sv_free(f->output);
        return r;
    }
    r.gas_left = eth_frame_gas(f);
    r.gas_refund = status == EVMC_SUCCESS ? f->refund : 0;
    r.output_data = f->output;
    r.output_size = f->output_size;
    r.release = f->output ? eth_release_output : NULL;
    return r;
}

struct evmc_result eth_execute(struct evmc_vm *vm, const struct evmc_host_interface *host,
                               struct evmc_host_context *context, enum evmc_revision rev,
                               const struct evmc_message *msg, const uint8_t *code,
                               size_t code_size)
{
    struct eth_frame f = {.vm = (struct eth_vm *)vm,
                          .host = host,
                          .context = context,
                          .msg = msg,
                          .code = code,
                          .code_size = code_size};
    struct eth_contract *c = NULL;
    struct evmc_result ret;
    int r = check(host, msg, code, code_size);

    (void)rev; /* the interface is one for all */
    if (r != 0)
        return (struct evmc_result){.status_code = (enum evmc_status_code)r};
    f.gas = msg->gas;
    push(&f);
    f.count = f.vm->options.count;
    r = is_stack_low(&f) ? EVMC_INTERNAL_ERROR : eth_contract_find(f.vm, code, code_size, &c);
    if (r == 0)
        r = run(&f, c);
    if (r == 0)
        r = check_created(&f);
    ret = result_of(&f, r);
    eth_frame_drop_returned(&f);
    ssvm_store_delete(f.store);
    eth_contract_release(f.vm, c);
    pop(&f);
    return ret;
}
