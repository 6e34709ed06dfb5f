/* The map of native code that perf(1) reads, /tmp/perf-PID.map: "START SIZE NAME" for each function
 * of the images in use. Addresses are told only to who asks, in a file for this user alone. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/gdb.h"
#include "api/tier.h"
#include "base/buf.h"

#define MAP_MAX (256u << 20) /* bytes for one image */

own ssvm_error *sv_perf_map_open(int *ret_fd)
{
    char path[64];
    int fd;

    snprintf(path, sizeof path, "/tmp/perf-%d.map", (int)getpid());
    /* perf looks only there, where others can put files too: never into one that is there. */
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return sv_api_error(SSVM_EIO, "the perf map '%s' cannot be made: %s", path,
                            strerror(errno));
    *ret_fd = fd;
    return NULL;
}

static int by_place(const void *a, const void *b)
{
    const struct sv_native_begin *x = a, *y = b;

    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return x->func < y->func ? -1 : x->func > y->func;
}

size_t sv_native_begins(const struct sv_native *n, struct sv_native_begin *ret)
{
    size_t count = 0;

    for (uint32_t i = 0; i < n->nfuncs; i++) {
        if (n->entry[i])
            ret[count++] =
                (struct sv_native_begin){n->entry[i], sv_native_has(n, i) ? i : UINT32_MAX};
        if (n->thunk[i])
            ret[count++] = (struct sv_native_begin){n->thunk[i], UINT32_MAX};
    }
    qsort(ret, count, sizeof *ret, by_place);
    ret[count++] = (struct sv_native_begin){n->text_len, UINT32_MAX};
    return count;
}

static void print_map(struct sv_buf *b, const struct sv_module *m, const struct sv_native *n,
                      enum sv_native_kind kind, const struct sv_native_begin *begins, size_t count)
{
    /* Thunks and stubs only end what lies in front of them. */
    for (size_t i = 0; i + 1 < count; i++) {
        uint32_t end = begins[i + 1].at;

        if (begins[i].func == UINT32_MAX || end <= begins[i].at || end > n->text_len)
            continue;
        sv_buf_printf(b, "%lx %x ", (unsigned long)(uintptr_t)(n->text + begins[i].at),
                      (unsigned)(end - begins[i].at));
        sv_api_print_func(b, m, begins[i].func);
        sv_buf_puts(b, kind == SV_NATIVE_LOOP ? " (loop)\n" : "\n");
    }
}

void sv_perf_map_add(struct sv_tier *t, const struct sv_module *m, const struct sv_native *n,
                     enum sv_native_kind kind)
{
    struct sv_native_begin *begins;
    struct sv_buf b;
    size_t at = 0;

    if (t->perf_fd < 0)
        return;
    begins = sv_alloc_array((size_t)n->nfuncs * 2 + 1, sizeof *begins);
    if (!begins)
        return;
    sv_buf_init(&b, MAP_MAX);
    print_map(&b, m, n, kind, begins, sv_native_begins(n, begins));
    sv_free(begins);
    pthread_mutex_lock(&t->lock);
    while (!b.failed && at < b.len) {
        ssize_t r = write(t->perf_fd, b.data + at, b.len - at);

        if (r < 0 && errno != EINTR)
            break;
        at += r > 0 ? (size_t)r : 0;
    }
    pthread_mutex_unlock(&t->lock);
    sv_buf_release(&b);
}

void sv_api_print_func(struct sv_buf *b, const struct sv_module *m, uint32_t func)
{
    struct sv_str name = sv_module_func_name(m, func);

    if (!name.len)
        sv_buf_printf(b, "function %u", func);
    for (size_t i = 0, step; i < name.len; i += step) {
        const unsigned char *c = (const unsigned char *)name.ptr + i;

        step = sv_utf8_len(c, name.len - i);
        /* C1 controls are c2 80 to c2 9f; ef bf be and ef bf bf are not characters. */
        if (step == 0 || *c < 0x20 || *c == 0x7f || (*c == 0xc2 && c[1] < 0xa0) ||
            (*c == 0xef && c[1] == 0xbf && c[2] >= 0xbe)) {
            sv_buf_putc(b, '?');
            step = step ? step : 1;
        } else {
            sv_buf_append(b, c, step);
        }
    }
}
