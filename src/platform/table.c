/* The table of functions: its bytes, their check, and what is looked up in them. Knows no database
 * and no files. */
#include "platform/table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"

#define MAGIC "ssvmtab"
#define TABLE_MAX (1U << 30) /* bytes */
#define NOTHING UINT32_MAX   /* a free place of an index */
#define HOST_MAX 255
#define PIN_DIGITS_MIN 4
#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)

/* Arrays of the table, in this order behind the texts. The last three are hash indexes with open
 * addressing, a power of two of places: functions by tenant and name, functions by id, routes by
 * host and path. */
#define SECTIONS(S)                                                                                \
    S(functions, struct plat_function)                                                             \
    S(versions, struct plat_version)                                                               \
    S(grants, struct plat_text)                                                                    \
    S(routes, struct plat_route)                                                                   \
    S(names, uint32_t)                                                                             \
    S(ids, uint32_t)                                                                               \
    S(paths, uint32_t)

struct section {
    uint32_t at, n;
};

struct head {
    char magic[8];
    uint32_t bytes;
    uint32_t layout; /* refuses a table of a program with other structs */
    uint64_t generation, seed;
    uint32_t depth; /* of the deepest route */
    uint32_t pad;
#define S(name, type) struct section name;
    SECTIONS(S)
#undef S
};

#define LAYOUT                                                                                     \
    (uint32_t)(sizeof(struct head) + 1000U * sizeof(struct plat_function) +                        \
               1000000U * sizeof(struct plat_version) + 100000000U * sizeof(struct plat_route))

struct plat_table {
    _Atomic uint32_t refs;
    const unsigned char *bytes;
    const struct head *head;
#define S(name, type) const type *name;
    SECTIONS(S)
#undef S
};

/* ---- Hashes ---- */

static uint64_t hash_pair(uint64_t seed, struct sv_str a, struct sv_str b)
{
    return sv_hash_seeded(b.ptr, b.len, sv_hash_seeded(a.ptr, a.len, seed));
}

static uint32_t hash_id(uint64_t seed, uint64_t id)
{
    return (uint32_t)sv_hash_seeded(&id, sizeof id, seed);
}

/* The path of a route without the slashes at its end: "/" is "". */
static struct sv_str trim(struct sv_str path)
{
    while (path.len > 0 && path.ptr[path.len - 1] == '/')
        path.len--;
    return path;
}

/* The end of the part of the path that begins at `at`, a slash. */
static size_t part_end(struct sv_str path, size_t at)
{
    const char *slash = memchr(path.ptr + at + 1, '/', path.len - at - 1);

    return slash ? (size_t)(slash - path.ptr) : path.len;
}

/* Hash of host and path, part by part, so that a request's path is read once for all its ends. */
static uint64_t hash_part(uint64_t hash, struct sv_str path, size_t from, size_t to)
{
    return sv_hash_seeded(path.ptr + from, to - from, hash);
}

static uint64_t hash_route(uint64_t seed, struct sv_str host, struct sv_str path,
                           uint32_t *ret_depth)
{
    uint64_t hash = sv_hash_seeded(host.ptr, host.len, seed);
    size_t end;

    *ret_depth = 0;
    for (size_t at = 0; at < path.len; at = end, ++*ret_depth) {
        end = part_end(path, at);
        hash = hash_part(hash, path, at, end);
    }
    return hash;
}

/* ---- The check ---- */

/* In the table, with a NUL behind it. */
static bool check_text(const struct head *head, struct plat_text text)
{
    return text.len == 0 ||
           (text.at >= sizeof *head && text.at < head->bytes && text.len < head->bytes - text.at &&
            ((const char *)head)[(size_t)text.at + text.len] == '\0');
}

static bool check_section(const struct head *head, const struct section *s, size_t size)
{
    return s->at % 8 == 0 && s->at >= sizeof *head && s->at <= head->bytes &&
           s->n <= (head->bytes - s->at) / size;
}

/* Every place is free or names one of `n` things, and one is free, so that a search ends. */
static bool check_index(const uint32_t *places, uint32_t nplaces, uint32_t n)
{
    uint32_t taken = 0;

    if (nplaces == 0 || (nplaces & (nplaces - 1)) != 0)
        return false;
    for (uint32_t i = 0; i < nplaces; i++) {
        if (places[i] != NOTHING && places[i] >= n)
            return false;
        taken += places[i] != NOTHING;
    }
    return taken < nplaces;
}

