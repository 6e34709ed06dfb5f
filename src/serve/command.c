/* The back end of `ssvm_process` in a worker: a run is a message to control and its answer; the
 * guest's thread waits for it. */
#include "serve/command.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/loop.h"
#include "serve/session.h"
#include "ssvm_process.h"

#define OUTPUT_MAX ((uint64_t)16 << 20)
#define BEHIND_MS 1000         /* a command that its call ends, behind the call */
#define PATIENCE_NS 5000000000 /* for control to end a command whose time is over */

static const struct srv_session_kind codes = {.denied = SV_EINVALID,
                                              .nomem = SV_ENOMEM,
                                              .late = SV_EEXIT,
                                              .other = SV_EIO,
                                              .patience_ns = PATIENCE_NS};

static void fail(ssvm_process_run *r, const char *why)
{
    (void)r->put(r, true, why, strlen(why));
    (void)r->put(r, true, "\n", 1);
    r->code = SSVM_PROCESS_FAILED;
}

static void give(ssvm_process_run *r, bool error, struct sv_str bytes)
{
    if (bytes.len > 0)
        (void)r->put(r, error, bytes.ptr, bytes.len);
}

/* What control gives the command. The end of the call cuts our wait and cancels the run, and must
 * be the first: a guest that hears of the command's end just before its own could begin a reply. */
static uint64_t time_ms(uint64_t now, uint64_t until, uint64_t run_until)
{
    uint64_t ms = until > now ? (until - now) / 1000000 : 0;

    return until < run_until ? ms + BEHIND_MS : ms;
}

static void run(void *data, void *store_data, ssvm_process_run *r)
{
    uint64_t now = srv_clock_ns(), until, code = 0, status = 200;
    struct plat_message m, answer;
    struct sv_err err = {0};
    struct srv_session s;

    (void)data;
    if (!srv_session_init(&s, &codes, store_data))
        return fail(r, "Permission denied: no command runs here");
    srv_session_part(&s);
    until = srv_session_deadline(&s, r->deadline_ns);
    plat_message_init(&m, PLAT_COMMAND);
    plat_put_str(&m, PLAT_TAG_TENANT, srv_session_request(&s)->function->tenant);
    for (size_t i = 0; r->args[i]; i++)
        plat_put_str(&m, PLAT_TAG_VALUE, r->args[i]);
    for (size_t i = 0; r->env[i]; i++)
        plat_put_str(&m, PLAT_TAG_KEY, r->env[i]);
    plat_put(&m, PLAT_TAG_BODY, r->input, r->input_len);
    plat_put_u64(&m, PLAT_TAG_TIMEOUT_MS, time_ms(now, until, r->deadline_ns));
    plat_put_u64(&m, PLAT_TAG_LIMIT, OUTPUT_MAX);
    srv_session_put_grants(&s, &m, "allow-command", PLAT_TAG_ALLOW);
    if (srv_session_ask(&s, &err, &m, until, &answer) != 0)
        return fail(r, err.text);
    (void)plat_get_u64(&answer, PLAT_TAG_NUMBER, &code);
    (void)plat_get_u64(&answer, PLAT_TAG_STATUS, &status);
    give(r, false, plat_get(&answer, PLAT_TAG_BODY));
    give(r, true, plat_get(&answer, PLAT_TAG_ERRORS));
    if (status == 413)
        fail(r, "the command wrote more than it may");
    else
        r->code = (int)(int64_t)code;
    plat_message_release(&answer);
}

struct srv_commands {
    pthread_mutex_t lock;
    own ssvm_process *process; /* NULL: nobody has asked for it */
};

own struct srv_commands *srv_commands_new(void)
{
    struct srv_commands *c = calloc(1, sizeof *c);

    if (c)
        pthread_mutex_init(&c->lock, NULL);
    return c;
}

void srv_commands_delete(own struct srv_commands *c)
{
    if (!c)
        return;
    ssvm_process_delete(c->process);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

own ssvm_error *srv_commands_open(struct srv_commands *c, ssvm_process **ret)
{
    static const ssvm_process_backend backend = {SSVM_PROCESS_ABI, run};
    ssvm_process_config config = SSVM_PROCESS_CONFIG_INIT;
    ssvm_error *error = NULL;

    config.backend = &backend;
    pthread_mutex_lock(&c->lock);
    if (!c->process)
        error = ssvm_process_new(&config, &c->process);
    if (ret)
        *ret = c->process;
    pthread_mutex_unlock(&c->lock);
    return error;
}
