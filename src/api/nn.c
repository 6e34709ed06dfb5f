/* Inference and pictures of ssvm.h: configuration, listing, and the host modules in a linker. What
 * they do is host/nn's and host/image's. */
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "base/buf.h"
#include "host/image/image.h"
#include "ssvm_nn.h"

#define CONFIG_MIN offsetof(ssvm_nn_config, start) /* of the first version */
#define IMAGE_CONFIG_MIN sizeof(ssvm_image_config)
#define CHOICES_MAX 16
#define LIST_MAX (1U << 20) /* bytes of a listing */

_Static_assert((int)SSVM_NN_TYPES_OLD == (int)SV_NN_TYPES_OLD, "public and internal enums agree");

/* A public ssvm_nn is the host's sv_nn. */
static struct sv_nn *inner(ssvm_nn *nn)
{
    return (struct sv_nn *)nn;
}

/* "NAME=LIBRARY,NAME" cut in place. */
static own ssvm_error *split(char *text, struct sv_nn_choice *ret, unsigned *ret_n)
{
    unsigned n = 0;

    for (char *next = text, *one; next;) {
        char *equals;

        one = next;
        next = strchr(one, ',');
        if (next)
            *next++ = '\0';
        if (n == CHOICES_MAX)
            return sv_api_error(SSVM_EUSAGE, "more than %d inference backends", CHOICES_MAX);
        equals = strchr(one, '=');
        if (equals)
            *equals++ = '\0';
        if (!*one || (equals && !*equals))
            return sv_api_error(
                SSVM_EUSAGE,
                "a list of inference backends has an empty part: NAME or NAME=LIBRARY, "
                "separated by commas");
        ret[n++] = (struct sv_nn_choice){.id = one, .library = equals};
    }
    *ret_n = n;
    return NULL;
}

own ssvm_error *ssvm_nn_new(const ssvm_nn_config *config, own ssvm_nn **ret)
{
    struct sv_nn_choice choices[CHOICES_MAX];
    ssvm_nn_config c = SSVM_NN_CONFIG_INIT;
    struct sv_nn_config inside = {0};
    struct sv_err err = {0};
    struct sv_nn *nn = NULL;
    struct sv_nn_named *models = NULL;
    ssvm_error *error = NULL;
    char *text = NULL;

    if (!ret)
        return sv_api_error(SSVM_EUSAGE, "ssvm_nn_new needs a place for the result");
    if (config && !sv_api_copy_sized(&c, sizeof c, config, CONFIG_MIN))
        return sv_api_error(SSVM_EUSAGE,
                            "ssvm_nn_config has a size that this library does not know");
    if (c.nmodels && !c.models)
        return sv_api_error(SSVM_EUSAGE, "ssvm_nn_config counts entries of a missing array");
    if ((unsigned)c.types > SSVM_NN_TYPES_OLD)
        return sv_api_error(SSVM_EUSAGE, "ssvm_nn_config numbers tensor types in no known way");
    if (c.nmodels > 0) {
        models = sv_alloc_array(c.nmodels, sizeof *models);
        if (!models)
            return sv_api_nomem();
    }
    for (size_t i = 0; i < c.nmodels; i++)
        models[i] = (struct sv_nn_named){c.models[i].name, c.models[i].path};
    inside.models = models;
    inside.nmodels = (unsigned)c.nmodels;
    if (c.backends && strcmp(c.backends, "auto") != 0) {
        text = sv_strdup(c.backends);
        error = text ? split(text, choices, &inside.nbackends) : sv_api_nomem();
        inside.backends = choices;
    }
    inside.device = c.device;
    inside.threads = c.threads;
    inside.model_bytes_max = c.model_bytes;
    inside.tensor_bytes_max = c.tensor_bytes;
    inside.cache_bytes = c.cache_bytes;
    inside.isolate = c.isolate;
    inside.program = c.program;
    inside.types = (enum sv_nn_types)c.types;
    inside.program = c.program;
    inside.folder = c.folder;
    inside.log = c.log;
    inside.arg = c.data;
    inside.starter = (struct sv_nn_starter){c.start, c.stop, c.start_data};
    if (!error && sv_nn_new(&err, &inside, &nn) < 0)
        error = sv_api_error_of(&err);
    sv_free(text);
    sv_free(models);
    if (!error)
        *ret = (ssvm_nn *)nn;
    return error;
}

