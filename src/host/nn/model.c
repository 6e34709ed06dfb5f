/* Models: found by their bytes or loaded by the first backend that reads them, kept while there is
 * room, and their idle sessions. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "host/nn/check.h"
#include "host/nn/grant.h"

/* A print is made of so many pieces from places that nobody outside knows. */
#define PRINT_PIECES 64
#define PRINT_PIECE ((size_t)64)
/* Models of one print that are compared byte by byte; beyond them it is taken for a new one. */
#define SAME_PRINT_MAX 4

const char *sv_nn_format_text(enum ssvm_nn_format f)
{
    static const char *const texts[SSVM_NN_FORMATS] = {"TensorFlow graph", "TensorFlow Lite model",
                                                       "ONNX model"};

    return texts[f];
}

static const struct {
    int32_t type;
    uint32_t size;
    const char *text;
} types[] = {
    {SSVM_NN_F32, 4, "f32"}, {SSVM_NN_F64, 8, "f64"},   {SSVM_NN_I32, 4, "i32"},
    {SSVM_NN_U8, 1, "u8"},   {SSVM_NN_I16, 2, "i16"},   {SSVM_NN_I8, 1, "i8"},
    {SSVM_NN_I64, 8, "i64"}, {SSVM_NN_BOOL, 1, "bool"}, {SSVM_NN_U16, 2, "u16"},
    {SSVM_NN_F16, 2, "f16"}, {SSVM_NN_U32, 4, "u32"},   {SSVM_NN_U64, 8, "u64"},
};

const char *sv_nn_type_text(int32_t type)
{
    for (size_t i = 0; i < SV_COUNT(types); i++)
        if (types[i].type == type)
            return types[i].text;
    return "?";
}

size_t sv_nn_type_size(int32_t type)
{
    for (size_t i = 0; i < SV_COUNT(types); i++)
        if (types[i].type == type)
            return types[i].size;
    return 0;
}

bool sv_nn_tensor_len(int32_t type, const int64_t *dims, uint32_t rank, size_t *ret)
{
    size_t len = sv_nn_type_size(type);

    if (len == 0 || rank > SSVM_NN_RANK_MAX)
        return false;
    for (uint32_t i = 0; i < rank; i++)
        if (dims[i] < 0 || (uint64_t)dims[i] > SIZE_MAX || !sv_mul_size(len, (size_t)dims[i], &len))
            return false;
    *ret = len;
    return true;
}

/* ---- Their life ---- */

static void model_delete(own struct sv_nn_model *m)
{
    const struct ssvm_nn_backend *plugin = m->backend ? m->backend->plugin : NULL;

    for (uint32_t i = 0; i < m->nidle; i++)
        plugin->session_delete(m->idle[i]);
    if (m->model)
        plugin->unload(m->model);
    sv_free(m->inputs.list);
    sv_free(m->outputs.list);
    sv_nn_data_delete(m->bytes);
    sv_free(m);
}

static uint64_t bytes_of(const struct sv_nn_model *m)
{
    return (uint64_t)m->len + m->cost;
}

/* With the lock held. */
static void unlist(struct sv_nn *nn, struct sv_nn_model *m)
{
    struct sv_nn_model **at = &nn->models;

    if (!m->listed)
        return;
    while (*at != m)
        at = &(*at)->next;
    *at = m->next;
    m->listed = false;
    nn->nmodels--;
    sv_nn_origin_drop(nn, m);
    nn->cached -= bytes_of(m);
}

/* With the lock held: those that were used the longest time ago and that nobody has, while there
 * are too many, or too many bytes. Returned linked, for model_delete outside of the lock. */
static own struct sv_nn_model *trim(struct sv_nn *nn)
{
    struct sv_nn_model *gone = NULL;

    while (nn->cached > nn->config.cache_bytes || nn->nmodels > SV_NN_MODELS_MAX) {
        struct sv_nn_model *oldest = NULL;

        for (struct sv_nn_model *m = nn->models; m; m = m->next)
            if (m->refs == 0)
                oldest = m;
        if (!oldest)
            break;
        unlist(nn, oldest);
        oldest->next = gone;
        gone = oldest;
    }
    return gone;
}