static bool check_function(const struct plat_table *t, const struct plat_function *f)
{
    const struct head *head = t->head;
    const struct plat_text texts[] = {f->tenant,   f->name, f->handler, f->state,
                                      f->callback, f->cors, f->sticky};

    for (size_t i = 0; i < SV_COUNT(texts); i++) {
        if (!check_text(head, texts[i]))
            return false;
    }
    return f->first_version <= head->versions.n &&
           f->nversions <= head->versions.n - f->first_version && f->first_text <= head->grants.n &&
           f->ntexts <= head->grants.n - f->first_text;
}

static bool check_contents(const struct plat_table *t)
{
    const struct head *head = t->head;

    for (uint32_t i = 0; i < head->functions.n; i++) {
        if (!check_function(t, &t->functions[i]))
            return false;
    }
    for (uint32_t i = 0; i < head->versions.n; i++) {
        if (!check_text(head, t->versions[i].alias))
            return false;
    }
    for (uint32_t i = 0; i < head->grants.n; i++) {
        if (!check_text(head, t->grants[i]))
            return false;
    }
    for (uint32_t i = 0; i < head->routes.n; i++) {
        const struct plat_route *r = &t->routes[i];

        if (!check_text(head, r->host) || !check_text(head, r->path) ||
            !check_text(head, r->site) || r->function >= head->functions.n)
            return false;
    }
    return check_index(t->names, head->names.n, head->functions.n) &&
           check_index(t->ids, head->ids.n, head->functions.n) &&
           check_index(t->paths, head->paths.n, head->routes.n);
}

static bool check(struct plat_table *t, size_t len)
{
    const struct head *head = (const struct head *)t->bytes;

    if (len < sizeof *head || memcmp(head->magic, MAGIC, sizeof head->magic) != 0 ||
        head->layout != LAYOUT || head->bytes != len || head->depth > PLAT_ROUTE_DEPTH_MAX)
        return false;
    t->head = head;
#define S(name, type)                                                                              \
    if (!check_section(head, &head->name, sizeof(type)))                                           \
        return false;                                                                              \
    t->name = (const type *)(const void *)(t->bytes + head->name.at);
    SECTIONS(S)
#undef S
    return check_contents(t);
}

int plat_table_open(struct sv_err *err, int fd, own struct plat_table **ret)
{
    struct plat_table *t;
    struct stat st;
    void *bytes;
    int seals = fcntl(fd, F_GET_SEALS);

    /* What could be written, or cut, behind the check would be no better than unchecked. */
    if (seals < 0 || (seals & SEALS) != SEALS)
        return sv_fail(err, SV_EMALFORMED, SV_NO_OFFSET, "the table of functions is not sealed");
    if (fstat(fd, &st) < 0 || st.st_size < (off_t)sizeof(struct head) || st.st_size > TABLE_MAX)
        return sv_fail(err, SV_EMALFORMED, SV_NO_OFFSET,
                       "the table of functions has no valid size");
    bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED)
        return sv_fail(err, SV_ENOMEM, SV_NO_OFFSET, "the table of functions cannot be mapped: %s",
                       strerror(errno));
    t = sv_alloc_zero(sizeof *t);
    if (!t) {
        munmap(bytes, (size_t)st.st_size);
        return sv_fail_nomem(err, "a table of functions");
    }
    atomic_init(&t->refs, 1);
    t->bytes = bytes;
    if (!check(t, (size_t)st.st_size)) {
        munmap(bytes, (size_t)st.st_size);
        sv_free(t);
        return sv_fail(err, SV_EMALFORMED, SV_NO_OFFSET, "the table of functions is damaged");
    }
    *ret = t;
    return 0;
}

void plat_table_ref(struct plat_table *t)
{
    atomic_fetch_add(&t->refs, 1);
}

void plat_table_unref(own struct plat_table *t)
{
    if (!t || atomic_fetch_sub(&t->refs, 1) != 1)
        return;
    munmap((void *)(uintptr_t)t->bytes, t->head->bytes);
    sv_free(t);
}

/* ---- Looking ---- */

uint64_t plat_table_generation(const struct plat_table *t)
{
    return t->head->generation;
}

struct sv_str plat_table_text(const struct plat_table *t, struct plat_text text)
{
    if (text.len == 0)
        return (struct sv_str){"", 0};
    return (struct sv_str){(const char *)t->bytes + text.at, text.len};
}

uint32_t plat_table_count(const struct plat_table *t)
{
    return t->head->functions.n;
}

const struct plat_function *plat_table_at(const struct plat_table *t, uint32_t index)
{
    return &t->functions[index];
}

