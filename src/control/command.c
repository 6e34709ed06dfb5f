/* Native commands for functions: how many at a time, by which list, in which folder. Running one is
 * command/run.c's. */
#include "control/command.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/folder.h"
#include "base/landlock.h"
#include "command/allow.h"
#include "command/run.h"
#include "control/dispatch.h"
#include "control/part.h"
#include "ssvm_process.h"

#define NS_PER_MS 1000000
#define NS_PER_S 1000000000
#define TIMEOUT_MS 10000
#define STRINGS_MAX 65536
#define FOLDER_SIZE 64

struct ctl_commands {
    pthread_mutex_t lock;
    struct cmd_allow allow;
    bool off; /* they would not be confined, and the operator does not want that */
    struct sv_str tenants[CTL_COMMANDS_MAX]; /* of those that run; {NULL}: a free place */
};

/* ---- Places ---- */

static int enter(struct ctl_commands *c, struct sv_err *err, struct sv_str tenant,
                 unsigned *ret_place)
{
    unsigned same = 0, place = CTL_COMMANDS_MAX;

    pthread_mutex_lock(&c->lock);
    for (unsigned i = 0; i < CTL_COMMANDS_MAX; i++) {
        if (!c->tenants[i].ptr)
            place = i;
        else
            same += sv_str_eq(c->tenants[i], tenant);
    }
    if (place < CTL_COMMANDS_MAX && same < CTL_COMMANDS_OF_TENANT_MAX)
        c->tenants[place] = tenant;
    else
        place = CTL_COMMANDS_MAX;
    pthread_mutex_unlock(&c->lock);
    *ret_place = place;
    return place < CTL_COMMANDS_MAX
               ? 0
               : sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "too many native commands run");
}

static void leave(struct ctl_commands *c, unsigned place)
{
    pthread_mutex_lock(&c->lock);
    c->tenants[place] = (struct sv_str){NULL, 0};
    pthread_mutex_unlock(&c->lock);
}

/* ---- One run ---- */

struct gather {
    struct sv_buf out[2];
    uint64_t max;
    int cancel_fd; /* readable: nobody waits for it any more; -1: that is never known */
};

static bool put(void *data, bool error, const void *bytes, size_t len)
{
    struct gather *g = data;

    return len <= g->max - g->out[0].len - g->out[1].len &&
           sv_buf_append(&g->out[error], bytes, len);
}

static int wait_for(void *data, struct pollfd *fds, unsigned n, int64_t timeout_ns)
{
    const struct gather *g = data;
    struct timespec t = {.tv_sec = timeout_ns / NS_PER_S, .tv_nsec = timeout_ns % NS_PER_S};

    fds[n] = (struct pollfd){.fd = g->cancel_fd, .events = POLLIN};
    if (ppoll(fds, n + 1, timeout_ns < 0 ? NULL : &t, NULL) < 0)
        return errno == EINTR ? 0 : SV_EIO;
    return fds[n].revents ? SV_EEXIT : 0;
}

static void free_strings(own char **all)
{
    for (size_t i = 0; all && all[i]; i++)
        sv_free(all[i]);
    sv_free(all);
}

/* The strings of a tag, NULL at the end, each a copy with its NUL; NULL: no memory, or too many. */
static own char **take_strings(const struct plat_message *m, enum plat_tag tag, bool variables)
{
    size_t n = 0, k = 0, at = 0;
    struct sv_str s;
    char **all;

    while (n < STRINGS_MAX && plat_get_next(m, tag, &at).ptr)
        n++;
    all = n < STRINGS_MAX ? sv_alloc_array_zero(n + 1, sizeof *all) : NULL;
    for (at = 0; all && (s = plat_get_next(m, tag, &at)).ptr;) {
        char *one = sv_strndup(s.ptr, s.len);

        if (!one) { /* not some of them: that were another command */
            free_strings(all);
            return NULL;
        }
        if (variables && !cmd_allow_variable(one))
            sv_free(one);
        else
            all[k++] = one;
    }
    return all;
}

/* Does the function's grant name it: as the guest does, or as what the same list makes of it? */
static bool granted(const struct ctl_commands *c, const struct plat_message *m, const char *path)
{
    char text[CMD_PATH_MAX], other[CMD_PATH_MAX];
    struct sv_str name;
    bool found = false;
    size_t at = 0;

    while (!found && (name = plat_get_next(m, PLAT_TAG_ALLOW, &at)).ptr) {
        if (name.len >= sizeof text) /* no path of a program */
            continue;
        memcpy(text, name.ptr, name.len);
        text[name.len] = '\0';
        found = cmd_allow_find(&c->allow, text, other) == 0 && strcmp(other, path) == 0;
    }
    return found;
}

