/* The registry of canonical types: recursion groups hash-consed and counted, so that types of
 * deleted modules go away. Knows nothing of the binary format; matching of types is in match.c. */
#include "wasm/types.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/str.h"
#include "wasm/limits.h"
#include "wasm/rec.h"

#define CHUNK_BITS 12
#define CHUNK (1u << CHUNK_BITS)
#define CHUNKS ((SV_LIMIT_REGISTRY_TYPES + CHUNK - 1) / CHUNK)

struct sv_type_group {
    struct sv_type_group *next; /* in its bucket; later in the list of dead ones */
    uint64_t hash;
    size_t refs;
    uint32_t ntypes;
    bool pinned; /* the registry holds one reference (host function types) */
    size_t nwords;
    const uint32_t *words;
    struct sv_type *types;
};

struct sv_types {
    pthread_mutex_t lock;
    struct sv_type_group **buckets;
    size_t nbuckets, ngroups; /* nbuckets is a power of two */
    uint64_t seed;            /* of the hashes: modules are hostile */
    /* By id, in chunks that never move: sv_types_get takes no lock. */
    _Atomic(const struct sv_type **) chunks[CHUNKS];
    uint32_t nids; /* ids ever given */
    struct {
        uint32_t *data;
        size_t len, cap;
    } free_ids; /* cap >= nids, so that freeing needs no memory */
};

struct sv_types *sv_types_new(void)
{
    struct sv_types *reg = sv_alloc_zero(sizeof *reg);

    if (!reg)
        return NULL;
    reg->nbuckets = 64;
    reg->seed = sv_hash_seed();
    reg->buckets = sv_alloc_array_zero(reg->nbuckets, sizeof(*reg->buckets));
    if (!reg->buckets || pthread_mutex_init(&reg->lock, NULL) != 0) {
        sv_free(reg->buckets);
        sv_free(reg);
        return NULL;
    }
    return reg;
}

void sv_types_delete(struct sv_types *reg)
{
    if (!reg)
        return;
    for (size_t i = 0; i < reg->nbuckets; i++) {
        struct sv_type_group *group = reg->buckets[i];

        while (group) {
            struct sv_type_group *next = group->next;

            sv_free(group);
            group = next;
        }
    }
    for (size_t i = 0; i < CHUNKS; i++)
        sv_free(atomic_load(&reg->chunks[i]));
    sv_free(reg->buckets);
    sv_free(reg->free_ids.data);
    pthread_mutex_destroy(&reg->lock);
    sv_free(reg);
}

const struct sv_type *sv_types_get(const struct sv_types *reg, uint32_t id)
{
    return atomic_load_explicit(&reg->chunks[id >> CHUNK_BITS],
                                memory_order_acquire)[id & (CHUNK - 1)];
}

uint32_t sv_types_count(struct sv_types *reg)
{
    uint32_t n;

    pthread_mutex_lock(&reg->lock);
    n = reg->nids - (uint32_t)reg->free_ids.len;
    pthread_mutex_unlock(&reg->lock);
    return n;
}

/* ---- building a group: one block of memory for everything ---- */

/* What a group needs, and where its parts are while it is being built. */
struct layout {
    size_t nvalues, nfields, nsupers;
    struct sv_type_group *group;
    sv_valtype *values;
    struct sv_field *fields;
    const struct sv_type **supers;
};

static bool is_local(uint32_t word)
{
    return (word & 0xff) == (SV_VAL_REF | SV_REC_LOCAL_BIT);
}

/* Words of one type; the head is at w. */
static size_t type_words(const uint32_t *w)
{
    switch (w[0] & 0xff) {
    case SV_FORM_FUNC:
        return 4 + (size_t)w[2] + w[3];
    case SV_FORM_STRUCT:
        return 3 + 2 * (size_t)w[2];
    default:
        return 4;
    }
}

/* Depth of every type from its supertype's; the spec has no bound, we have. `depths` has room for
 * ntypes. */
static int measure(struct sv_err *err, const struct sv_types *reg, const uint32_t *words,
                   uint32_t ntypes, struct layout *l, uint8_t *depths)
{
    const uint32_t *w = words;

    for (uint32_t i = 0; i < ntypes; i++, w += type_words(w)) {
        unsigned depth = 0;

        if (is_local(w[1]))
            depth = depths[w[1] >> 9] + 1u;
        else if (w[1])
            depth = sv_types_get(reg, sv_valtype_id(w[1]))->depth + 1u;
        if (depth > SV_LIMIT_SUBTYPE_DEPTH)
            return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "subtyping depth exceeds %u",
                           SV_LIMIT_SUBTYPE_DEPTH);
        depths[i] = (uint8_t)depth;
        l->nsupers += depth + 1u;
        if ((w[0] & 0xff) == SV_FORM_FUNC)
            l->nvalues += (size_t)w[2] + w[3];
        else if ((w[0] & 0xff) == SV_FORM_STRUCT)
            l->nfields += w[2];
    }
    return 0;
}

