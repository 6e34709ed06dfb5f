/* ssvm-nn PLUGIN [LIBRARY DEVICE]: a backend in a process of its own. Started by libssvm
 * (host/nn/isolate.c) with a socket and nothing else; opens one library, loads one model, runs it
 * as it is asked to, and ends when the socket does. With LIBRARY ("": searched) and DEVICE somebody
 * else has started it, who believes the other end of the socket nothing: what that says of library
 * and device is passed over, and the process is confined before it hears anything. Not for people.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/nn/wire.h"
#include "isolate/confine.h"

/* Inputs, and outputs, of a run. */
#define PORTS_MAX 4096

/* Memory that both have. */
struct shared {
    int fd; /* -1: none */
    uint8_t *at;
    uint64_t len;
};
struct child {
    const char *path;             /* of the plugin */
    const char *library, *device; /* that alone are used; NULL: what is asked for */
    const struct ssvm_nn_backend *backend;
    void *lib, *model, *session;
    struct shared bytes, in, out;
    bool opened;
};

static int fail(struct sv_nn_wire *m, const char *text)
{
    snprintf(m->text, sizeof m->text, "%s", text);
    return -1;
}

static void shared_release(struct shared *s)
{
    if (s->at)
        munmap(s->at, s->len);
    if (s->fd >= 0)
        close(s->fd);
    *s = (struct shared){.fd = -1};
}

/* Takes the descriptor. */
static bool shared_map(struct shared *s, int fd, uint64_t len, int protection)
{
    void *at = mmap(NULL, len, protection, MAP_SHARED, fd, 0);

    shared_release(s);
    s->fd = fd;
    if (at == MAP_FAILED)
        return false;
    s->at = at;
    s->len = len;
    return true;
}

/* ---- Requests: 0, 1 or -1 with the reason in m->text ---- */

static int open_library(struct child *c, struct sv_nn_wire *m)
{
    struct ssvm_nn_options o = {.size = sizeof o, .threads = m->threads};
    char device[SV_NN_WIRE_TEXT_MAX], path[SV_NN_WIRE_PATH_MAX], error[SSVM_NN_ERROR_MAX] = "";

    if (c->opened)
        return fail(m, "it is open");
    snprintf(device, sizeof device, "%.*s", (int)sizeof device - 1,
             c->device ? c->device : m->text);
    snprintf(path, sizeof path, "%.*s", (int)sizeof path - 1, c->device ? c->library : m->path);
    o.device = device;
    o.library = path[0] ? path : NULL;
    if (!c->device && !confine(o.library, c->path, strcmp(device, "cpu") != 0))
        return fail(m, "its process cannot be confined");
    if (c->backend->open(&o, error, &c->lib) != 0)
        return fail(m, error);
    c->opened = true;
    snprintf(m->text, sizeof m->text, "%s", c->backend->version(c->lib));
    m->text2[0] = '\0';
    if (c->backend->devices(c->lib, error, m->text2, sizeof m->text2) != 0)
        m->text2[0] = '\0';
    return 0;
}

static int load(struct child *c, struct sv_nn_wire *m, int fd)
{
    char error[SSVM_NN_ERROR_MAX] = "";
    size_t cost = 0;

    if (!c->opened || c->model || fd < 0 || !shared_map(&c->bytes, fd, m->len, PROT_READ))
        return fail(m, "the model cannot be had");
    if (c->backend->load(c->lib, (enum ssvm_nn_format)m->format, c->bytes.at, m->len, error,
                         &c->model, &cost) != 0) {
        c->model = NULL;
        return fail(m, error);
    }
    m->cost = cost;
    return 0;
}

static int describe(struct child *c, struct sv_nn_wire *m)
{
    memset(&m->tensor, 0, sizeof m->tensor);
    if (!c->model)
        return fail(m, "there is no model");
    return c->backend->describe(c->model, m->output != 0, m->position, &m->tensor.port,
                                &m->tensor.tensor);
}

