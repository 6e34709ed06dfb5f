/* Random bytes of the kernel. Never waits: a machine that has just started and has none says so. */
#include <sys/random.h>

#include "host/wasi/vfs.h"

int sv_wasi_random_get(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    uint64_t len = arg[1].i32;
    uint8_t *p;

    (void)w;
    if (!sv_call_slice(c, arg[0].i32, len, &p))
        return SV_WASI_EFAULT;
    while (len > 0) {
        ssize_t n =
            getrandom(p, len < SV_WASI_RANDOM_CHUNK ? len : SV_WASI_RANDOM_CHUNK, GRND_NONBLOCK);
        if (!sv_thread_ok(c->th))
            return sv_thread_interrupted(c->th);
        if (n < 0 && errno != EINTR)
            return sv_wasi_errno(errno);
        if (n > 0) {
            p += n;
            len -= (uint64_t)n;
        }
    }
    return 0;
}