static struct sv_type_group *alloc_group(struct layout *l, const uint32_t *words, size_t nwords,
                                         uint32_t ntypes)
{
    struct sv_type_group *group;
    size_t types = sizeof(struct sv_type) * ntypes;
    size_t supers = sizeof(*l->supers) * l->nsupers;
    size_t fields = sizeof(struct sv_field) * l->nfields;
    uint32_t *key;

    /* every count is bounded by nwords, so the sum fits */
    group = sv_alloc_zero(sizeof *group + types + supers + fields +
                          sizeof(uint32_t) * (nwords + l->nvalues));
    if (!group)
        return NULL;
    group->types = (struct sv_type *)(group + 1);
    l->group = group;
    l->supers = (const struct sv_type **)(group->types + ntypes);
    l->fields = (struct sv_field *)(l->supers + l->nsupers);
    key = (uint32_t *)(l->fields + l->nfields);
    memcpy(key, words, sizeof(uint32_t) * nwords);
    l->values = key + nwords;
    group->words = key;
    group->nwords = nwords;
    group->ntypes = ntypes;
    return group;
}

/* A word as a value type: own types become canonical ids. */
static sv_valtype resolve(const struct sv_type_group *group, uint32_t word)
{
    if (!is_local(word))
        return word;
    return SV_REFTYPE(SV_HEAP_CONCRETE + group->types[word >> 9].id, word >> 8 & 1);
}

static uint8_t storage_size(sv_valtype type)
{
    switch (sv_valtype_kind(type)) {
    case SV_VAL_I8:
        return 1;
    case SV_VAL_I16:
        return 2;
    case SV_VAL_I32:
    case SV_VAL_F32:
        return 4;
    case SV_VAL_V128:
        return 16;
    default:
        return 8;
    }
}

static struct sv_field make_field(const struct sv_type_group *group, const uint32_t *w)
{
    sv_valtype type = resolve(group, w[0]);

    return (struct sv_field){.type = type, .mut = w[1] != 0, .size = storage_size(type)};
}

static void build_func(struct sv_type *t, struct layout *l, const uint32_t *w)
{
    t->func.nparams = w[2];
    t->func.nresults = w[3];
    t->func.params = l->values;
    t->func.results = l->values + w[2];
    for (uint32_t i = 0; i < w[2] + w[3]; i++) {
        sv_valtype type = resolve(l->group, w[4 + i]);

        l->values[i] = type;
        if (i < w[2])
            t->func.param_slots += sv_valtype_slots(type);
        else
            t->func.result_slots += sv_valtype_slots(type);
    }
    l->values += w[2] + w[3];
}

static void build_struct(struct sv_type *t, struct layout *l, const uint32_t *w)
{
    uint32_t offset = SV_GC_STRUCT_BASE;

    t->strct.nfields = w[2];
    t->strct.fields = l->fields;
    t->strct.defaultable = true;
    for (uint32_t i = 0; i < w[2]; i++) {
        struct sv_field f = make_field(l->group, w + 3 + 2 * i);

        offset = (offset + f.size - 1) & ~(uint32_t)(f.size - 1);
        f.offset = offset;
        offset += f.size;
        if (!sv_valtype_defaultable(f.type))
            t->strct.defaultable = false;
        l->fields[i] = f;
    }
    l->fields += w[2];
    t->strct.size = (offset + 7) & ~UINT32_C(7);
}

static void build_type(const struct sv_types *reg, struct sv_type *t, struct layout *l,
                       const uint32_t *w, unsigned depth)
{
    const struct sv_type *super = NULL;

    t->form = (uint8_t)(w[0] & 0xff);
    t->final = (w[0] >> 8 & 1) != 0;
    t->depth = (uint16_t)depth;
    t->group = l->group;
    t->supers = l->supers;
    if (is_local(w[1]))
        super = &l->group->types[w[1] >> 9];
    else if (w[1])
        super = sv_types_get(reg, sv_valtype_id(w[1]));
    if (super)
        memcpy(l->supers, super->supers, depth * sizeof(*l->supers));
    l->supers[depth] = t;
    l->supers += depth + 1;
    if (t->form == SV_FORM_FUNC)
        build_func(t, l, w);
    else if (t->form == SV_FORM_STRUCT)
        build_struct(t, l, w);
    else {
        t->array.field = make_field(l->group, w + 2);
        t->array.field.offset = SV_GC_ARRAY_BASE;
    }
}