/* Room for the answer's memory; *ret_new: it is other memory than before. */
static bool reserve_out(struct child *c, uint64_t len, bool *ret_new)
{
    int fd;

    *ret_new = false;
    if (c->out.at && len <= c->out.len)
        return true;
    fd = memfd_create("ssvm-nn-out", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return false;
    *ret_new = true;
    return ftruncate(fd, (off_t)len) == 0 &&
           fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0 &&
           shared_map(&c->out, fd, len, PROT_READ | PROT_WRITE);
}

static int put_outputs(struct child *c, struct sv_nn_wire *m, const struct ssvm_nn_tensor *results,
                       int *ret_fd)
{
    uint64_t len = SV_NN_WIRE_ALIGN(m->nwanted * sizeof(struct sv_nn_wire_tensor)), at = len;
    struct sv_nn_wire_tensor t;
    bool other;

    for (uint32_t i = 0; i < m->nwanted; i++)
        len += SV_NN_WIRE_ALIGN((uint64_t)results[i].len);
    if (!reserve_out(c, len ? len : 1, &other))
        return fail(m, "no memory for the outputs");
    for (uint32_t i = 0; i < m->nwanted; i++) {
        memset(&t, 0, sizeof t);
        t.tensor = results[i];
        t.tensor.data = NULL;
        t.offset = at;
        memcpy(c->out.at + i * sizeof t, &t, sizeof t);
        if (results[i].len && results[i].data)
            memcpy(c->out.at + at, results[i].data, results[i].len);
        at += SV_NN_WIRE_ALIGN((uint64_t)results[i].len);
    }
    if (other)
        *ret_fd = c->out.fd;
    m->len = c->out.len;
    return 0;
}

/* The memory's table to what the backend wants. */
struct request {
    struct ssvm_nn_port *ports;
    struct ssvm_nn_tensor *inputs, *results;
};

static bool read_request(const struct child *c, const struct sv_nn_wire *m, struct request *r)
{
    struct sv_nn_wire_tensor t;

    if (m->ninputs > PORTS_MAX || m->nwanted > PORTS_MAX ||
        ((uint64_t)m->ninputs + m->nwanted) * sizeof t > c->in.len)
        return false;
    for (uint32_t i = 0; i < m->ninputs + m->nwanted; i++) {
        memcpy(&t, c->in.at + i * sizeof t, sizeof t);
        r->ports[i] = t.port;
        if (i >= m->ninputs)
            continue;
        if (t.offset > c->in.len || t.tensor.len > c->in.len - t.offset)
            return false;
        r->inputs[i] = t.tensor;
        r->inputs[i].data = c->in.at + t.offset;
    }
    return true;
}

static int run_request(struct child *c, struct sv_nn_wire *m, const struct request *r, int *ret_fd)
{
    char error[SSVM_NN_ERROR_MAX] = "";

    if (!c->session && c->backend->session_new(c->model, error, &c->session) != 0)
        return fail(m, error);
    if (c->backend->run(c->session, r->ports, r->inputs, m->ninputs, r->ports + m->ninputs,
                        r->results, m->nwanted, error) != 0)
        return fail(m, error);
    return put_outputs(c, m, r->results, ret_fd);
}

static int run(struct child *c, struct sv_nn_wire *m, int fd, int *ret_fd)
{
    struct request r = {0};
    int result;

    if (!c->model)
        return fail(m, "there is no model");
    if (fd >= 0 && !shared_map(&c->in, fd, m->len, PROT_READ | PROT_WRITE))
        return fail(m, "the inputs cannot be had");
    r.ports = calloc((size_t)m->ninputs + m->nwanted + 1, sizeof *r.ports);
    r.inputs = calloc((size_t)m->ninputs + 1, sizeof *r.inputs);
    r.results = calloc((size_t)m->nwanted + 1, sizeof *r.results);
    if (!r.ports || !r.inputs || !r.results)
        result = fail(m, "out of memory");
    else if (!c->in.at || !read_request(c, m, &r))
        result = fail(m, "a request that cannot be");
    else
        result = run_request(c, m, &r, ret_fd);
    free(r.ports);
    free(r.inputs);
    free(r.results);
    return result;
}

/* ---- Messages ---- */

static bool serve(struct child *c)
{
    static struct sv_nn_wire m;
    int fd, give = -1;

    if (!sv_nn_wire_receive(SV_NN_WIRE_FD, &m, &fd))
        return false;
    switch (m.op) {
    case SV_NN_WIRE_OPEN:
        m.result = open_library(c, &m);
        break;
    case SV_NN_WIRE_LOAD:
        m.result = load(c, &m, fd);
        break;
    case SV_NN_WIRE_DESCRIBE:
        m.result = describe(c, &m);
        break;
    case SV_NN_WIRE_RUN:
        m.result = run(c, &m, fd, &give);
        break;
    default:
        return false;
    }
    return sv_nn_wire_send(SV_NN_WIRE_FD, &m, give);
}

int main(int argc, char **argv)
{
    struct child c = {.bytes = {.fd = -1}, .in = {.fd = -1}, .out = {.fd = -1}};
    ssvm_nn_backend_fn *fn;
    void *plugin, *symbol;

    if ((argc != 2 && argc != 4) || fcntl(SV_NN_WIRE_FD, F_GETFD) < 0) {
        fputs("ssvm-nn is started by ssvm (--nn-isolate), not by hand\n", stderr);
        return 2;
    }
    fcntl(SV_NN_WIRE_FD, F_SETFD, FD_CLOEXEC);
    c.path = argv[1];
    if (argc == 4) {
        c.library = argv[2];
        c.device = argv[3];
    }
    plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    symbol = plugin ? dlsym(plugin, SSVM_NN_SYMBOL) : NULL;
    if (!symbol)
        return 3;
    memcpy(&fn, &symbol, sizeof fn);
    c.backend = fn();
    if (c.backend->abi != SSVM_NN_ABI)
        return 3;
    if (c.device && !confine(*c.library ? c.library : NULL, c.path, strcmp(c.device, "cpu") != 0))
        return 4;
    while (serve(&c))
        continue;
    /* Libraries are not good at ending. */
    _exit(0);
}
