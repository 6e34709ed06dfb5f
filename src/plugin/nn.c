/* What the plugins of inference backends share. */
#include "plugin/nn.h"

#include <ctype.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <glob.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_SIZE 4096

int nn_fail(char *error, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(error, SSVM_NN_ERROR_MAX, fmt, ap);
    va_end(ap);
    for (char *p = error; *p; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = ' ';
    }
    return -1;
}

/* ---- Opening ---- */

static bool is_folder(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* The last file (of several versions) that folder/sub/name matches. */
static bool find_in(const char *folder, const char *sub, const char *name, char *ret, size_t size)
{
    char pattern[PATH_SIZE];
    glob_t found;
    bool good = false;
    int n;

    n = snprintf(pattern, sizeof pattern, "%s/%s%s", folder, sub, name);
    if (n < 0 || (size_t)n >= sizeof pattern || glob(pattern, 0, NULL, &found) != 0)
        return false;
    if (found.gl_pathc > 0) {
        n = snprintf(ret, size, "%s", found.gl_pathv[found.gl_pathc - 1]);
        good = n > 0 && (size_t)n < size;
    }
    globfree(&found);
    return good;
}

static bool find(const char *folder, const char *const *names, const char *const *folders,
                 char *ret, size_t size)
{
    for (size_t i = 0; names[i]; i++) {
        for (size_t j = 0; folders[j]; j++) {
            if (find_in(folder, folders[j], names[i], ret, size))
                return true;
        }
    }
    return false;
}

static void *open_by_name(const char *const *names, int flags)
{
    char name[NN_TEXT_MAX];
    void *handle = NULL;

    for (size_t i = 0; names[i] && !handle; i++) {
        snprintf(name, sizeof name, "%.*s", (int)strcspn(names[i], "*"), names[i]);
        handle = dlopen(name, flags);
    }
    return handle;
}

void *nn_open(const char *id, const char *library, const char *const *names,
              const char *const *folders, int flags, char *error, char *ret_folder, size_t size)
{
    char path[PATH_SIZE];
    const char *slash;
    void *handle;

    ret_folder[0] = 0;
    flags |= RTLD_NOW | RTLD_NODELETE;
    if (!library) {
        handle = open_by_name(names, flags);
        if (!handle)
            nn_fail(error, "its library was not found (%s); 'ssvm nn install %s' fetches it",
                    dlerror(), id);
        return handle;
    }
    if (!is_folder(library)) {
        snprintf(path, sizeof path, "%s", library);
    } else if (!find(library, names, folders, path, sizeof path)) {
        nn_fail(
            error,
            "its library was not found: there is no %s in '%s'; 'ssvm nn install %s' fetches it",
            names[0], library, id);
        return NULL;
    }
    handle = dlopen(path, flags);
    if (!handle) {
        nn_fail(error, "its library cannot be opened: %s", dlerror());
        return NULL;
    }
    slash = strrchr(path, '/');
    if (slash && (size_t)(slash - path) < size)
        snprintf(ret_folder, size, "%.*s", (int)(slash - path), path);
    return handle;
}

int nn_bind(void *handle, const char *title, const char *oldest, const struct nn_symbol *symbols,
            size_t nsymbols, void *api, char *error)
{
    for (size_t i = 0; i < nsymbols; i++) {
        void *p = dlsym(handle, symbols[i].name);

        if (!p)
            return nn_fail(error, "this is not the library of %s, or it is older than %s: no '%s'",
                           title, oldest, symbols[i].name);
        memcpy((char *)api + symbols[i].offset, &p, sizeof p);
    }
    return 0;
}

/* ---- Standard error ---- */

void nn_hush_begin(struct nn_hush *h)
{
    /* The one lock that all plugins share. */
    flockfile(stderr);
    h->real = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    h->memory = h->real < 0 ? -1 : memfd_create("ssvm-stderr", MFD_CLOEXEC);
    if (h->memory >= 0)
        (void)!dup3(h->memory, STDERR_FILENO, 0);
}

static bool is_known(const char *line, const char *const *known)
{
    for (size_t i = 0; known[i]; i++) {
        if (strncmp(line, known[i], strlen(known[i])) == 0)
            return true;
    }
    return false;
}

void nn_hush_end(struct nn_hush *h, const char *const *known)
{
    char line[NN_TEXT_MAX];
    FILE *said;

    if (h->memory >= 0) {
        (void)!dup3(h->real, STDERR_FILENO, 0);
        said = fdopen(h->memory, "re");
        if (said)
            rewind(said);
        while (said && fgets(line, sizeof line, said)) {
            if (!is_known(line, known))
                (void)!write(STDERR_FILENO, line, strlen(line));
        }
        if (said)
            fclose(said);
        else
            close(h->memory);
    }
    if (h->real >= 0)
        close(h->real);
    funlockfile(stderr);
}

/* ---- Shapes ---- */

static const struct {
    int32_t type;
    size_t size;
    const char *name;
} types[] = {
    {SSVM_NN_F32, 4, "f32"}, {SSVM_NN_F64, 8, "f64"},   {SSVM_NN_I32, 4, "i32"},
    {SSVM_NN_U8, 1, "u8"},   {SSVM_NN_I16, 2, "i16"},   {SSVM_NN_I8, 1, "i8"},
    {SSVM_NN_I64, 8, "i64"}, {SSVM_NN_BOOL, 1, "bool"}, {SSVM_NN_U16, 2, "u16"},
    {SSVM_NN_F16, 2, "f16"}, {SSVM_NN_U32, 4, "u32"},   {SSVM_NN_U64, 8, "u64"},
};

int nn_type_to(const struct nn_type *map, size_t n, int32_t type)
{
    for (size_t i = 0; i < n; i++) {
        if (map[i].type == type)
            return map[i].foreign;
    }
    return 0;
}

int32_t nn_type_from(const struct nn_type *map, size_t n, int foreign)
{
    for (size_t i = 0; i < n; i++) {
        if (map[i].foreign == foreign)
            return map[i].type;
    }
    return 0;
}

size_t nn_type_size(int32_t type)
{
    for (size_t i = 0; i < NN_COUNT(types); i++) {
        if (types[i].type == type)
            return types[i].size;
    }
    return 0;
}

static const char *type_name(int32_t type)
{
    for (size_t i = 0; i < NN_COUNT(types); i++) {
        if (types[i].type == type)
            return types[i].name;
    }
    return "?";
}

bool nn_bytes(const struct ssvm_nn_tensor *t, size_t *ret)
{
    size_t n = nn_type_size(t->type);

    if (n == 0 || t->rank > SSVM_NN_RANK_MAX)
        return false;
    for (uint32_t i = 0; i < t->rank; i++) {
        if (t->dims[i] < 0 || __builtin_mul_overflow(n, (size_t)t->dims[i], &n))
            return false;
    }
    *ret = n;
    return true;
}

/* "f32 [1,?,3]" */
static void shape_text(const struct ssvm_nn_tensor *t, char *ret, size_t size)
{
    size_t at = (size_t)snprintf(ret, size, "%s [", type_name(t->type));

    for (uint32_t i = 0; i < t->rank && i < SSVM_NN_RANK_MAX && at + 24 < size; i++) {
        if (t->dims[i] < 0)
            at += (size_t)snprintf(ret + at, size - at, "%s?", i ? "," : "");
        else
            at += (size_t)snprintf(ret + at, size - at, "%s%lld", i ? "," : "",
                                   (long long)t->dims[i]);
    }
    snprintf(ret + at, size - at, "]");
}

/* ---- Inputs and outputs ---- */

void nn_port_parse(const char *text, struct ssvm_nn_port *ret)
{
    const char *colon = strrchr(text, ':');
    size_t len = strlen(text);
    uint32_t index = 0;

    if (colon && colon[1] && strspn(colon + 1, "0123456789") == strlen(colon + 1) &&
        strlen(colon + 1) < 6) {
        index = (uint32_t)strtoul(colon + 1, NULL, 10);
        len = (size_t)(colon - text);
    }
    memset(ret, 0, sizeof *ret);
    snprintf(ret->name, sizeof ret->name, "%.*s", (int)len, text);
    ret->index = index;
}

int nn_ios_new(struct nn_ios *ios, uint32_t n, char *error)
{
    ios->at = calloc(n ? n : 1, sizeof *ios->at);
    if (!ios->at)
        return nn_fail(error, "out of memory");
    ios->n = n;
    return 0;
}

void nn_ios_release(struct nn_ios *ios)
{
    free(ios->at);
    ios->at = NULL;
    ios->n = 0;
}

int nn_model_describe(void *model, int output, uint32_t position, struct ssvm_nn_port *ret_port,
                      struct ssvm_nn_tensor *ret_tensor)
{
    const struct nn_model *m = model;
    const struct nn_ios *ios = output ? &m->out : &m->in;

    if (position >= ios->n)
        return 1;
    *ret_port = ios->at[position].port;
    *ret_tensor = ios->at[position].tensor;
    return 0;
}

const char *nn_lib_version(void *lib)
{
    return ((const struct nn_lib *)lib)->version;
}

int nn_lib_devices(void *lib, char *error, char *ret, size_t size)
{
    (void)error;
    snprintf(ret, size, "%s", ((const struct nn_lib *)lib)->devices);
    return 0;
}

static bool same(const struct ssvm_nn_port *a, const struct ssvm_nn_port *b)
{
    return a->index == b->index && strcmp(a->name, b->name) == 0;
}

int nn_ios_find(const struct nn_ios *ios, const struct ssvm_nn_port *port, const char *what,
                char *error)
{
    struct ssvm_nn_port wanted = *port;
    char names[SSVM_NN_ERROR_MAX / 2] = "";
    size_t at = 0;

    if (!port->name[0]) {
        if (port->index < ios->n)
            return (int)port->index;
        return nn_fail(error, "no %s %u: the model has %u", what, port->index, ios->n);
    }
    if (port->index == 0)
        nn_port_parse(port->name, &wanted);
    for (uint32_t i = 0; i < ios->n; i++) {
        if (same(&ios->at[i].port, &wanted) || same(&ios->at[i].alias, &wanted))
            return (int)i;
    }
    for (uint32_t i = 0; i < ios->n && at + SSVM_NN_NAME_MAX / 4 < sizeof names; i++)
        at += (size_t)snprintf(names + at, sizeof names - at, "%s'%.50s'", i ? ", " : "",
                               ios->at[i].port.name);
    return nn_fail(error, "no %s '%.100s:%u': the model has %s", what, wanted.name, wanted.index,
                   names[0] ? names : "none");
}

int nn_io_check(const struct nn_io *io, const struct ssvm_nn_tensor *t, char *error)
{
    char want[128], have[128];
    bool good = io->tensor.type == t->type && io->tensor.rank == t->rank;
    size_t len;

    for (uint32_t i = 0; good && i < t->rank; i++)
        good = io->tensor.dims[i] < 0 ? t->dims[i] >= 0 : io->tensor.dims[i] == t->dims[i];
    if (!good) {
        shape_text(&io->tensor, want, sizeof want);
        shape_text(t, have, sizeof have);
        return nn_fail(error, "input '%.100s' is %s, not %s", io->port.name, want, have);
    }
    if (!nn_bytes(t, &len) || len != t->len)
        return nn_fail(error, "input '%.100s' has %zu bytes, not as many as its shape says",
                       io->port.name, t->len);
    return 0;
}

int nn_ios_match(const struct nn_ios *ios, const struct ssvm_nn_port *ports,
                 const struct ssvm_nn_tensor *inputs, uint32_t ninputs, uint32_t *ret, char *error)
{
    for (uint32_t i = 0; i < ios->n; i++)
        ret[i] = UINT32_MAX;
    for (uint32_t i = 0; i < ninputs; i++) {
        int at = nn_ios_find(ios, &ports[i], "input", error);

        if (at < 0 || nn_io_check(&ios->at[at], &inputs[i], error) < 0)
            return -1;
        ret[at] = i; /* the last one given counts */
    }
    for (uint32_t i = 0; i < ios->n; i++) {
        if (ret[i] == UINT32_MAX)
            return nn_fail(error, "input '%.100s' is not given", ios->at[i].port.name);
    }
    return 0;
}

/* ---- Devices and versions ---- */

/* Is the name of `len` bytes an item of the comma-separated list? */
static bool listed(const char *list, const char *name, size_t len)
{
    while (*list) {
        size_t n = strcspn(list, ",");

        if (n == len && memcmp(list, name, n) == 0)
            return true;
        list += n + (list[n] == ',');
    }
    return false;
}

void nn_device_add(char *list, size_t size, const char *name)
{
    char lower[SSVM_NN_NAME_MAX];
    size_t n = 0, at = strlen(list);

    for (; name[n] && n + 1 < sizeof lower; n++)
        lower[n] = name[n] == ',' ? '_' : (char)tolower((unsigned char)name[n]);
    lower[n] = 0;
    if (!listed(list, lower, n))
        snprintf(list + at, size - at, "%s%s", at ? "," : "", lower);
}

int nn_device_check(const char *device, const char *list, char *error)
{
    if (listed(list, device, strlen(device)))
        return 0;
    return nn_fail(error, "it has no device '%.60s' here; it has: %s", device, list);
}

unsigned nn_version_major(const char *version)
{
    return (unsigned)strtoul(version + strcspn(version, "0123456789"), NULL, 10);
}