/* ---- ids ---- */

/* Room for n more ids, so that the rest cannot fail. */
static int reserve_ids(struct sv_err *err, struct sv_types *reg, uint32_t n)
{
    size_t fresh = n > reg->free_ids.len ? n - reg->free_ids.len : 0;
    size_t total = reg->nids + fresh;

    if (total > SV_LIMIT_REGISTRY_TYPES)
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "more than %u types in the engine",
                       SV_LIMIT_REGISTRY_TYPES);
    for (size_t i = 0; i << CHUNK_BITS < total; i++)
        if (!atomic_load_explicit(&reg->chunks[i], memory_order_relaxed)) {
            const struct sv_type **chunk = sv_alloc_array_zero(CHUNK, sizeof(*chunk));

            if (!chunk)
                return sv_fail_nomem(err, "types");
            atomic_store_explicit(&reg->chunks[i], chunk, memory_order_release);
        }
    if (total > reg->free_ids.cap) {
        size_t cap = total + total / 2 + 64;
        uint32_t *data = sv_realloc(reg->free_ids.data, cap * sizeof(*data));

        if (!data)
            return sv_fail_nomem(err, "types");
        reg->free_ids.data = data;
        reg->free_ids.cap = cap;
    }
    return 0;
}

static void give_ids(struct sv_types *reg, struct sv_type_group *group)
{
    for (uint32_t i = 0; i < group->ntypes; i++) {
        uint32_t id;

        if (reg->free_ids.len)
            id = reg->free_ids.data[--reg->free_ids.len];
        else
            id = reg->nids++;
        group->types[i].id = id;
        atomic_load_explicit(&reg->chunks[id >> CHUNK_BITS],
                             memory_order_relaxed)[id & (CHUNK - 1)] = &group->types[i];
    }
}

/* ---- references between groups ---- */

/* Calls visit(reg, group) for every reference of `group` to another group's type. */
static void each_reference(struct sv_types *reg, const struct sv_type_group *group,
                           void (*visit)(struct sv_type_group *, void *), void *arg)
{
    const uint32_t *w = group->words;

    for (uint32_t i = 0; i < group->ntypes; i++) {
        size_t n = type_words(w);

        /* counts and flags are never taken for references: look at the type words only */
        for (size_t k = 1; k < n; k++) {
            uint32_t form = w[0] & 0xff;

            if (k > 1 && form == SV_FORM_FUNC && k < 4)
                continue;
            if (k > 1 && form == SV_FORM_STRUCT && k % 2 == 0)
                continue;
            if (form == SV_FORM_ARRAY && k == 3)
                continue;
            if (sv_valtype_is_ref(w[k]) && sv_valtype_heap(w[k]) >= SV_HEAP_CONCRETE)
                visit((struct sv_type_group *)(uintptr_t)sv_types_get(reg, sv_valtype_id(w[k]))
                          ->group,
                      arg);
        }
        w += n;
    }
}

static void add_ref(struct sv_type_group *group, void *arg)
{
    (void)arg;
    group->refs++;
}

static void unlink_group(struct sv_types *reg, struct sv_type_group *group)
{
    struct sv_type_group **at = &reg->buckets[group->hash & (reg->nbuckets - 1)];

    while (*at != group)
        at = &(*at)->next;
    *at = group->next;
    reg->ngroups--;
}

struct dead_list {
    struct sv_types *reg;
    struct sv_type_group *head;
};

static void drop_ref(struct sv_type_group *group, void *arg)
{
    struct dead_list *dead = arg;

    if (--group->refs > 0)
        return;
    unlink_group(dead->reg, group);
    group->next = dead->head;
    dead->head = group;
}

/* A list, not recursion: chains of groups can be a million long. */
static void free_dead(struct dead_list *dead)
{
    struct sv_types *reg = dead->reg;

    while (dead->head) {
        struct sv_type_group *group = dead->head;

        dead->head = group->next;
        each_reference(reg, group, drop_ref, dead);
        for (uint32_t i = 0; i < group->ntypes; i++)
            reg->free_ids.data[reg->free_ids.len++] = group->types[i].id;
        sv_free(group);
    }
}

void sv_types_unref(struct sv_types *reg, struct sv_type_group *const *groups, size_t n)
{
    struct dead_list dead = {reg, NULL};

    if (n == 0)
        return;
    pthread_mutex_lock(&reg->lock);
    for (size_t i = 0; i < n; i++)
        drop_ref(groups[i], &dead);
    free_dead(&dead);
    pthread_mutex_unlock(&reg->lock);
}

/* ---- interning ---- */

