/* The grant: what was configured, copied; its life. Backends are backend.c's, models model.c's. */
#include "host/nn/grant.h"

#include "base/folder.h"
#include "base/library.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>

#define DEVICE_DEFAULT "cpu"
#define MODEL_BYTES_DEFAULT (UINT64_C(512) << 20)
#define TENSOR_BYTES_DEFAULT (UINT64_C(256) << 20)
#define CACHE_BYTES_DEFAULT (UINT64_C(1) << 30)
#define LINE_MAX 1024
#define ID_MAX 32

/* In order of preference: measured on the model that the project ships (doc/internals/nn.md). */
static const char *const known[] = {"openvino", "tensorflow", "litert", "onnxruntime"};

static char *copy(struct sv_nn *nn, const char *s)
{
    return s ? sv_arena_strndup(&nn->arena, s, strlen(s)) : NULL;
}

/* It becomes a part of a file's name. */
static bool id_ok(const char *id)
{
    size_t n = id ? strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789_-") : 0;

    return n > 0 && n <= ID_MAX && id[n] == '\0';
}

/* One of ours, whether it was built or not, or one that somebody put beside them. */
static bool is_known(const char *id)
{
    char name[ID_MAX + 8], path[SV_NN_PATH_MAX];

    for (size_t i = 0; i < SV_COUNT(known); i++)
        if (strcmp(known[i], id) == 0)
            return true;
    snprintf(name, sizeof name, "nn-%s.so", id);
    return sv_library_find(name, path, sizeof path);
}

static int copy_backends(struct sv_err *err, struct sv_nn *nn, const struct sv_nn_config *c)
{
    unsigned n = c->nbackends ? c->nbackends : (unsigned)SV_COUNT(known);

    if (n > SV_NN_BACKENDS_MAX)
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "more than %d backends", SV_NN_BACKENDS_MAX);
    nn->backends = sv_arena_array_zero(&nn->arena, n, sizeof *nn->backends);
    if (!nn->backends)
        return sv_fail_nomem(err, "backends");
    for (unsigned i = 0; i < n; i++) {
        const char *id = c->nbackends ? c->backends[i].id : known[i];
        const char *library = c->nbackends ? c->backends[i].library : NULL;
        struct sv_nn_backend *b = &nn->backends[i];

        if (!id_ok(id))
            return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "'%s' is not the name of a backend",
                           id ? id : "");
        for (unsigned k = 0; k < i; k++)
            if (strcmp(nn->backends[k].id, id) == 0)
                return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "backend '%s' is given twice", id);
        if (!is_known(id))
            return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET,
                           "there is no backend '%s': there are openvino, tensorflow, litert and "
                           "onnxruntime",
                           id);
        b->id = copy(nn, id);
        b->library = copy(nn, library);
        if (!b->id || (library && !b->library))
            return sv_fail_nomem(err, "backends");
    }
    nn->nbackends = n;
    return 0;
}

static int copy_models(struct sv_err *err, struct sv_nn *nn, const struct sv_nn_config *c)
{
    struct sv_nn_named *list = NULL;

    if (c->nmodels) {
        list = sv_arena_array_zero(&nn->arena, c->nmodels, sizeof *list);
        nn->named = sv_arena_array_zero(&nn->arena, c->nmodels, sizeof(struct sv_nn_model *));
        if (!list || !nn->named)
            return sv_fail_nomem(err, "names of models");
    }
    for (unsigned i = 0; i < c->nmodels; i++) {
        list[i].name = copy(nn, c->models[i].name);
        list[i].path = copy(nn, c->models[i].path);
        if (!list[i].name || !list[i].path)
            return sv_fail_nomem(err, "names of models");
    }
    nn->config.models = list;
    return 0;
}

