/* libFuzzer: any calls of WASI with any arguments over any memory, on a scratch directory with
 * links that lead outside. Aborts when what is outside has changed. Not a check of results: the
 * unit tests have those. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/wasi/vfs.h"
#include "input.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MEMORY (2u << 16)
#define CALLS_MAX 64
#define FILE_MAX ((rlim_t)1 << 20)
#define CLEAN_EVERY 512 /* runs */

static char top[64], root[96], fixed[96];
static uint8_t *memory;
static unsigned runs;

static void shell(const char *commands)
{
    char line[2048];

    snprintf(line, sizeof line, "cd '%s' && { %s; } 2>/dev/null", top, commands);
    if (system(line) != 0)
        abort();
}

static void lay_out(void)
{
    shell("chmod -R u+rwX root; rm -rf root; mkdir -p root/d/e; echo in > root/f; ln -s ../outside "
          "root/up; "
          "ln -s ../outside/secret root/leak; ln -s /etc root/abs; ln -s d root/t; ln -s t/../f "
          "root/l; "
          "ln -s ../outside/made root/makes; mkfifo root/fifo; true");
}

static void check_outside(void)
{
    char buf[16] = {0};
    char path[128];
    struct stat st;
    int fd, n = 0;
    DIR *d;

    snprintf(path, sizeof path, "%s/outside", top);
    d = opendir(path);
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    snprintf(path, sizeof path, "%s/outside/secret", top);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (n != 3 || fd < 0 || read(fd, buf, sizeof buf) != 7 || memcmp(buf, "secret\n", 7) != 0 ||
        fstat(fd, &st) != 0 || st.st_nlink != 1 || st.st_mtime != 1000000000)
        abort();
    close(fd);
}

static void remove_all(void)
{
    char line[128];

    snprintf(line, sizeof line, "chmod -R u+rwX '%s'; rm -rf '%s'", top, top);
    if (system(line) != 0)
        fprintf(stderr, "'%s' is left\n", top);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct rlimit files = {FILE_MAX, FILE_MAX};

    (void)argc;
    (void)argv;
    snprintf(top, sizeof top, "/tmp/ssvm-fuzz-XXXXXX");
    if (!mkdtemp(top))
        abort();
    atexit(remove_all);
    snprintf(root, sizeof root, "%s/root", top);
    snprintf(fixed, sizeof fixed, "%s/fixed", top);
    shell("mkdir root outside fixed; echo secret > outside/secret; touch -d @1000000000 "
          "outside/secret; echo x > fixed/f");
    lay_out();
    /* SIGXFSZ would end us: it must not get here. */
    setrlimit(RLIMIT_FSIZE, &files);
    memory = mmap(NULL, 2 * MEMORY, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, MEMORY, PROT_READ | PROT_WRITE) != 0)
        abort();
    return 0;
}

static uint64_t argument(struct input *in)
{
    uint8_t how = (uint8_t)take(in, 1);

    switch (how & 7) {
    case 0:
        return how >> 3; /* descriptors, flags, small numbers */
    case 1:
        return MEMORY - (how >> 3);
    case 2:
        return UINT64_MAX - (how >> 3);
    case 3:
        return take(in, 1) * 16; /* where the data lies */
    case 4:
        return take(in, 2);
    case 5:
        return take(in, 4);
    case 6:
        return (uint64_t)1 << (how >> 3);
    default:
        return take(in, 8);
    }
}

/* Text for paths where the input has none. */
static void fill(const uint8_t *data, size_t size)
{
    static const char words[] =
        "f\0..\0up/secret\0leak\0d/../f\0t/\0makes\0l\0fifo\0abs/passwd\0new\0d/e/..";

    memset(memory, 0, MEMORY);
    memcpy(memory, words, sizeof words);
    memcpy(memory + 1024, data, size < MEMORY - 1024 ? size : MEMORY - 1024);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sv_wasi_dir dirs[] = {{"/", root, false}, {"/ro", fixed, true}};
    struct sv_wasi_grant grant = {
        .in = {.kind = SV_WASI_STREAM_BYTES, .bytes = "input", .len = 5},
        .dirs = dirs,
        .ndirs = 2,
        .max_fds = 24,
    };
    struct sv_store store = {0};
    struct sv_memory mem = {.base = memory};
    struct sv_instance inst = {.memory0 = &mem};
    struct sv_call call = {.th = &store.thread, .inst = &inst};
    struct input in = {data, size};
    struct sv_err err = {0};
    void *state;
    unsigned flags = (unsigned)take(&in, 1), i, j;

    if (++runs % CLEAN_EVERY == 0)
        lay_out();
    fill(data, size);
    mem.size = MEMORY;
    store.thread.store = &store;
    store.first = &store;
    store.thread.wake_fd = -1;
    grant.coarse_clock = flags & 1;
    if (sv_host_wasi.open(&err, &store, &grant, &state) < 0)
        abort();
    if (flags & 2)
        ((struct sv_wasi *)state)->resolver = SV_VFS_WALK;
    call.data = state;
    for (i = 0; i < CALLS_MAX && in.len > 0; i++) {
        const struct sv_host_func *f = &sv_host_wasi.funcs[take(&in, 1) % sv_host_wasi.nfuncs];
        size_t n = strcspn(f->sig, ":");
        union sv_slot slots[16];

        /* Nothing waits. */
        store.thread.deadline_ns = 1;
        atomic_store(&store.thread.interrupt, 0);
        for (j = 0; j < n; j++)
            slots[j].i64 = argument(&in);
        f->fn(&call, slots, slots);
        sv_trap_clear(&store.thread.trap);
    }
    sv_host_wasi.close(state);
    check_outside();
    return 0;
}