static void delete_all(own struct sv_nn_model *m)
{
    struct sv_nn_model *next;

    for (; m; m = next) {
        next = m->next;
        model_delete(m);
    }
}

struct sv_nn_model *sv_nn_model_ref(struct sv_nn_model *m)
{
    pthread_mutex_lock(&m->nn->lock);
    m->refs++;
    pthread_mutex_unlock(&m->nn->lock);
    return m;
}

void sv_nn_model_unref(own struct sv_nn_model *m)
{
    struct sv_nn_model *gone = NULL;
    struct sv_nn *nn;

    if (!m)
        return;
    nn = m->nn;
    pthread_mutex_lock(&nn->lock);
    if (--m->refs == 0) {
        if (m->listed) {
            gone = trim(nn);
        } else {
            m->next = NULL;
            gone = m;
        }
    }
    pthread_mutex_unlock(&nn->lock);
    delete_all(gone);
}

void sv_nn_models_release(struct sv_nn *nn)
{
    sv_nn_origin_drop(nn, NULL);
    delete_all(nn->models);
    nn->models = NULL;
    sv_nn_data_release(nn);
}

/* ---- Loading ---- */

struct load {
    struct sv_nn_job job;
    struct sv_nn *nn;          /* a reference */
    struct sv_nn_model *model; /* a reference */
};

static int read_ports(struct sv_err *err, struct sv_nn_model *m, int output,
                      struct sv_nn_ports *ret)
{
    SV_VEC(struct sv_nn_port) list = {0};
    struct sv_nn_port p;

    for (uint32_t i = 0; i < SV_NN_PORTS_MAX; i++) {
        memset(&p, 0, sizeof p);
        if (m->backend->plugin->describe(m->model, output, i, &p.port, &p.tensor) != 0)
            break;
        p.port.name[SSVM_NN_NAME_MAX - 1] = '\0';
        if (!SV_VEC_PUSH(&list, SV_NN_PORTS_MAX, p)) {
            sv_free(list.data);
            return sv_fail_nomem(err, "model");
        }
    }
    ret->list = list.data;
    ret->n = (uint32_t)list.len;
    return 0;
}

/* The first backend that takes it. The last one's words are the error; what others said before that
 * is in the log. */
/* One more line of `len` bytes of them, as far as there is room. Their length. */
static size_t add_line(struct sv_err *to, size_t len, const char *line)
{
    size_t room = sizeof to->text - 2 - len, n = strnlen(line, room);

    memcpy(to->text + len, line, n);
    return n < room ? len + n + 1 : len + room;
}

/* The first that takes it. Why others did not: m->why_not, or err. */
static int load_by_any(struct sv_err *err, struct sv_nn *nn, struct sv_nn_model *m)
{
    struct sv_err why = {0};
    char error[SSVM_NN_ERROR_MAX];
    size_t len = 0;

    for (unsigned i = 0; i < nn->nbackends; i++) {
        struct sv_nn_backend *b = &nn->backends[i];
        struct sv_err here = {0};

        if (sv_nn_backend_open(&here, nn, b, 1u << m->format) == 0) {
            error[0] = '\0';
            if (b->plugin->load(b->lib, m->format, m->bytes, m->len, error, &m->model, &m->cost) ==
                0) {
                m->backend = b;
                why.code = 0;
                m->why_not = why;
                return 0;
            }
            m->model = NULL;
            error[sizeof error - 1] = '\0';
            sv_fail(&here, SV_EINVALID, SV_NO_OFFSET, "%s refuses the %s: %s", b->plugin->title,
                    sv_nn_format_text(m->format), error);
        }
        if (here.code == SV_ETYPE)
            continue;
        why.code = here.code;
        len = add_line(&why, len, here.text);
    }
    if (!why.code)
        return sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "no backend reads a %s",
                       sv_nn_format_text(m->format));
    *err = why;
    return why.code;
}

/* With the lock held. */
static void wake_waiters(struct sv_nn_model *m)
{
    static const uint64_t one = 1;

    for (struct sv_nn_waiter *w = m->waiters; w; w = w->next)
        if (w->fd >= 0 && write(w->fd, &one, sizeof one) < 0)
            continue; /* full: it is readable already */
}