void ssvm_nn_delete(own ssvm_nn *nn)
{
    sv_nn_unref(inner(nn));
}

bool ssvm_nn_folder(char *ret, size_t size)
{
    return ret && sv_nn_folder(ret, size);
}

/* ---- Listing ---- */

struct listing {
    struct sv_buf text;
    bool json;
    unsigned n;
};

static const struct {
    const char *name, *suffix;
} formats[SSVM_NN_FORMATS] = {
    [SSVM_NN_TENSORFLOW] = {"tensorflow", ".pb"},
    [SSVM_NN_TFLITE] = {"tflite", ".tflite"},
    [SSVM_NN_ONNX] = {"onnx", ".onnx"},
};

static void put_member(struct sv_buf *b, const char *name, const char *value)
{
    sv_buf_printf(b, ",\"%s\":", name);
    sv_buf_json_string(b, value, strlen(value));
}

static void put_json(struct listing *l, const struct sv_nn_found *f)
{
    bool first = true;

    sv_buf_puts(&l->text, l->n ? ",\n{\"backend\":" : "{\"backend\":");
    sv_buf_json_string(&l->text, f->id, strlen(f->id));
    put_member(&l->text, "title", f->title);
    sv_buf_puts(&l->text, ",\"formats\":[");
    for (unsigned i = 0; i < SSVM_NN_FORMATS; i++) {
        if (!(f->formats & 1U << i))
            continue;
        sv_buf_printf(&l->text, "%s\"%s\"", first ? "" : ",", formats[i].name);
        first = false;
    }
    sv_buf_printf(&l->text, "],\"usable\":%s", f->why_not[0] ? "false" : "true");
    put_member(&l->text, "version", f->version);
    put_member(&l->text, "devices", f->devices);
    put_member(&l->text, "library", f->path);
    put_member(&l->text, "why_not", f->why_not);
    sv_buf_putc(&l->text, '}');
}

static void put_text(struct listing *l, const struct sv_nn_found *f)
{
    sv_buf_printf(&l->text, "%-12s", f->id);
    for (unsigned i = 0; i < SSVM_NN_FORMATS; i++) {
        if (f->formats & 1U << i)
            sv_buf_printf(&l->text, " %s", formats[i].suffix);
    }
    if (f->why_not[0])
        sv_buf_printf(&l->text, "\n    %s\n", f->why_not);
    else
        sv_buf_printf(&l->text, "\n    %s, devices: %s\n    %s\n", f->version, f->devices,
                      f->path[0] ? f->path : "found by the loader's search path");
}

static void put_found(void *arg, const struct sv_nn_found *f)
{
    struct listing *l = arg;

    if (l->json)
        put_json(l, f);
    else
        put_text(l, f);
    l->n++;
}

own ssvm_error *ssvm_nn_list(ssvm_nn *nn, bool json, own char **ret)
{
    struct listing l = {.json = json};
    ssvm_error *error = NULL;
    char *text;

    if (!nn || !ret)
        return sv_api_error(SSVM_EUSAGE,
                            "ssvm_nn_list needs an ssvm_nn and a place for the result");
    sv_buf_init(&l.text, LIST_MAX);
    if (json)
        sv_buf_putc(&l.text, '[');
    sv_nn_list(inner(nn), put_found, &l);
    if (json)
        sv_buf_puts(&l.text, "]\n");
    text = l.text.failed ? NULL : sv_buf_take(&l.text, NULL);
    if (text)
        *ret = text;
    else
        error = sv_api_nomem();
    sv_buf_release(&l.text);
    return error;
}