static int run(struct ctl_commands *c, struct sv_err *err, struct plat_message *m, char **args,
               char **env, struct gather *g, int *ret_code)
{
    char path[CMD_PATH_MAX], folder[FOLDER_SIZE] = "/tmp/ssvm-command-XXXXXX";
    struct sv_str input = plat_get(m, PLAT_TAG_BODY);
    struct cmd_request r = {.path = path,
                            .args = (const char *const *)args,
                            .env = (const char *const *)env,
                            .folder = folder,
                            .input = input.ptr,
                            .input_len = input.len,
                            .wait = wait_for,
                            .put = put,
                            .data = g};
    uint64_t ms = TIMEOUT_MS;
    int result = cmd_allow_find(&c->allow, args[0], path), status = 0;

    (void)plat_get_u64(m, PLAT_TAG_TIMEOUT_MS, &ms);
    r.deadline_ns = sv_clock_ns() + (ms < INT32_MAX ? ms : INT32_MAX) * NS_PER_MS;
    if (c->off)
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET,
                       "Permission denied: native commands are off: this system has no Landlock to "
                       "confine them with; the server's setting unconfined-commands allows them");
    if (result == SV_ENOTFOUND)
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "'%.512s': there is no such program", args[0]);
    if (result < 0 || !granted(c, m, path))
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET,
                       "Permission denied: command \"%.512s\" is not allowed; the function's grant "
                       "allow-command and the server's setting allow-command allow it",
                       args[0]);
    if (!mkdtemp(folder))
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "no folder for a command");
    result = cmd_run(err, &r, &status);
    sv_folder_remove(folder);
    *ret_code = cmd_exit_code(status);
    return result;
}

int ctl_command(struct ctl_server *server, struct sv_err *err, struct plat_message *m,
                struct plat_message *ret)
{
    char **args = take_strings(m, PLAT_TAG_VALUE, false);
    char **env = take_strings(m, PLAT_TAG_KEY, true);
    struct sv_str tenant = plat_get(m, PLAT_TAG_TENANT);
    struct gather g = {.max = CTL_COMMAND_OUTPUT_MAX, .cancel_fd = ctl_dispatch_cancel_fd(m)};
    struct sv_err why = {0};
    unsigned place;
    int result, code = SSVM_PROCESS_FAILED;

    (void)plat_get_u64(m, PLAT_TAG_LIMIT, &g.max);
    if (g.max > CTL_COMMAND_OUTPUT_MAX)
        g.max = CTL_COMMAND_OUTPUT_MAX;
    for (int i = 0; i < 2; i++)
        sv_buf_init(&g.out[i], CTL_COMMAND_OUTPUT_MAX + SV_ERR_TEXT_MAX + 1);
    if (!args || !env)
        result = sv_fail_nomem(err, "a command");
    else if (!tenant.ptr || !args[0])
        result = sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "a command of nobody's, or none");
    else
        result = enter(server->commands, err, tenant, &place);
    if (result == 0) {
        result = run(server->commands, &why, m, args, env, &g, &code);
        leave(server->commands, place);
        if (result < 0)
            code = result == SV_EEXIT      ? SSVM_PROCESS_TIMEOUT
                   : result == SV_EINVALID ? SSVM_PROCESS_NO_STATUS
                                           : SSVM_PROCESS_FAILED;
        if (result < 0 && result != SV_EEXIT && why.text[0])
            sv_buf_printf(&g.out[1], "%s\n", why.text);
        plat_put_u64(ret, PLAT_TAG_NUMBER, (uint64_t)(int64_t)code);
        plat_put_u64(ret, PLAT_TAG_STATUS, result == SV_ELIMIT ? 413 : 200);
        plat_put(ret, PLAT_TAG_BODY, g.out[0].data, g.out[0].len);
        plat_put(ret, PLAT_TAG_ERRORS, g.out[1].data, g.out[1].len);
        result = g.out[0].failed || g.out[1].failed ? sv_fail_nomem(err, "a command's output") : 0;
    }
    sv_buf_release(&g.out[0]);
    sv_buf_release(&g.out[1]);
    free_strings(args);
    free_strings(env);
    return result;
}

bool ctl_command_allowed(struct ctl_server *server, const char *name)
{
    char path[CMD_PATH_MAX];

    return cmd_allow_find(&server->commands->allow, name, path) != SV_EINVALID;
}

/* ---- The part ---- */

/* Commands are confined with Landlock: say where there is none, and whether they run. */
static void check_confinement(const struct ctl_server *server, struct ctl_commands *c)
{
    char *unconfined = ctl_setting(server, "unconfined-commands");
    int rules = sv_landlock_new();

    if (rules >= 0) {
        close(rules);
    } else {
        c->off = !unconfined || strcmp(unconfined, "on") != 0;
        fprintf(stderr, "ssvm-control: this system has no Landlock: native commands %s\n",
                c->off ? "are off; unconfined-commands would allow them"
                       : "run unconfined, as unconfined-commands says");
    }
    sv_free(unconfined);
}

int ctl_command_start(struct ctl_server *server, struct sv_err *err)
{
    char *list = ctl_setting(server, "allow-command"), *save = NULL;
    struct ctl_commands *c = sv_alloc_zero(sizeof *c);
    int r = c ? cmd_allow_init(err, &c->allow, getenv("PATH")) : sv_fail_nomem(err, "commands");

    server->commands = c;
    if (r == 0) {
        pthread_mutex_init(&c->lock, NULL);
        if (list && strcmp(list, "none") != 0) {
            check_confinement(server, c);
            for (char *one = strtok_r(list, ", ", &save); one && r == 0;
                 one = strtok_r(NULL, ", ", &save))
                r = cmd_allow_add(err, &c->allow, one);
        }
    }
    sv_free(list);
    return r;
}

void ctl_command_stop(struct ctl_server *server)
{
    if (server->commands)
        cmd_allow_release(&server->commands->allow);
    sv_free(server->commands);
    server->commands = NULL;
}