static void load_end(struct sv_nn_model *m, const struct sv_err *why)
{
    struct sv_nn *nn = m->nn;
    struct sv_nn_model *gone = NULL;

    pthread_mutex_lock(&nn->lock);
    if (m->state == SV_NN_LOADING) {
        m->state = why ? SV_NN_BROKEN : SV_NN_READY;
        if (why) {
            unlist(nn, m);
            m->why_not = *why;
        } else {
            nn->cached += m->cost;
            gone = trim(nn);
        }
        wake_waiters(m);
    }
    pthread_mutex_unlock(&nn->lock);
    delete_all(gone);
}

static void load_run(struct sv_nn_job *job)
{
    struct load *l = (struct load *)job;
    struct sv_nn_model *m = l->model;
    const struct sv_nn_checker *checker;
    struct sv_err err = {0};
    size_t cost;
    int r = sv_nn_checker_get(&err, l->nn, &checker);

    if (r == 0)
        r = checker->check(&err, m->format, m->bytes, m->len);
    if (r == 0)
        r = load_by_any(&err, l->nn, m);
    cost = m->cost;
    m->cost = 0; /* until it is ready, it counts with its bytes */
    if (r == 0)
        r = read_ports(&err, m, 0, &m->inputs);
    if (r == 0)
        r = read_ports(&err, m, 1, &m->outputs);
    m->cost = r == 0 ? cost : 0;
    load_end(m, r == 0 ? NULL : &err);
}

static void load_release(struct sv_nn_job *job)
{
    static const struct sv_err given_up = {.code = SV_ELIMIT, .text = "loading was given up"};
    struct load *l = (struct load *)job;

    load_end(l->model, &given_up); /* nothing where it was begun */
    sv_nn_model_unref(l->model);
    sv_nn_drop(l->nn);
    sv_free(l);
}

static int load_now(struct sv_err *err, struct sv_thread *th, struct sv_nn_model *m)
{
    struct load *l = sv_alloc_zero(sizeof *l);
    int r;

    if (!l) {
        static const struct sv_err nomem = {.code = SV_ENOMEM, .text = "out of memory for a model"};

        load_end(m, &nomem);
        return 0; /* told by the model's state */
    }
    sv_nn_job_init(&l->job, load_run, NULL, load_release);
    l->nn = sv_nn_keep(m->nn);
    l->model = sv_nn_model_ref(m);
    r = sv_nn_job_wait(err, &m->nn->workers, th, &l->job);
    sv_nn_job_unref(&l->job);
    return r;
}

/* ---- Finding ---- */

static uint64_t print_of(const struct sv_nn *nn, const uint8_t *bytes, size_t len)
{
    uint64_t h = sv_hash_seeded(&len, sizeof len, nn->seed);
    size_t piece = len < PRINT_PIECE ? len : PRINT_PIECE;

    for (unsigned i = 0; i < PRINT_PIECES; i++)
        h = sv_hash_seeded(bytes + h % (len - piece + 1), piece, h);
    return h;
}

/* A reference to the model of these very bytes; NULL: there is none. *ret_generation: of the list
 * that was searched. */
static struct sv_nn_model *find(struct sv_nn *nn, const uint8_t *bytes, size_t len, uint64_t print,
                                uint64_t *ret_generation)
{
    struct sv_nn_model *same[SAME_PRINT_MAX], *found = NULL;
    unsigned n = 0;

    pthread_mutex_lock(&nn->lock);
    for (struct sv_nn_model *m = nn->models; m && n < SAME_PRINT_MAX; m = m->next)
        if (m->len == len && m->print == print) {
            m->refs++;
            same[n++] = m;
        }
    *ret_generation = nn->generation;
    pthread_mutex_unlock(&nn->lock);
    for (unsigned i = 0; i < n; i++)
        if (!found && memcmp(same[i]->bytes, bytes, len) == 0)
            found = same[i];
        else
            sv_nn_model_unref(same[i]);
    return found;
}