const struct plat_version *plat_table_version(const struct plat_table *t,
                                              const struct plat_function *f, uint32_t n)
{
    return &t->versions[f->first_version + n];
}

const struct plat_version *plat_table_alias(const struct plat_table *t,
                                            const struct plat_function *f, struct sv_str alias)
{
    for (uint32_t i = 0; i < f->nversions; i++) {
        const struct plat_version *v = plat_table_version(t, f, i);

        if (v->alias.len > 0 && sv_str_eq(plat_table_text(t, v->alias), alias))
            return v;
    }
    return NULL;
}

/* Whether the digest begins with these digits. */
static bool has_digits(const uint8_t digest[PLAT_DIGEST_BYTES], struct sv_str digits)
{
    static const char hex[] = "0123456789abcdef";

    for (size_t i = 0; i < digits.len; i++) {
        if (digits.ptr[i] != hex[i % 2 ? digest[i / 2] & 15 : digest[i / 2] >> 4])
            return false;
    }
    return true;
}

const struct plat_version *plat_table_pin(const struct plat_table *t, const struct plat_function *f,
                                          struct sv_str digits)
{
    const struct plat_version *found = NULL;

    if (digits.len < PIN_DIGITS_MIN || digits.len > 2 * (size_t)PLAT_DIGEST_BYTES)
        return NULL;
    for (uint32_t i = 0; i < f->nversions; i++) {
        const struct plat_version *v = plat_table_version(t, f, i);

        if (!has_digits(v->digest, digits))
            continue;
        /* The same bytes with another manifest: the one that comes first. */
        if (found && memcmp(found->digest, v->digest, PLAT_DIGEST_BYTES) != 0)
            return NULL;
        if (!found)
            found = v;
    }
    return found;
}

struct sv_str plat_table_grant(const struct plat_table *t, const struct plat_function *f,
                               uint32_t n)
{
    return plat_table_text(t, t->grants[f->first_text + n]);
}

const struct plat_function *plat_table_find(const struct plat_table *t, struct sv_str tenant,
                                            struct sv_str name)
{
    uint32_t mask = t->head->names.n - 1;
    uint32_t i = (uint32_t)hash_pair(t->head->seed, tenant, name) & mask;

    for (; t->names[i] != NOTHING; i = (i + 1) & mask) {
        const struct plat_function *f = &t->functions[t->names[i]];

        if (sv_str_eq(plat_table_text(t, f->name), name) &&
            sv_str_eq(plat_table_text(t, f->tenant), tenant))
            return f;
    }
    return NULL;
}

const struct plat_function *plat_table_find_id(const struct plat_table *t, uint64_t id)
{
    uint32_t mask = t->head->ids.n - 1, i = hash_id(t->head->seed, id) & mask;

    for (; t->ids[i] != NOTHING; i = (i + 1) & mask) {
        if (t->functions[t->ids[i]].id == id)
            return &t->functions[t->ids[i]];
    }
    return NULL;
}

/* The route of exactly this host and path that has the method. */
static const struct plat_route *find_route(const struct plat_table *t, uint64_t hash,
                                           struct sv_str host, unsigned method, struct sv_str path)
{
    uint32_t mask = t->head->paths.n - 1, i = (uint32_t)hash & mask;

    for (; t->paths[i] != NOTHING; i = (i + 1) & mask) {
        const struct plat_route *r = &t->routes[t->paths[i]];

        if ((r->methods == 0 || (method < 32 && r->methods >> method & 1)) &&
            sv_str_eq(trim(plat_table_text(t, r->path)), path) &&
            sv_str_eq(plat_table_text(t, r->host), host))
            return r;
    }
    return NULL;
}

/* The longest path of this host. */
static const struct plat_route *find_host(const struct plat_table *t, struct sv_str host,
                                          unsigned method, struct sv_str path)
{
    uint64_t hashes[PLAT_ROUTE_DEPTH_MAX + 1];
    size_t ends[PLAT_ROUTE_DEPTH_MAX + 1];
    uint32_t n = 0;

    hashes[0] = sv_hash_seeded(host.ptr, host.len, t->head->seed);
    ends[0] = 0;
    for (; n < t->head->depth && ends[n] < path.len; n++) {
        ends[n + 1] = part_end(path, ends[n]);
        hashes[n + 1] = hash_part(hashes[n], path, ends[n], ends[n + 1]);
    }
    for (uint32_t i = n + 1; i-- > 0;) {
        const struct plat_route *r =
            find_route(t, hashes[i], host, method, (struct sv_str){path.ptr, ends[i]});

        if (r)
            return r;
    }
    return NULL;
}

