/* Damaged models into a backend, as it is, without the checks that stand before it in ssvm:
 * hostile PLUGIN LIBRARY MODEL COUNT [SEED]. Each is read and run in a child process; prints how
 * the children ended, and the seeds of those that broke. That a library crashes is no failure here:
 * it is why models of strangers run in a process of their own.
 * hostile write MODEL SEED FILE: what the seed makes of the model. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plugin.h"

#define SECONDS 20 /* one model may take */
#define MEMORY ((rlim_t)12 << 30)

/* What the child tells: shared. */
struct progress {
    uint32_t seed, refused, ran, failed;
};

static uint64_t random_state;

static uint32_t random_below(uint32_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((random_state >> 33) % n);
}

/* A place among names and small numbers rather than weights: that is where structure is. */
static uint32_t structural(const unsigned char *model, size_t len)
{
    uint32_t at = 0;

    for (int tries = 0; tries < 1000; tries++) {
        int plain = 0;

        at = random_below((uint32_t)len - 8);
        for (int i = 0; i < 8; i++)
            plain += model[at + i] == 0 || (model[at + i] >= ' ' && model[at + i] < 0x7f);
        if (plain >= 7)
            break;
    }
    return at + random_below(8);
}

/* One of six kinds of damage. */
static size_t damage(uint32_t seed, const unsigned char *model, size_t len, unsigned char *ret)
{
    uint32_t n;

    random_state = seed * 0x9e3779b97f4a7c15u + 1;
    (void)random_below(2);
    memcpy(ret, model, len);
    switch (seed % 6) {
    case 0: /* garbage behind the first bytes */
        for (size_t i = 16; i < len; i++)
            ret[i] = (unsigned char)random_below(256);
        return 16 + random_below(4096);
    case 1: /* cut off */
        return 1 + random_below((uint32_t)len - 1);
    case 2: /* bits */
        for (n = 1 + random_below(16); n > 0; n--)
            ret[random_below((uint32_t)len)] ^= (unsigned char)(1U << random_below(8));
        return len;
    case 3: /* numbers and names */
    case 4:
        for (n = 1 + random_below(8); n > 0; n--)
            ret[structural(model, len)] = (unsigned char)random_below(256);
        return len;
    default: /* a piece moved over another */
        n = 1 + random_below(64);
        memmove(ret + random_below((uint32_t)len - n), ret + random_below((uint32_t)len - n), n);
        return len;
    }
}

/* Load, and run on zeros when that went well. 0: refused, 1: the run failed, 2: it ran. */
static int try(const struct ssvm_nn_backend *backend, void *lib, enum ssvm_nn_format format,
               const void *bytes, size_t len)
{
    struct ssvm_nn_port in[16], out;
    struct ssvm_nn_tensor t[16], ret;
    char error[SSVM_NN_ERROR_MAX];
    void *model = NULL, *session = NULL;
    size_t cost;
    uint32_t n = 0;
    int r = 1;

    if (backend->load(lib, format, bytes, len, error, &model, &cost) != 0)
        return 0;
    while (n < 16 && backend->describe(model, 0, n, &in[n], &t[n]) == 0) {
        t[n].len = 4;
        for (uint32_t d = 0; d < t[n].rank; d++) {
            t[n].dims[d] = t[n].dims[d] < 0 ? 1 : t[n].dims[d];
            t[n].len *= (size_t)t[n].dims[d];
        }
        t[n].data = t[n].len < (size_t)1 << 28 ? tensor_memory(t[n].len) : NULL;
        if (!t[n].data)
            break;
        memset(t[n].data, 0, t[n].len);
        n++;
    }
    if (backend->describe(model, 1, 0, &out, &ret) == 0 &&
        backend->session_new(model, error, &session) == 0) {
        r = backend->run(session, in, t, n, &out, &ret, 1, error) == 0 ? 2 : 1;
        backend->session_delete(session);
    }
    backend->unload(model);
    while (n > 0)
        free(t[--n].data);
    return r;
}

static void child(char **argv, struct progress *p, uint32_t end)
{
    const struct rlimit memory = {MEMORY, MEMORY}, core = {0, 0};
    struct ssvm_nn_options options = {sizeof options, argv[2], "cpu", 1};
    const struct ssvm_nn_backend *backend = plugin_open(argv[1]);
    char error[SSVM_NN_ERROR_MAX];
    unsigned char *bad;
    size_t len;
    const unsigned char *model = read_file(argv[3], &len);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    void *lib;

    if (backend->open(&options, error, &lib) != 0) {
        fprintf(stderr, "%s\n", error);
        _exit(3);
    }
    if (null < 0 || dup2(null, 2) < 0)
        _exit(3);
    setrlimit(RLIMIT_AS, &memory);
    setrlimit(RLIMIT_CORE, &core);
    bad = tensor_memory(len);
    for (; p->seed < end; p->seed++) {
        size_t n = damage(p->seed, model, len, bad);

        alarm(SECONDS);
        switch (try(backend, lib, format_of(argv[3]), bad, n)) {
        case 0:
            p->refused++;
            break;
        case 1:
            p->failed++;
            break;
        default:
            p->ran++;
        }
    }
    _exit(0);
}

static int write_damaged(char **argv)
{
    size_t len, n;
    unsigned char *model = read_file(argv[2], &len), *bad = tensor_memory(len);
    FILE *f = fopen(argv[4], "wb");

    n = damage((uint32_t)strtoul(argv[3], NULL, 10), model, len, bad);
    if (!f || fwrite(bad, 1, n, f) != n || fclose(f) != 0) {
        perror(argv[4]);
        return 2;
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct progress *p =
        mmap(NULL, sizeof *p, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint32_t end, crashed = 0, hung = 0;
    int status;

    if (argc < 5 || p == MAP_FAILED)
        return 2;
    if (strcmp(argv[1], "write") == 0)
        return write_damaged(argv);
    p->seed = argc > 5 ? (uint32_t)strtoul(argv[5], NULL, 10) : 0;
    end = p->seed + (uint32_t)strtoul(argv[4], NULL, 10);
    while (p->seed < end) {
        pid_t pid = fork();

        if (pid < 0)
            return 2;
        if (pid == 0)
            child(argv, p, end);
        if (waitpid(pid, &status, 0) != pid || (WIFEXITED(status) && WEXITSTATUS(status) == 3))
            return 2;
        if (WIFEXITED(status) && p->seed >= end)
            break;
        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
            hung++;
        else
            crashed++;
        printf("seed %u: %s\n", p->seed,
               WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "the library ended the process");
        fflush(stdout);
        p->seed++;
    }
    printf("%s %s: %u refused, %u failed to run, %u ran, %u crashed, %u took longer than %d s\n",
           p->refused > 0 && p->ran > 0 ? "ok" : "FAILED", argv[3], p->refused, p->failed, p->ran,
           crashed, hung, SECONDS);
    return p->refused == 0 || p->ran == 0;
}