static own struct sv_nn_model *model_new(struct sv_nn *nn, const uint8_t *bytes, size_t len,
                                         uint64_t print, enum ssvm_nn_format format)
{
    struct sv_nn_model *m = sv_alloc_zero(sizeof *m);

    if (!m)
        return NULL;
    m->nn = nn;
    m->bytes = sv_nn_data_new(len);
    if (!m->bytes) {
        sv_free(m);
        return NULL;
    }
    memcpy(m->bytes, bytes, len);
    m->len = len;
    m->print = print;
    m->format = format;
    m->refs = 1;
    return m;
}

/* Add it to the list. False: somebody else has added one since. */
static bool list(struct sv_nn *nn, struct sv_nn_model *m, uint64_t generation)
{
    bool ok;

    pthread_mutex_lock(&nn->lock);
    ok = nn->generation == generation;
    if (ok) {
        nn->generation++;
        m->listed = true;
        m->next = nn->models;
        nn->models = m;
        nn->nmodels++;
        nn->cached += bytes_of(m);
    }
    pthread_mutex_unlock(&nn->lock);
    return ok;
}

/* It was used: the first of the list. `image`: where it was found; may be NULL. */
static void touch(struct sv_nn *nn, struct sv_nn_model *m, struct sv_data_image *image,
                  const struct sv_nn_bytes *b)
{
    pthread_mutex_lock(&nn->lock);
    if (m->listed && nn->models != m) {
        struct sv_nn_model **at = &nn->models;

        while (*at != m)
            at = &(*at)->next;
        *at = m->next;
        m->next = nn->models;
        nn->models = m;
    }
    if (m->listed && image)
        sv_nn_origin_add(nn, image, b, m);
    pthread_mutex_unlock(&nn->lock);
}

/* By where the guest has it. *ret_image: of which it is a part, NULL where that is not known. */
static struct sv_nn_model *find_origin(struct sv_nn *nn, const struct sv_nn_bytes *b,
                                       struct sv_data_image **ret_image)
{
    struct sv_nn_model *m = NULL;

    *ret_image = sv_nn_origin_of(b);
    if (!*ret_image)
        return NULL;
    pthread_mutex_lock(&nn->lock);
    m = sv_nn_origin_find(nn, *ret_image, b);
    if (m)
        m->refs++;
    pthread_mutex_unlock(&nn->lock);
    return m;
}

/* By its bytes, or made and listed: *ret_new. */
static int find_or_list(struct sv_err *err, struct sv_nn *nn, const struct sv_nn_bytes *b,
                        enum ssvm_nn_format format, struct sv_nn_model **ret, bool *ret_new)
{
    uint64_t print = print_of(nn, b->ptr, b->len), generation;
    struct sv_nn_model *m, *made = NULL;

    for (;;) {
        m = find(nn, b->ptr, b->len, print, &generation);
        if (m)
            break;
        if (!made)
            made = model_new(nn, b->ptr, b->len, print, format);
        if (!made)
            return sv_fail_nomem(err, "model");
        if (list(nn, made, generation))
            break;
    }
    *ret_new = !m;
    if (m && made)
        model_delete(made);
    *ret = m ? m : made;
    return 0;
}

static bool loaded(void *arg)
{
    struct sv_nn_model *m = arg;
    bool is;

    pthread_mutex_lock(&m->nn->lock);
    is = m->state != SV_NN_LOADING;
    pthread_mutex_unlock(&m->nn->lock);
    return is;
}

/* For another thread that loads it. */
static int wait_loaded(struct sv_thread *th, struct sv_nn_model *m)
{
    struct sv_nn_waiter w = {.fd = -1}, **at;
    int r;

    if (loaded(m))
        return 0;
    w.fd = sv_thread_wake_fd(th);
    pthread_mutex_lock(&m->nn->lock);
    w.next = m->waiters;
    m->waiters = &w;
    pthread_mutex_unlock(&m->nn->lock);
    r = sv_nn_wait(th, loaded, m, NULL);
    pthread_mutex_lock(&m->nn->lock);
    for (at = &m->waiters; *at != &w;)
        at = &(*at)->next;
    *at = w.next;
    pthread_mutex_unlock(&m->nn->lock);
    return r;
}

