/* Starts and stops a PostgreSQL; as another user when we are root, as whom it refuses to run. */
#include "cluster.h"

#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64], bin[256];
static pid_t owner; /* a child of the test that ends must leave it alone */

static const struct passwd *user(void)
{
    const struct passwd *who = getpwnam("postgres");

    return who ? who : getpwnam("nobody");
}

static bool run(const char *program, const char *const *args)
{
    char path[512];
    int status = -1;
    pid_t pid;

    snprintf(path, sizeof path, "%s/%s", bin, program);
    pid = fork();
    if (pid == 0) {
        const struct passwd *who = user();

        if (geteuid() == 0 && (!who || initgroups(who->pw_name, who->pw_gid) < 0 ||
                               setgid(who->pw_gid) < 0 || setuid(who->pw_uid) < 0))
            _exit(126);
        if (chdir(folder) < 0 || !freopen("log", "a", stdout) || !freopen("log", "a", stderr))
            _exit(126);
        execv(path, (char *const *)args);
        _exit(127);
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool start(void)
{
    char data[96], options[160];
    const char *args[] = {"pg_ctl",     "-D", data,    "-w",    "-s", "-l",
                          "server.log", "-o", options, "start", NULL};

    snprintf(data, sizeof data, "%s/data", folder);
    snprintf(options, sizeof options, "-k %s -c listen_addresses='' -c max_connections=60", folder);
    return run("pg_ctl", args);
}

/* A process that outlives us by a moment: when we are killed it ends the server, which would stay.
 */
static bool guard(void)
{
    char byte;
    int fds[2];
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return false;
    pid = fork();
    if (pid == 0) {
        setsid();
        owner = getpid();
        close(fds[1]);
        if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr) ||
            read(fds[0], &byte, 1) < 0)
            _exit(1);
        if (access(folder, F_OK) == 0)
            cluster_end();
        _exit(0);
    }
    close(fds[0]); /* the other end is open for as long as we live */
    return pid > 0;
}

bool cluster_start(void)
{
    char data[96];
    const char *args[] = {"initdb", "-D",   data,        "-A", "trust",      "-U", "ssvm",
                          "-E",     "UTF8", "--no-sync", "-N", "--locale=C", NULL};
    glob_t found;

    if (glob("/usr/lib/postgresql/*/bin/initdb", 0, NULL, &found) != 0) {
        fprintf(stderr, "skipped: no PostgreSQL (Debian: postgresql-15) to test with\n");
        return false;
    }
    snprintf(bin, sizeof bin, "%s", found.gl_pathv[found.gl_pathc - 1]);
    *strrchr(bin, '/') = '\0';
    globfree(&found);
    owner = getpid();
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* pg_ctl's child becomes ours */
    strcpy(folder, "/tmp/ssvm-pg-XXXXXX");
    if (!mkdtemp(folder) || chmod(folder, 0755) < 0)
        return false;
    if (geteuid() == 0 && (!user() || chown(folder, user()->pw_uid, user()->pw_gid) < 0))
        return false;
    snprintf(data, sizeof data, "%s/data", folder);
    if (guard() && run("initdb", args) && start()) {
        atexit(cluster_end);
        return true;
    }
    fprintf(stderr, "skipped: PostgreSQL does not start; see %s\n", folder);
    folder[0] = '\0';
    return false;
}

const char *cluster_url(const char *more)
{
    static char url[256];

    snprintf(url, sizeof url, "postgresql:///postgres?host=%s&user=ssvm%s", folder, more);
    return url;
}

void cluster_stop(const char *mode)
{
    char data[96];
    const char *args[] = {"pg_ctl", "-D", data, "-w", "-s", "-m", mode, "stop", NULL};

    snprintf(data, sizeof data, "%s/data", folder);
    run("pg_ctl", args);
}

void cluster_restart(void)
{
    if (!start())
        exit(EXIT_FAILURE);
}

void cluster_kill(void)
{
    char path[128], line[32] = "", command[96];
    FILE *f;
    pid_t pid;

    snprintf(path, sizeof path, "%s/data/postmaster.pid", folder);
    f = fopen(path, "r");
    if (!f || !fgets(line, sizeof line, f))
        exit(EXIT_FAILURE);
    fclose(f);
    pid = (pid_t)strtol(line, NULL, 10);
    /* Its children too: without it they would end by themselves, and in order. */
    snprintf(command, sizeof command, "kill -STOP %d; pkill -9 -P %d; kill -9 %d", (int)pid,
             (int)pid, (int)pid);
    if (system(command) < 0)
        exit(EXIT_FAILURE);
    waitpid(pid, NULL, 0); /* ours since cluster_start: it would be there as a zombie */
}

void cluster_end(void)
{
    char command[96];

    if (!folder[0] || getpid() != owner)
        return;
    cluster_stop("immediate");
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (system(command) != 0)
        fprintf(stderr, "%s stays\n", folder);
    folder[0] = '\0';
}
