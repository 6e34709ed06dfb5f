/* Backends: finding a plugin and the library that it opens, and the list of them. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <dlfcn.h>

#include "base/library.h"
#include "host/nn/grant.h"
#include "host/nn/isolate.h"

/* Where the library is: as configured, else what `ssvm nn install` unpacked, else nowhere in
 * particular. */
static void find_library(const struct sv_nn *nn, struct sv_nn_backend *b)
{
    struct stat st;
    int n;

    b->path[0] = '\0';
    if (b->library) {
        snprintf(b->path, sizeof b->path, "%s", b->library);
    } else if (nn->config.folder) {
        n = snprintf(b->path, sizeof b->path, "%s/%s", nn->config.folder, b->id);
        if (n < 0 || (size_t)n >= sizeof b->path || stat(b->path, &st) != 0)
            b->path[0] = '\0';
    }
}

static int open_plugin(struct sv_err *err, struct sv_nn_backend *b)
{
    char name[SV_NN_PATH_MAX];
    ssvm_nn_backend_fn *fn;
    void *library, *symbol;
    int r;

    snprintf(name, sizeof name, "nn-%s.so", b->id);
    r = sv_library_open(err, name, NULL, &library);
    if (r != 0)
        return r;
    symbol = dlsym(library, SSVM_NN_SYMBOL);
    if (!symbol)
        return sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "%s is not a backend: it lacks '%s'", name,
                       SSVM_NN_SYMBOL);
    memcpy(&fn, &symbol, sizeof fn);
    b->plugin = fn();
    if (b->plugin->abi != SSVM_NN_ABI) {
        r = sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET,
                    "%s is of another version: its interface is %u, ours is %u", name,
                    b->plugin->abi, SSVM_NN_ABI);
        b->plugin = NULL;
    }
    return r;
}

/* Stays opened to the end: libraries leave threads behind that run its code. */
static int open_library(struct sv_err *err, struct sv_nn *nn, struct sv_nn_backend *b)
{
    struct ssvm_nn_options o = {
        .size = sizeof o, .device = nn->config.device, .threads = nn->config.threads};
    char error[SSVM_NN_ERROR_MAX] = "";

    find_library(nn, b);
    o.library = b->path[0] ? b->path : NULL;
    if (nn->config.isolate) {
        int r = sv_nn_isolate(err, b->plugin, b->id, &nn->config, &o, &nn->children, &b->isolated,
                              &b->lib);

        if (r == 0)
            b->plugin = &b->isolated;
        return r;
    }
    if (b->plugin->open(&o, error, &b->lib) == 0)
        return 0;
    error[sizeof error - 1] = '\0';
    return sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "%s cannot be used: %s", b->plugin->title,
                   error[0] ? error : "it does not say why");
}

int sv_nn_backend_open(struct sv_err *err, struct sv_nn *nn, struct sv_nn_backend *b,
                       uint32_t formats)
{
    struct sv_err why = {0};
    bool wanted = true;
    int r = 0;

    pthread_mutex_lock(&nn->open_lock);
    if (b->state == SV_NN_UNTRIED) {
        r = open_plugin(&why, b);
        b->state = r == 0 ? SV_NN_PLUGIN : SV_NN_FAILED;
    }
    if (b->plugin)
        wanted = (b->plugin->formats & formats) != 0;
    if (b->state == SV_NN_PLUGIN && wanted) {
        r = open_library(&why, nn, b);
        if (r != SV_ELIMIT)
            b->state = r == 0 ? SV_NN_OPEN : SV_NN_FAILED;
    }
    if (r != 0)
        snprintf(b->why_not, sizeof b->why_not, "%.*s", (int)sizeof b->why_not - 1, why.text);
    if (!wanted)
        r = sv_fail(err, SV_ETYPE, SV_NO_OFFSET, "%s does not read such models", b->plugin->title);
    else if (b->state != SV_NN_OPEN)
        r = sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "%s", b->why_not);
    pthread_mutex_unlock(&nn->open_lock);
    return r;
}

static int open_checker(struct sv_err *err, const struct sv_nn_checker **ret)
{
    static const char name[] = "nn-check.so";
    const struct sv_nn_checker *checker;
    void *library;
    int r = sv_library_open(err, name, NULL, &library);

    if (r != 0)
        return r;
    checker = dlsym(library, SV_NN_CHECKER_SYMBOL);
    if (!checker || checker->version != SV_NN_CHECKER_VERSION ||
        checker->err_size != sizeof(struct sv_err))
        return sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "%s is of another version of ssvm", name);
    *ret = checker;
    return 0;
}

int sv_nn_checker_get(struct sv_err *err, struct sv_nn *nn, const struct sv_nn_checker **ret)
{
    int r;

    /* Two threads may do it at once: both open the same. */
    *ret = atomic_load_explicit(&nn->checker, memory_order_acquire);
    if (*ret)
        return 0;
    r = open_checker(err, ret);
    if (r == 0)
        atomic_store_explicit(&nn->checker, *ret, memory_order_release);
    return r;
}

void sv_nn_backend_close(struct sv_nn_backend *b)
{
    if (b->state == SV_NN_OPEN)
        b->plugin->close(b->lib);
}

int sv_nn_open(struct sv_err *err, struct sv_nn *nn)
{
    char why[SV_ERR_TEXT_MAX];
    size_t len = 0;

    for (unsigned i = 0; i < nn->nbackends; i++) {
        struct sv_err here = {0};

        if (sv_nn_backend_open(&here, nn, &nn->backends[i], UINT32_MAX) == 0)
            return 0;
        if (len < sizeof why)
            len += (size_t)snprintf(why + len, sizeof why - len, "%s%s", i ? "; " : "", here.text);
    }
    return sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "no backend can be used: %s", len ? why : "");
}

void sv_nn_list(struct sv_nn *nn, void (*each)(void *arg, const struct sv_nn_found *), void *arg)
{
    for (unsigned i = 0; i < nn->nbackends; i++) {
        struct sv_nn_backend *b = &nn->backends[i];
        struct sv_nn_found f = {.id = b->id, .title = b->id};
        char error[SSVM_NN_ERROR_MAX] = "";
        bool usable = sv_nn_backend_open(NULL, nn, b, UINT32_MAX) == 0;

        if (b->plugin) {
            f.title = b->plugin->title;
            f.formats = b->plugin->formats;
        }
        snprintf(f.path, sizeof f.path, "%.*s", (int)sizeof f.path - 1, b->path);
        snprintf(f.why_not, sizeof f.why_not, "%.*s", (int)sizeof f.why_not - 1, b->why_not);
        if (usable) {
            snprintf(f.version, sizeof f.version, "%s", b->plugin->version(b->lib));
            if (b->plugin->devices(b->lib, error, f.devices, sizeof f.devices) != 0)
                snprintf(f.why_not, sizeof f.why_not, "its devices cannot be listed: %.400s",
                         error);
        }
        each(arg, &f);
    }
}