/* What the guest says they are, and what they are. */
static int check_format(struct sv_err *err, int says, enum ssvm_nn_format is)
{
    if (says < 0 || (int)is == says)
        return 0;
    return sv_fail(err, SV_ETYPE, SV_NO_OFFSET, "the bytes are a %s, not a %s",
                   sv_nn_format_text(is), sv_nn_format_text((enum ssvm_nn_format)says));
}

static int find_any(struct sv_err *err, struct sv_nn *nn, const struct sv_nn_bytes *b, int format,
                    struct sv_data_image **ret_image, struct sv_nn_model **ret, bool *ret_new)
{
    const struct sv_nn_checker *checker;
    enum ssvm_nn_format is;
    int r;

    *ret_new = false;
    *ret = find_origin(nn, b, ret_image);
    if (*ret) {
        r = check_format(err, format, (*ret)->format);
        if (r != 0)
            sv_nn_model_unref(*ret);
        return r;
    }
    r = sv_nn_checker_get(err, nn, &checker);
    if (r != 0)
        return r;
    if (!checker->sniff(b->ptr, b->len, &is))
        return sv_fail(err, SV_ETYPE, SV_NO_OFFSET,
                       "the bytes are neither a TensorFlow graph (a frozen .pb) nor a TensorFlow "
                       "Lite nor an ONNX model");
    r = check_format(err, format, is);
    return r ? r : find_or_list(err, nn, b, is, ret, ret_new);
}

int sv_nn_model_get(struct sv_err *err, struct sv_nn *nn, struct sv_thread *th,
                    const struct sv_nn_bytes *b, int format, own struct sv_nn_model **ret)
{
    struct sv_data_image *image;
    struct sv_nn_model *m;
    bool made;
    int r;

    if (b->len == 0)
        return sv_fail(err, SV_ETYPE, SV_NO_OFFSET, "the model has no bytes");
    if (b->len > nn->config.model_bytes_max)
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "the model has %zu bytes, the limit is %llu",
                       b->len, (unsigned long long)nn->config.model_bytes_max);
    r = find_any(err, nn, b, format, &image, &m, &made);
    if (r != 0)
        return r;
    r = made ? load_now(err, th, m) : 0;
    if (r == 0)
        r = wait_loaded(th, m);
    if (r == 0 && (m->state == SV_NN_BROKEN || !atomic_exchange(&m->told, true))) {
        *err = m->why_not;
        r = err->code; /* 0: it is ready */
    }
    if (r != 0) {
        sv_nn_model_unref(m);
        return r;
    }
    touch(nn, m, image, b);
    *ret = m;
    return 0;
}

/* The bytes of a file; its length to *ret_len. */
static int read_file(struct sv_err *err, const struct sv_nn *nn, const char *path,
                     own uint8_t **ret, size_t *ret_len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    uint8_t *bytes = NULL;
    struct stat st;
    size_t at = 0;
    ssize_t n;
    int r = 0;

    if (fd < 0 || fstat(fd, &st) != 0)
        r = sv_fail(err, SV_EIO, SV_NO_OFFSET, "%s cannot be read: %s", path,
                    strerrordesc_np(errno));
    else if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > nn->config.model_bytes_max)
        r = sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "%s is no file, or larger than %llu bytes", path,
                    (unsigned long long)nn->config.model_bytes_max);
    if (r == 0)
        bytes = sv_alloc((size_t)st.st_size + 1);
    if (r == 0 && !bytes)
        r = sv_fail_nomem(err, "model");
    while (r == 0 && at < (size_t)st.st_size) {
        n = read(fd, bytes + at, (size_t)st.st_size - at);
        if (n <= 0)
            r = sv_fail(err, SV_EIO, SV_NO_OFFSET, "%s cannot be read", path);
        else
            at += (size_t)n;
    }
    if (fd >= 0)
        close(fd);
    if (r != 0) {
        sv_free(bytes);
        return r;
    }
    *ret = bytes;
    *ret_len = at;
    return 0;
}

