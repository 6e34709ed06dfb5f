/* What filters of system calls (seccomp) are made of. Which calls a process may make is its own
 * affair: this knows those that no confined process of ours needs, and those that reach processes
 * and make them. */
#ifndef SV_BASE_FILTER_H
#define SV_BASE_FILTER_H

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define SV_FILTER_ARCH AUDIT_ARCH_X86_64
#define SV_FILTER_FOREIGN 0x40000000u /* x32 numbers, and what is above */
#else
#define SV_FILTER_ARCH AUDIT_ARCH_AARCH64
#define SV_FILTER_FOREIGN UINT32_MAX
#endif
#define SV_FILTER_ERRNO(e) (SECCOMP_RET_ERRNO | (e))
#define SV_FILTER_LOAD(field)                                                                      \
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define SV_FILTER_RETURN(v) BPF_STMT(BPF_RET | BPF_K, (v))
/* Skip `n` when the value is k, or is not. */
#define SV_FILTER_SKIP_IF(k, n) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (k), (n), 0)
#define SV_FILTER_SKIP_UNLESS(k, n) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (k), 0, (n))

struct sv_filter {
    struct sock_filter code[512]; /* the lists are ours, and shorter */
    unsigned short len;
};

static inline void sv_filter_add(struct sv_filter *f, const struct sock_filter *code, size_t n)
{
    memcpy(f->code + f->len, code, n * sizeof *code);
    f->len = (unsigned short)(f->len + n);
}
#define SV_FILTER_ADD(f, ...)                                                                      \
    sv_filter_add((f), (const struct sock_filter[]){__VA_ARGS__},                                  \
                  sizeof((const struct sock_filter[]){__VA_ARGS__}) / sizeof(struct sock_filter))

/* Calls of another architecture end the process, numbers of another ABI fail. The number is loaded.
 */
static inline void sv_filter_begin(struct sv_filter *f)
{
    f->len = 0;
    SV_FILTER_ADD(f, SV_FILTER_LOAD(arch), SV_FILTER_SKIP_IF(SV_FILTER_ARCH, 1),
                  SV_FILTER_RETURN(SECCOMP_RET_KILL_PROCESS), SV_FILTER_LOAD(nr),
                  BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, SV_FILTER_FOREIGN, 0, 1),
                  SV_FILTER_RETURN(SV_FILTER_ERRNO(EPERM)));
}

/* Each of these calls has this result. */
static inline void sv_filter_list(struct sv_filter *f, const int *calls, size_t n, uint32_t result)
{
    for (size_t i = 0; i < n; i++)
        SV_FILTER_ADD(f, SV_FILTER_SKIP_UNLESS((uint32_t)calls[i], 1), SV_FILTER_RETURN(result));
}

/* What leads to the network, to other processes' memory and descriptors, to other files, or far
 * into the kernel fails with EPERM: no process that is confined needs it. */
static inline void sv_filter_refuse(struct sv_filter *f)
{
    static const int calls[] = {SYS_ptrace,
                                SYS_process_vm_readv,
                                SYS_process_vm_writev,
                                SYS_pidfd_getfd,
                                SYS_kcmp,
                                SYS_socket,
                                SYS_connect,
                                SYS_bind,
                                SYS_listen,
                                SYS_io_uring_setup,
                                SYS_bpf,
                                SYS_perf_event_open,
                                SYS_userfaultfd,
                                SYS_add_key,
                                SYS_request_key,
                                SYS_keyctl,
                                SYS_mount,
                                SYS_umount2,
                                SYS_pivot_root,
                                SYS_chroot,
                                SYS_unshare,
                                SYS_setns,
                                SYS_open_by_handle_at,
                                SYS_shmget,
                                SYS_shmat,
                                SYS_msgget,
                                SYS_semget,
                                SYS_mq_open};

    sv_filter_list(f, calls, sizeof calls / sizeof calls[0], SV_FILTER_ERRNO(EPERM));
}

/* What makes processes, or signals others in ways that sv_filter_own_only does not look at, fails
 * with EPERM. */
static inline void sv_filter_alone(struct sv_filter *f)
{
    static const int calls[] = {
#ifdef SYS_fork
        SYS_fork,   SYS_vfork,
#endif
        SYS_execve, SYS_execveat, SYS_pidfd_send_signal, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo,
        SYS_tkill};

    sv_filter_list(f, calls, sizeof calls / sizeof calls[0], SV_FILTER_ERRNO(EPERM));
}

/* kill, tgkill and prlimit64 are allowed when their first argument is this process (or 0 where that
 * means the same), else they fail. */
static inline void sv_filter_own_only(struct sv_filter *f)
{
    static const int calls[] = {SYS_kill, SYS_tgkill, SYS_prlimit64};
    uint32_t self = (uint32_t)getpid();

    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        SV_FILTER_ADD(f, SV_FILTER_SKIP_UNLESS((uint32_t)calls[i], 5), SV_FILTER_LOAD(args[0]),
                      SV_FILTER_SKIP_IF(self, 2), SV_FILTER_SKIP_IF(0, 1),
                      SV_FILTER_RETURN(SV_FILTER_ERRNO(EPERM)),
                      SV_FILTER_RETURN(SECCOMP_RET_ALLOW));
}

/* Threads, but no processes; every call that is left has the result `rest`. clone3's flags are in
 * memory: libc takes clone when it is not there. */
static inline void sv_filter_end(struct sv_filter *f, uint32_t rest)
{
    SV_FILTER_ADD(f, SV_FILTER_SKIP_UNLESS(SYS_clone3, 1),
                  SV_FILTER_RETURN(SV_FILTER_ERRNO(ENOSYS)), SV_FILTER_SKIP_UNLESS(SYS_clone, 4),
                  SV_FILTER_LOAD(args[0]), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 1, 0),
                  SV_FILTER_RETURN(SV_FILTER_ERRNO(EPERM)), SV_FILTER_RETURN(SECCOMP_RET_ALLOW),
                  SV_FILTER_RETURN(rest));
}

/* For good, for this process and its threads to come. True where the system has no filters, too. */
static inline bool sv_filter_enter(struct sv_filter *f)
{
    struct sock_fprog program = {.filter = f->code, .len = f->len};

    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0 || errno == ENOSYS ||
           errno == EINVAL;
}

#endif
