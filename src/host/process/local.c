/* The built-in back end: commands of the list run on this machine, for a guest of this process. */
#include <stdio.h>

#include "command/run.h"
#include "host/process/guest.h"

static int wait(void *data, struct pollfd *fds, unsigned n, int64_t timeout_ns)
{
    struct ssvm_process_run *r = data;

    return r->wait(r, fds, n, timeout_ns);
}

static bool put(void *data, bool error, const void *bytes, size_t len)
{
    struct ssvm_process_run *r = data;

    return r->put(r, error, bytes, len);
}

/* The variables that it may have; NULL: no memory. */
static own const char **choose_env(const struct process *p, const char *const *env)
{
    const char **chosen;
    size_t n = 0;

    while (env[n])
        n++;
    chosen = sv_alloc_array_zero(n + 1, sizeof *chosen);
    for (size_t i = 0, k = 0; chosen && i < n; i++)
        if (p->allow.all || cmd_allow_variable(env[i]))
            chosen[k++] = env[i];
    return chosen;
}

void process_run_here(void *data, void *store_data, struct ssvm_process_run *r)
{
    struct process *p = data;
    char path[CMD_PATH_MAX], text[SV_ERR_TEXT_MAX + 1];
    const char **env = choose_env(p, r->env);
    struct cmd_request request = {.path = path,
                                  .args = r->args,
                                  .env = env,
                                  .input = r->input,
                                  .input_len = r->input_len,
                                  .deadline_ns = r->deadline_ns,
                                  .wait = wait,
                                  .put = put,
                                  .data = r};
    struct sv_err err = {0};
    int result = cmd_allow_find(&p->allow, r->args[0], path), status = 0, n;

    (void)store_data;
    if (result == 0)
        result = env ? cmd_run(&err, &request, &status) : sv_fail_nomem(&err, "a command");
    else if (result == SV_EINVALID)
        result = sv_fail(
            &err, SV_EUSAGE, SV_NO_OFFSET,
            "Permission denied: command \"%.512s\" is not allowed; --allow-command=%.512s or "
            "--allow-command-all allows it",
            r->args[0], r->args[0]);
    else
        (void)sv_fail(&err, result, SV_NO_OFFSET, "'%.512s': there is no such program", r->args[0]);
    sv_free(env);
    if (result == 0) {
        r->code = cmd_exit_code(status);
        return;
    }
    r->code = result == SV_EEXIT      ? SSVM_PROCESS_TIMEOUT
              : result == SV_EINVALID ? SSVM_PROCESS_NO_STATUS
                                      : SSVM_PROCESS_FAILED;
    if (result != SV_EEXIT && err.text[0]) {
        n = snprintf(text, sizeof text, "%s\n", err.text);
        (void)r->put(r, true, text, (size_t)n);
    }
}