/* The first reference stays with the grant. */
static void keep_named(struct sv_nn *nn, unsigned i, struct sv_nn_model *m)
{
    pthread_mutex_lock(&nn->lock);
    if (!nn->named[i]) {
        nn->named[i] = m;
        m->refs++;
    }
    pthread_mutex_unlock(&nn->lock);
}

int sv_nn_model_by_name(struct sv_err *err, struct sv_nn *nn, struct sv_thread *th,
                        const char *name, size_t len, own struct sv_nn_model **ret)
{
    const struct sv_str wanted = {name, len};
    struct sv_nn_model *m;
    struct sv_nn_bytes b = {0};
    uint8_t *bytes;
    unsigned i;
    int r;

    for (i = 0; i < nn->config.nmodels; i++)
        if (sv_str_eq(wanted, sv_str_of(nn->config.models[i].name)))
            break;
    if (i == nn->config.nmodels)
        return sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "there is no model '%.*s'",
                       (int)(len < SSVM_NN_NAME_MAX ? len : SSVM_NN_NAME_MAX), name);
    pthread_mutex_lock(&nn->lock);
    m = nn->named[i];
    if (m)
        m->refs++;
    pthread_mutex_unlock(&nn->lock);
    if (!m) {
        r = read_file(err, nn, nn->config.models[i].path, &bytes, &b.len);
        if (r != 0)
            return r;
        b.ptr = bytes;
        r = sv_nn_model_get(err, nn, th, &b, -1, &m);
        sv_free(bytes);
        if (r != 0)
            return r;
        keep_named(nn, i, m);
    }
    *ret = m;
    return 0;
}

bool sv_nn_model_shape(const struct sv_nn_model *m, const struct ssvm_nn_port *port, size_t len,
                       struct ssvm_nn_tensor *ret)
{
    uint32_t i = 0, open = 0, at = 0;
    size_t one;

    for (; i < m->inputs.n; i++) {
        const struct ssvm_nn_port *p = &m->inputs.list[i].port;

        if (port->name[0] ? p->index == port->index && strcmp(p->name, port->name) == 0
                          : i == port->index)
            break;
    }
    if (i == m->inputs.n)
        return false;
    *ret = m->inputs.list[i].tensor;
    ret->data = NULL;
    ret->len = len;
    for (i = 0; i < ret->rank && i < SSVM_NN_RANK_MAX; i++)
        if (ret->dims[i] < 0) {
            ret->dims[i] = 1;
            at = i;
            open++;
        }
    if (open == 1 && sv_nn_tensor_len(ret->type, ret->dims, ret->rank, &one) && one > 0 &&
        len % one == 0)
        ret->dims[at] = (int64_t)(len / one);
    return true;
}

/* ---- Sessions ---- */

int sv_nn_model_take_session(struct sv_nn_model *m, char *error, own void **ret)
{
    void *session = NULL;

    pthread_mutex_lock(&m->nn->lock);
    if (m->nidle > 0)
        session = m->idle[--m->nidle];
    pthread_mutex_unlock(&m->nn->lock);
    if (!session && m->backend->plugin->session_new(m->model, error, &session) != 0)
        return -1;
    *ret = session;
    return 0;
}

void sv_nn_model_give_session(struct sv_nn_model *m, own void *session, bool clean)
{
    if (!session)
        return;
    pthread_mutex_lock(&m->nn->lock);
    if (clean && m->nidle < SV_NN_IDLE_MAX) {
        m->idle[m->nidle++] = session;
        session = NULL;
    }
    pthread_mutex_unlock(&m->nn->lock);
    if (session)
        m->backend->plugin->session_delete(session);
}

bool sv_nn_model_may_run(struct sv_nn_model *m)
{
    bool may;

    pthread_mutex_lock(&m->nn->lock);
    may = m->nleft < SV_NN_MODEL_LEFT_MAX;
    pthread_mutex_unlock(&m->nn->lock);
    return may;
}

void sv_nn_model_left(struct sv_nn_model *m, int by)
{
    pthread_mutex_lock(&m->nn->lock);
    m->nleft += (uint32_t)by;
    pthread_mutex_unlock(&m->nn->lock);
}