static int copy_config(struct sv_err *err, struct sv_nn *nn, const struct sv_nn_config *c)
{
    struct sv_nn_config *to = &nn->config;
    char folder[SV_NN_PATH_MAX], *device;
    int r;

    *to = *c;
    to->backends = NULL;
    to->threads = c->threads ? c->threads : 1;
    to->model_bytes_max = c->model_bytes_max ? c->model_bytes_max : MODEL_BYTES_DEFAULT;
    to->tensor_bytes_max = c->tensor_bytes_max ? c->tensor_bytes_max : TENSOR_BYTES_DEFAULT;
    to->cache_bytes = c->cache_bytes ? c->cache_bytes : CACHE_BYTES_DEFAULT;
    device = copy(nn, c->device && *c->device ? c->device : DEVICE_DEFAULT);
    to->device = device;
    to->program = copy(nn, c->program);
    if (!device || (c->program && !to->program))
        return sv_fail_nomem(err, "inference");
    /* Libraries write CPU and GPU.0, and backends tell that in small letters. */
    sv_to_lower(device);
    if (!c->folder && sv_nn_folder(folder, sizeof folder))
        to->folder = folder;
    if (to->folder) {
        to->folder = copy(nn, to->folder);
        if (!to->folder)
            return sv_fail_nomem(err, "inference");
    }
    r = copy_backends(err, nn, c);
    return r ? r : copy_models(err, nn, c);
}

int sv_nn_new(struct sv_err *err, const struct sv_nn_config *c, own struct sv_nn **ret)
{
    static const struct sv_nn_config defaults = {0};
    struct sv_nn *nn = sv_alloc_zero(sizeof *nn);
    int r;

    if (!nn)
        return sv_fail_nomem(err, "inference");
    atomic_init(&nn->refs, 1);
    atomic_init(&nn->users, 1);
    sv_arena_init(&nn->arena, 0);
    r = copy_config(err, nn, c ? c : &defaults);
    if (r != 0) {
        sv_arena_release(&nn->arena);
        sv_free(nn);
        return r;
    }
    pthread_mutex_init(&nn->open_lock, NULL);
    pthread_mutex_init(&nn->log_lock, NULL);
    pthread_mutex_init(&nn->lock, NULL);
    sv_nn_workers_init(&nn->workers);
    pthread_mutex_init(&nn->children.lock, NULL);
    nn->workers.always = nn->config.isolate;
    nn->seed = sv_hash_seed();
    *ret = nn;
    return 0;
}

struct sv_nn *sv_nn_ref(struct sv_nn *nn)
{
    atomic_fetch_add_explicit(&nn->users, 1, memory_order_relaxed);
    return nn;
}

void sv_nn_unref(own struct sv_nn *nn)
{
    if (!nn || atomic_fetch_sub_explicit(&nn->users, 1, memory_order_acq_rel) != 1)
        return;
    sv_nn_children_end(&nn->children);
    sv_nn_drop(nn);
}

struct sv_nn *sv_nn_keep(struct sv_nn *nn)
{
    atomic_fetch_add_explicit(&nn->refs, 1, memory_order_relaxed);
    return nn;
}

void sv_nn_drop(own struct sv_nn *nn)
{
    if (atomic_fetch_sub_explicit(&nn->refs, 1, memory_order_acq_rel) != 1)
        return;
    sv_nn_workers_release(&nn->workers);
    sv_nn_models_release(nn);
    for (unsigned i = 0; i < nn->nbackends; i++)
        sv_nn_backend_close(&nn->backends[i]);
    pthread_mutex_destroy(&nn->open_lock);
    pthread_mutex_destroy(&nn->log_lock);
    pthread_mutex_destroy(&nn->lock);
    pthread_mutex_destroy(&nn->children.lock);
    sv_arena_release(&nn->arena);
    sv_free(nn);
}

bool sv_nn_folder(char *ret, size_t size)
{
    return sv_folder_of_user(SV_FOLDER_DATA, "ssvm/nn", ret, size);
}

void sv_nn_log(struct sv_nn *nn, const char *line)
{
    char safe[LINE_MAX];
    size_t n = 0;

    if (!nn->config.log)
        return;
    for (; *line && n < sizeof safe - 5; line++) {
        unsigned char b = (unsigned char)*line;

        if (b < ' ' || b == 0x7f)
            n += (size_t)snprintf(safe + n, sizeof safe - n, "\\x%02x", b);
        else
            safe[n++] = (char)b;
    }
    safe[n] = '\0';
    pthread_mutex_lock(&nn->log_lock);
    nn->config.log(nn->config.arg, safe);
    pthread_mutex_unlock(&nn->log_lock);
}
