/* wasm3-run FILE [ARG...]: runs a WASI command on the peer wasm3 (sources of the PyPI package
 * pywasm3, version 0.5.0), for bench/peers.py. Only the calls that the benchmark guests make.
 * Build: clang-22 -O3 -I pywasm3/wasm3 bench/wasm3-run.c pywasm3/wasm3/m3_*.c -lm */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "m3_env.h"
#include "wasm3.h"

static int guest_argc;
static char **guest_argv;

#define CALL(name)                                                                                 \
    static const void *name(IM3Runtime rt, IM3ImportContext ctx, uint64_t *sp, void *mem)
#define UNUSED (void)rt, (void)ctx, (void)sp, (void)mem
#define A(i) ((uint32_t)sp[1 + (i)]) /* sp[0] is the result */
#define M(i) ((char *)mem + A(i))
#define RET(v) (sp[0] = (uint64_t)(v), m3Err_none)

static uint32_t get32(const char *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}
static void put32(char *p, uint32_t v)
{
    memcpy(p, &v, 4);
}

CALL(fd_write)
{
    UNUSED;
    uint32_t n = 0;
    for (uint32_t i = 0; i < A(2); i++) {
        const char *v = M(1) + 8 * i;
        n += (uint32_t)write((int)A(0), (char *)mem + get32(v), get32(v + 4));
    }
    put32(M(3), n);
    return RET(0);
}
CALL(proc_exit)
{
    UNUSED;
    exit((int)(uint32_t)sp[0]);
}
CALL(args_sizes_get)
{
    UNUSED;
    size_t n = 0;
    for (int i = 0; i < guest_argc; i++)
        n += strlen(guest_argv[i]) + 1;
    put32(M(0), (uint32_t)guest_argc);
    put32(M(1), (uint32_t)n);
    return RET(0);
}
CALL(args_get)
{
    UNUSED;
    uint32_t at = A(1);
    for (int i = 0; i < guest_argc; i++) {
        put32(M(0) + 4 * i, at);
        memcpy((char *)mem + at, guest_argv[i], strlen(guest_argv[i]) + 1);
        at += (uint32_t)strlen(guest_argv[i]) + 1;
    }
    return RET(0);
}
CALL(two_zeros)
{
    UNUSED;
    put32(M(0), 0);
    put32(M(1), 0);
    return RET(0);
}
CALL(fdstat)
{
    UNUSED;
    memset(M(1), 0, 24);
    *M(1) = 2;
    return RET(A(0) > 2 ? 8 : 0);
}
CALL(clock_get)
{
    UNUSED;
    struct timespec t;
    clock_gettime(A(0) == 1 ? CLOCK_MONOTONIC : CLOCK_REALTIME, &t);
    uint64_t ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    memcpy((char *)mem + (uint32_t)sp[3], &ns, 8);
    return RET(0);
}
CALL(badf)
{
    UNUSED;
    return RET(8);
}

static int fail(const char *what)
{
    fprintf(stderr, "wasm3-run: %s\n", what);
    return 1;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name, *sig;
        M3RawCall fn;
    } calls[] = {
        {"fd_write", "i(i*i*)", fd_write},
        {"proc_exit", "v(i)", proc_exit},
        {"args_sizes_get", "i(**)", args_sizes_get},
        {"args_get", "i(**)", args_get},
        {"environ_sizes_get", "i(**)", two_zeros},
        {"environ_get", "i(**)", badf},
        {"fd_fdstat_get", "i(i*)", fdstat},
        {"fd_close", "i(i)", badf},
        {"fd_seek", "i(iIi*)", badf},
        {"fd_read", "i(i*i*)", badf},
        {"fd_prestat_get", "i(i*)", badf},
        {"fd_prestat_dir_name", "i(i*i)", badf},
        {"clock_time_get", "i(iI*)", clock_get},
        {"random_get", "i(*i)", badf},
    };
    if (argc < 2)
        return fail("usage: wasm3-run FILE [ARG...]");
    FILE *f = fopen(argv[1], "rb");
    if (!f)
        return fail("cannot open the module");
    fseek(f, 0, SEEK_END);
    long n = ftell(f);
    rewind(f);
    uint8_t *bytes = malloc((size_t)n);
    if (!bytes || fread(bytes, 1, (size_t)n, f) != (size_t)n)
        return fail("cannot read the module");
    fclose(f);
    guest_argc = argc - 1;
    guest_argv = argv + 1;

    IM3Runtime rt = m3_NewRuntime(m3_NewEnvironment(), 1 << 20, NULL);
    IM3Module module;
    IM3Function start;
    M3Result r = m3_ParseModule(rt->environment, &module, bytes, (uint32_t)n);
    if (!r)
        r = m3_LoadModule(rt, module);
    for (size_t i = 0; !r && i < sizeof calls / sizeof *calls; i++) {
        r = m3_LinkRawFunction(module, "wasi_snapshot_preview1", calls[i].name, calls[i].sig,
                               calls[i].fn);
        if (r == m3Err_functionLookupFailed)
            r = NULL;
    }
    if (!r)
        r = m3_FindFunction(&start, rt, "_start");
    if (!r)
        r = m3_Call(start, 0, NULL);
    return r ? fail(r) : 0;
}