/* *.example.org stands for one label more, and is found as such. */
static struct sv_str generalise(char *host, size_t len)
{
    char *dot = memchr(host, '.', len);

    if (!dot || dot == host)
        return (struct sv_str){NULL, 0};
    dot[-1] = '*';
    return (struct sv_str){dot - 1, len - (size_t)(dot - 1 - host)};
}

static size_t lower(char *to, struct sv_str host)
{
    for (size_t i = 0; i < host.len; i++)
        to[i] = (char)(host.ptr[i] >= 'A' && host.ptr[i] <= 'Z' ? host.ptr[i] + 32 : host.ptr[i]);
    return host.len;
}

const struct plat_route *plat_table_route(const struct plat_table *t, struct sv_str host,
                                          unsigned method, struct sv_str path)
{
    const struct plat_route *r = NULL;
    char name[HOST_MAX];
    struct sv_str any;

    if (t->head->routes.n == 0 || path.len == 0 || path.ptr[0] != '/')
        return NULL;
    path = trim(path);
    if (host.len > 0 && host.len <= HOST_MAX) {
        size_t len = lower(name, host);

        r = find_host(t, (struct sv_str){name, len}, method, path);
        any = r ? (struct sv_str){NULL, 0} : generalise(name, len);
        if (any.len > 0)
            r = find_host(t, any, method, path);
    }
    return r ? r : find_host(t, (struct sv_str){"", 0}, method, path);
}

/* ---- Making ---- */

struct plat_table_maker {
    uint64_t generation, seed;
    struct sv_buf texts;
    SV_VEC(struct plat_function) functions;
    SV_VEC(struct plat_version) versions;
    SV_VEC(struct plat_text) grants;
    SV_VEC(struct plat_route) routes;
    size_t first_version, first_grant; /* of the next function */
    uint32_t depth;
    bool failed; /* no memory, or too much */
};

own struct plat_table_maker *plat_table_maker_new(uint64_t generation)
{
    struct plat_table_maker *m = sv_alloc_zero(sizeof *m);

    if (!m)
        return NULL;
    m->generation = generation;
    m->seed = sv_hash_seed();
    sv_buf_init(&m->texts, TABLE_MAX / 4);
    return m;
}

void plat_table_maker_delete(own struct plat_table_maker *m)
{
    if (!m)
        return;
    sv_buf_release(&m->texts);
    sv_free(m->functions.data);
    sv_free(m->versions.data);
    sv_free(m->grants.data);
    sv_free(m->routes.data);
    sv_free(m);
}

struct plat_text plat_table_put_text(struct plat_table_maker *m, const char *s, size_t len)
{
    struct plat_text text = {(uint32_t)(sizeof(struct head) + m->texts.len), (uint32_t)len};

    if (len == 0)
        return (struct plat_text){0};
    if (!sv_buf_append(&m->texts, s, len) || !sv_buf_putc(&m->texts, '\0'))
        m->failed = true;
    return text;
}

void plat_table_put_grant(struct plat_table_maker *m, const char *line)
{
    struct plat_text text = plat_table_put_text(m, line, strlen(line));

    if (!SV_VEC_PUSH(&m->grants, TABLE_MAX / 64, text))
        m->failed = true;
}

void plat_table_put_version(struct plat_table_maker *m, const struct plat_version *v)
{
    if (!SV_VEC_PUSH(&m->versions, TABLE_MAX / 1024, *v))
        m->failed = true;
}

uint32_t plat_table_put_function(struct plat_table_maker *m, const struct plat_function *f)
{
    struct plat_function copy = *f;

    copy.first_version = (uint32_t)m->first_version;
    copy.nversions = (uint32_t)(m->versions.len - m->first_version);
    copy.first_text = (uint32_t)m->first_grant;
    copy.ntexts = (uint32_t)(m->grants.len - m->first_grant);
    m->first_version = m->versions.len;
    m->first_grant = m->grants.len;
    if (!SV_VEC_PUSH(&m->functions, PLAT_FUNCTIONS_MAX, copy))
        m->failed = true;
    return (uint32_t)(m->functions.len - 1);
}

void plat_table_put_route(struct plat_table_maker *m, const struct plat_route *r)
{
    if (!SV_VEC_PUSH(&m->routes, TABLE_MAX / 1024, *r))
        m->failed = true;
}

/* Places for n things: a power of two, half of them free. */
static uint32_t places_for(size_t n)
{
    uint32_t places = 2;

    while (places < 2 * n)
        places *= 2;
    return places;
}