own ssvm_error *ssvm_nn_open(ssvm_nn *nn)
{
    struct sv_err err = {0};

    if (!nn)
        return sv_api_error(SSVM_EUSAGE, "ssvm_nn_open needs an ssvm_nn");
    return sv_nn_open(&err, inner(nn)) < 0 ? sv_api_error_of(&err) : NULL;
}

/* ---- In a linker ---- */

const void *sv_api_host_grant(const struct sv_host_module *m, const struct sv_api_grants *g)
{
    if (m == &sv_host_image)
        return &g->image;
    if (m == &sv_host_threads)
        return &g->threads;
    if (m == &sv_host_tensorflow || m == &sv_host_tensorflowlite || m == &sv_host_wasi_nn)
        return g->nn;
    if (strcmp(m->id, "sockets") == 0)
        return &g->sockets;
    if (g->process && m == &g->process->module->host)
        return g->process;
    return strcmp(m->id, "storage") == 0 ? &g->storage : &g->state;
}

void sv_api_grants_copy(struct sv_api_grants *ret, const struct sv_api_grants *g)
{
    *ret = *g;
    if (g->nn)
        sv_nn_ref(g->nn);
    if (g->process)
        sv_process_ref(g->process);
}

void sv_api_grants_release(struct sv_api_grants *g)
{
    sv_nn_unref(g->nn);
    sv_process_unref(g->process);
}

own ssvm_error *sv_api_define_host(ssvm_linker *l, const struct sv_host_module *m)
{
    struct sv_api_host *h = &l->hosts[l->nhosts];
    struct sv_err err = {0};

    if (l->nhosts == SV_API_HOSTS_MAX)
        return sv_api_error(SSVM_EUSAGE, "too many host modules in this linker");
    h->module = m;
    if (sv_host_link(&err, l->linker, l->store->store, m, sv_api_host_grant(m, &l->grants),
                     &h->state) < 0)
        return sv_api_error_of(&err);
    l->nhosts++;
    return NULL;
}

own ssvm_error *ssvm_linker_define_nn(ssvm_linker *l, ssvm_nn *nn)
{
    static const struct sv_host_module *const modules[] = {
        &sv_host_tensorflow, &sv_host_tensorflowlite, &sv_host_wasi_nn};
    ssvm_error *error = NULL;

    if (!l || !nn)
        return sv_api_error(SSVM_EUSAGE, "ssvm_linker_define_nn needs a linker and an ssvm_nn");
    if (l->grants.nn)
        return sv_api_error(SSVM_EUSAGE, "inference is defined in this linker already");
    l->grants.nn = sv_nn_ref(inner(nn));
    for (size_t i = 0; i < SV_COUNT(modules) && !error; i++)
        error = sv_api_define_host(l, modules[i]);
    return error;
}

own ssvm_error *ssvm_linker_define_image(ssvm_linker *l, const ssvm_image_config *config)
{
    ssvm_image_config c = SSVM_IMAGE_CONFIG_INIT;

    if (!l)
        return sv_api_error(SSVM_EUSAGE, "ssvm_linker_define_image needs a linker");
    if (config && !sv_api_copy_sized(&c, sizeof c, config, IMAGE_CONFIG_MIN))
        return sv_api_error(SSVM_EUSAGE,
                            "ssvm_image_config has a size that this library does not know");
    for (uint32_t i = 0; i < l->nhosts; i++) {
        if (l->hosts[i].module == &sv_host_image)
            return sv_api_error(SSVM_EUSAGE, "pictures are defined in this linker already");
    }
    l->grants.image = (struct sv_image_grant){
        .max_side = c.max_side, .max_pixels = c.max_pixels, .log = c.log, .arg = c.data};
    return sv_api_define_host(l, &sv_host_image);
}
