/* Calls of host functions, as many as it is told to. Built with -nostdlib. */
#define EXPORT(name) __attribute__((export_name(#name)))
#define WASI(name, ...)                                                                            \
    __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name))) int name(         \
        __VA_ARGS__);

WASI(args_sizes_get, int, int)
WASI(args_get, int, int)
WASI(environ_sizes_get, int, int)
WASI(environ_get, int, int)
WASI(clock_res_get, int, int)
WASI(clock_time_get, int, long long, int)
WASI(fd_advise, int, long long, long long, int)
WASI(fd_close, int)
WASI(fd_datasync, int)
WASI(fd_fdstat_get, int, int)
WASI(fd_fdstat_set_flags, int, int)
WASI(fd_filestat_get, int, int)
WASI(fd_prestat_get, int, int)
WASI(fd_read, int, int, int, int)
WASI(fd_renumber, int, int)
WASI(fd_seek, int, long long, int, int)
WASI(fd_sync, int)
WASI(fd_tell, int, int)
WASI(fd_write, int, int, int, int)
WASI(random_get, int, int)
WASI(sched_yield, void)

static int area[256];
#define AREA ((int)area)

/* Each of the two as often as it says. */
EXPORT(ask) int ask(int times, int random)
{
    int sum = 0;

    for (int i = 0; i < times; i++)
        sum |= clock_time_get(1, 0, AREA);
    for (int i = 0; i < random; i++)
        sum |= random_get(AREA, 8);
    return sum;
}

/* 21 functions, once each; 99 is no descriptor. */
EXPORT(all) int all(void)
{
    args_sizes_get(AREA, AREA);
    args_get(AREA, AREA + 64);
    environ_sizes_get(AREA, AREA);
    environ_get(AREA, AREA + 64);
    clock_res_get(1, AREA);
    fd_advise(99, 0, 0, 0);
    fd_close(99);
    fd_datasync(99);
    fd_fdstat_get(99, AREA);
    fd_fdstat_set_flags(99, 0);
    fd_filestat_get(99, AREA);
    fd_prestat_get(99, AREA);
    fd_read(99, AREA, 0, AREA);
    fd_renumber(99, 98);
    fd_seek(99, 0, 0, AREA);
    fd_sync(99);
    fd_tell(99, AREA);
    fd_write(99, AREA, 0, AREA);
    sched_yield();
    return ask(1, 1);
}

EXPORT(fail) void fail(int times)
{
    ask(times, 0);
    __builtin_trap();
}
