/* A project: a folder with ssvm.yaml. Reading it, and running its build. */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/client.h"
#include "platform/yaml.h"

#define SAID_MAX (256U << 10) /* of what a build says, the rest is only shown */

/* What is to be installed when a build fails with such words. */
static const struct {
    const char *said, *hint;
} hints[] = {
    {"cargo: not found", "Rust is missing: install it as https://rustup.rs says, then: rustup "
                         "target add wasm32-wasip1"},
    {"target may not be installed",
     "Rust cannot make WebAssembly yet: rustup target add wasm32-wasip1"},
    {"clang: not found",
     "clang is missing: apt install clang lld wasi-libc libclang-rt-dev-wasm32"},
    {"clang-22: not found",
     "clang is missing: apt install clang lld wasi-libc libclang-rt-dev-wasm32"},
    {"unable to execute command: Executable \"wasm-ld",
     "the linker for WebAssembly is missing: apt install lld"},
    {"wasi/crt1", "wasi-libc is missing: apt install wasi-libc"},
    {"libclang_rt.builtins",
     "clang's library for WebAssembly is missing: apt install libclang-rt-dev-wasm32"},
    {"go: not found", "Go is missing: install 1.21 or newer from https://go.dev/dl"},
    {"unsupported GOOS/GOARCH pair wasip1",
     "this Go is too old: install 1.21 or newer from https://go.dev/dl"},
    {"npm: not found",
     "Node.js is missing: install it from https://nodejs.org, or: apt install nodejs npm"},
    {"npx: not found",
     "Node.js is missing: install it from https://nodejs.org, or: apt install nodejs npm"},
};

int cln_project_read(struct cln_project *project, struct sv_buf *why)
{
    struct plat_manifest manifest;
    struct sv_err err = {0};
    struct sv_buf text;
    int status;

    if (access(PLAT_MANIFEST_FILE, F_OK) < 0) {
        char here[512];

        if (!getcwd(here, sizeof here))
            snprintf(here, sizeof here, "this folder");
        sv_fail(&err, SV_ENOTFOUND, SV_NO_OFFSET,
                "no " PLAT_MANIFEST_FILE " in %s: 'ssvm new NAME' makes a project; or say its "
                "folder behind the verb",
                here);
        status = SV_ENOTFOUND;
    } else if (!cln_read_file(PLAT_MANIFEST_FILE, PLAT_YAML_BYTES_MAX, &text)) {
        return CLN_STATUS_ERROR;
    } else {
        status =
            plat_manifest_read(&err, PLAT_MANIFEST_FILE, sv_buf_cstr(&text), text.len, &manifest);
        if (status < 0) {
            plat_manifest_release(&manifest);
            sv_buf_release(&text);
        }
    }
    if (status < 0) {
        if (why)
            sv_buf_puts(why, err.text);
        else
            cln_message("%s", err.text);
        return CLN_STATUS_ERROR;
    }
    cln_project_release(project);
    *project = (struct cln_project){.manifest = manifest, .text = text};
    return 0;
}

int cln_project_open(struct cln_project *project, const char *dir)
{
    *project = (struct cln_project){0};
    if (dir && chdir(dir) < 0)
        return cln_fail("cannot go into '%s': %s", dir, strerror(errno));
    return cln_project_read(project, NULL);
}

void cln_project_release(struct cln_project *project)
{
    plat_manifest_release(&project->manifest);
    sv_buf_release(&project->text);
}

/* Start `sh -c COMMAND` with both of its outputs in a pipe; *ret_fd is the end to read. */
static bool start_shell(const char *command, pid_t *ret, int *ret_fd)
{
    char sh[] = "sh", c[] = "-c", *text = sv_strdup(command);
    char *argv[] = {sh, c, text, NULL};
    posix_spawn_file_actions_t actions;
    int ends[2] = {-1, -1}, error = !text ? ENOMEM : pipe(ends) < 0 ? errno : 0;

    if (error == 0) {
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
        posix_spawn_file_actions_addclose(&actions, ends[0]);
        posix_spawn_file_actions_addclose(&actions, ends[1]);
        error = posix_spawnp(ret, sh, &actions, NULL, argv, environ);
        posix_spawn_file_actions_destroy(&actions);
        close(ends[1]);
        if (error)
            close(ends[0]);
        else
            *ret_fd = ends[0];
    }
    if (error)
        cln_message("cannot start 'sh': %s", strerror(error));
    sv_free(text);
    return error == 0;
}

/* What a shell says goes to standard error as it comes, and into `said`. Its exit status. */
static int run_shell(const char *command, struct sv_buf *said)
{
    char buf[4096];
    int fd, status = 0;
    ssize_t n;
    pid_t pid;

    if (!start_shell(command, &pid, &fd))
        return CLN_STATUS_ERROR;
    while ((n = read(fd, buf, sizeof buf)) > 0 || (n < 0 && errno == EINTR)) {
        if (n < 0)
            continue;
        fwrite(buf, 1, (size_t)n, stderr);
        if (said->len + (size_t)n <= said->max)
            sv_buf_append(said, buf, (size_t)n);
    }
    close(fd);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void say(struct sv_buf *said, const char *text)
{
    cln_message("%s", text);
    sv_buf_puts(said, text);
    sv_buf_putc(said, '\n');
}

static void hint(struct sv_buf *said)
{
    const char *text = sv_buf_cstr(said);

    for (size_t i = 0; i < SV_COUNT(hints); i++) {
        if (strstr(text, hints[i].said)) {
            say(said, hints[i].hint);
            return;
        }
    }
}

int cln_project_build(struct cln_project *project, struct sv_buf *said)
{
    const struct plat_manifest *m = &project->manifest;
    char text[1024];
    struct sv_buf own_said;
    int status = 0;

    sv_buf_init(&own_said, SAID_MAX);
    if (!said)
        said = &own_said;
    if (m->build && *m->build)
        status = run_shell(m->build, said);
    if (status != 0) {
        snprintf(text, sizeof text, "the build failed (exit status %d): %s", status, m->build);
        say(said, text);
        hint(said);
        status = CLN_STATUS_ERROR;
    } else if (*m->module && access(m->module, R_OK) < 0) {
        snprintf(text, sizeof text,
                 "'%s' is not there%s%s; 'module' in " PLAT_MANIFEST_FILE " names it", m->module,
                 *m->build ? " after: " : ", and no 'build' is given that makes it", m->build);
        say(said, text);
        status = CLN_STATUS_ERROR;
    }
    sv_buf_release(&own_said);
    return status;
}

int cln_build(const struct cln_args *args)
{
    struct cln_project project;
    struct stat st;
    int status;

    if (args->noperands > 1)
        return cln_usage(args, "one folder at most");
    status = cln_project_open(&project, args->noperands ? args->operands[0] : NULL);
    if (status == 0)
        status = cln_project_build(&project, NULL);
    if (status == 0 && *project.manifest.module && stat(project.manifest.module, &st) == 0)
        printf("%s: %lld bytes\n", project.manifest.module, (long long)st.st_size);
    cln_project_release(&project);
    return cln_finish(status);
}