static struct sv_type_group *find_group(const struct sv_types *reg, const uint32_t *words,
                                        size_t nwords, uint64_t hash)
{
    struct sv_type_group *group = reg->buckets[hash & (reg->nbuckets - 1)];

    while (group && (group->hash != hash || group->nwords != nwords ||
                     memcmp(group->words, words, nwords * sizeof(*words)) != 0))
        group = group->next;
    return group;
}

/* Failing to grow only makes chains longer. */
static void grow_buckets(struct sv_types *reg)
{
    size_t n = reg->nbuckets * 2;
    struct sv_type_group **buckets = sv_alloc_array_zero(n, sizeof(*buckets));

    if (!buckets)
        return;
    for (size_t i = 0; i < reg->nbuckets; i++) {
        struct sv_type_group *group = reg->buckets[i];

        while (group) {
            struct sv_type_group *next = group->next;

            group->next = buckets[group->hash & (n - 1)];
            buckets[group->hash & (n - 1)] = group;
            group = next;
        }
    }
    sv_free(reg->buckets);
    reg->buckets = buckets;
    reg->nbuckets = n;
}

static int add_group(struct sv_err *err, struct sv_types *reg, const uint32_t *words, size_t nwords,
                     uint32_t ntypes, struct sv_type_group **ret)
{
    struct layout l = {0};
    struct sv_type_group *group;
    uint8_t one = 0, *depths = &one;
    const uint32_t *w = words;
    int r;

    if (ntypes > 1)
        depths = sv_alloc_zero(ntypes);
    if (!depths)
        return sv_fail_nomem(err, "types");
    r = measure(err, reg, words, ntypes, &l, depths);
    if (r == 0)
        r = reserve_ids(err, reg, ntypes);
    if (r != 0)
        goto done;
    group = alloc_group(&l, words, nwords, ntypes);
    if (!group) {
        r = sv_fail_nomem(err, "types");
        goto done;
    }
    give_ids(reg, group);
    for (uint32_t i = 0; i < ntypes; i++, w += type_words(w))
        build_type(reg, &group->types[i], &l, w, depths[i]);
    each_reference(reg, group, add_ref, NULL);
    *ret = group;
done:
    if (depths != &one)
        sv_free(depths);
    return r;
}

int sv_types_intern(struct sv_err *err, struct sv_types *reg, const uint32_t *words, size_t nwords,
                    uint32_t ntypes, const struct sv_type **ret_types,
                    struct sv_type_group **ret_group)
{
    uint64_t hash = sv_hash_seeded(words, nwords * sizeof(*words), reg->seed);
    struct sv_type_group *group;
    int r = 0;

    pthread_mutex_lock(&reg->lock);
    group = find_group(reg, words, nwords, hash);
    if (!group) {
        r = add_group(err, reg, words, nwords, ntypes, &group);
        if (r != 0)
            goto done;
        if (++reg->ngroups > reg->nbuckets)
            grow_buckets(reg);
        group->hash = hash;
        group->next = reg->buckets[hash & (reg->nbuckets - 1)];
        reg->buckets[hash & (reg->nbuckets - 1)] = group;
    }
    group->refs++;
    for (uint32_t i = 0; i < ntypes; i++)
        ret_types[i] = &group->types[i];
    *ret_group = group;
done:
    pthread_mutex_unlock(&reg->lock);
    return r;
}

const struct sv_type *sv_types_func(struct sv_types *reg, const sv_valtype *params,
                                    uint32_t nparams, const sv_valtype *results, uint32_t nresults)
{
    size_t nwords = 4 + (size_t)nparams + nresults;
    uint32_t *words;
    const struct sv_type *type = NULL;
    struct sv_type_group *group;
    bool extra;

    if (nparams > SV_LIMIT_PARAMS || nresults > SV_LIMIT_RESULTS)
        return NULL;
    words = sv_alloc_array(nwords, sizeof(*words));
    if (!words)
        return NULL;
    words[0] = SV_REC_HEAD(SV_FORM_FUNC, true);
    words[1] = 0;
    words[2] = nparams;
    words[3] = nresults;
    if (nparams)
        memcpy(words + 4, params, nparams * sizeof(*words));
    if (nresults)
        memcpy(words + 4 + nparams, results, nresults * sizeof(*words));
    if (sv_types_intern(NULL, reg, words, nwords, 1, &type, &group) == 0) {
        /* the first reference stays: such types live as long as the registry */
        pthread_mutex_lock(&reg->lock);
        extra = group->pinned;
        group->pinned = true;
        pthread_mutex_unlock(&reg->lock);
        if (extra)
            sv_types_unref(reg, &group, 1);
    }
    sv_free(words);
    return type;
}