static void insert(uint32_t *places, uint32_t nplaces, uint64_t hash, uint32_t value)
{
    uint32_t i = (uint32_t)hash & (nplaces - 1);

    while (places[i] != NOTHING)
        i = (i + 1) & (nplaces - 1);
    places[i] = value;
}

static struct sv_str made_text(const unsigned char *bytes, struct plat_text text)
{
    return (struct sv_str){(const char *)bytes + text.at, text.len};
}

static void fill_indexes(const struct plat_table_maker *m, struct head *head, unsigned char *bytes)
{
    uint32_t *names = (uint32_t *)(void *)(bytes + head->names.at);
    uint32_t *ids = (uint32_t *)(void *)(bytes + head->ids.at);
    uint32_t *paths = (uint32_t *)(void *)(bytes + head->paths.at);

    memset(names, 0xff, head->names.n * sizeof *names);
    memset(ids, 0xff, head->ids.n * sizeof *ids);
    memset(paths, 0xff, head->paths.n * sizeof *paths);
    for (uint32_t i = 0; i < head->functions.n; i++) {
        const struct plat_function *f = &m->functions.data[i];

        insert(names, head->names.n,
               hash_pair(m->seed, made_text(bytes, f->tenant), made_text(bytes, f->name)), i);
        insert(ids, head->ids.n, hash_id(m->seed, f->id), i);
    }
    for (uint32_t i = 0; i < head->routes.n; i++) {
        const struct plat_route *r = &m->routes.data[i];
        uint32_t depth;
        uint64_t hash =
            hash_route(m->seed, made_text(bytes, r->host), trim(made_text(bytes, r->path)), &depth);

        insert(paths, head->paths.n, hash, i);
        if (depth > head->depth)
            head->depth = depth < PLAT_ROUTE_DEPTH_MAX ? depth : PLAT_ROUTE_DEPTH_MAX;
    }
}

static void place(size_t *at, struct section *section, size_t n, size_t size)
{
    *at = (*at + 7) & ~(size_t)7;
    *section = (struct section){(uint32_t)*at, (uint32_t)n};
    *at += n * size;
}

static void copy(unsigned char *bytes, struct section section, const void *from, size_t size)
{
    if (section.n > 0)
        memcpy(bytes + section.at, from, section.n * size);
}

static void fill(const struct plat_table_maker *m, struct head *head, unsigned char *bytes)
{
    if (m->texts.len > 0)
        memcpy(bytes + sizeof *head, m->texts.data, m->texts.len);
    copy(bytes, head->functions, m->functions.data, sizeof(struct plat_function));
    copy(bytes, head->versions, m->versions.data, sizeof(struct plat_version));
    copy(bytes, head->grants, m->grants.data, sizeof(struct plat_text));
    copy(bytes, head->routes, m->routes.data, sizeof(struct plat_route));
    fill_indexes(m, head, bytes);
    memcpy(bytes, head, sizeof *head);
}

int plat_table_seal(struct plat_table_maker *m, struct sv_err *err, own int *ret_fd)
{
    struct head head = {
        .magic = MAGIC, .layout = LAYOUT, .generation = m->generation, .seed = m->seed};
    size_t at = sizeof head + m->texts.len;
    unsigned char *bytes = MAP_FAILED;
    int fd = -1;

    if (m->failed)
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "the table of functions is too large");
    place(&at, &head.functions, m->functions.len, sizeof(struct plat_function));
    place(&at, &head.versions, m->versions.len, sizeof(struct plat_version));
    place(&at, &head.grants, m->grants.len, sizeof(struct plat_text));
    place(&at, &head.routes, m->routes.len, sizeof(struct plat_route));
    place(&at, &head.names, places_for(m->functions.len), sizeof(uint32_t));
    place(&at, &head.ids, places_for(m->functions.len), sizeof(uint32_t));
    place(&at, &head.paths, places_for(m->routes.len), sizeof(uint32_t));
    if (at > TABLE_MAX)
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "the table of functions is too large");
    head.bytes = (uint32_t)at;
    fd = memfd_create("ssvm-table", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd >= 0 && ftruncate(fd, (off_t)at) == 0)
        bytes = mmap(NULL, at, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED)
        goto fail;
    fill(m, &head, bytes);
    munmap(bytes, at);
    if (fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_SEAL) < 0)
        goto fail;
    *ret_fd = fd;
    return 0;
fail:
    sv_fail(err, SV_ENOMEM, SV_NO_OFFSET, "the table of functions cannot be made: %s",
            strerror(errno));
    if (fd >= 0)
        close(fd);
    return SV_ENOMEM;
}
