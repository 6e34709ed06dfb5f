/* The GC heap of a store: size-class blocks, non-moving mark and lazy sweep. No concurrency: a
 * store belongs to one thread at a time.
 *
 * The heap is one reservation of 64 KiB blocks. A block holds cells of one size, or is part of a
 * run for one large object. Cells that hold an object have SV_OBJECT_LIVE in their header, so any
 * address can be asked whether an object begins there: that is how the wasm stack is scanned.
 * Everything else is traced by type.
 *
 * Marking and sweeping look for interruptions: a collection that is cut short leaves its marks
 * behind (`stale_marks`), and the next one clears them first. The allocation then fails, and the
 * trap is the interruption's. */
#include "runtime/gc.h"

#include "base/pages.h"
#include "runtime/instance.h"

#define BLOCK_SHIFT 16
#define BLOCK_SIZE ((size_t)1 << BLOCK_SHIFT)
#define COMMIT_BLOCKS 16 /* committed at a time */
/* Beyond the limit, for blocks that are partly empty. */
#define SLACK_BLOCKS 64
/* A collection is due when this much was allocated since the last one, or as much as lives. */
#define THRESHOLD_MIN ((uint64_t)4 << 20)
#define MARK_STACK_MAX ((size_t)1 << 20)
/* References scanned between two looks at the interruption flag. */
#define SCAN_CHUNK 65536u
#define SHAPE_PAGE 256u

/* Cell sizes: up to 2048 in small steps, then as many as fit a block k times. */
static const uint16_t cell_sizes[] = {16,   32,   48,   64,    80,    96,    112,   128,  160,
                                      192,  224,  256,  320,   384,   448,   512,   640,  768,
                                      896,  1024, 1280, 1536,  1792,  2048,  2720,  3264, 4096,
                                      5040, 6544, 8192, 10912, 13104, 16384, 21840, 32768};
#define CLASSES SV_COUNT(cell_sizes)
#define CLASS_LARGE CLASSES /* of runs */
#define CELL_MAX 32768u

enum block_kind { BLOCK_FREE, BLOCK_CELLS, BLOCK_RUN, BLOCK_RUN_TAIL };
struct block {
    uint8_t kind;
    uint8_t cls;
    bool dirty;    /* free, and not known to be zero */
    uint32_t next; /* block number + 1 in the class's list of unswept ones; of a tail: its run's */
    uint32_t run;  /* blocks of the run */
};

/* Where a type has references: offsets of fields, or slots of exceptions. Arrays: one entry when
 * elements are traced. */
struct shape {
    uint32_t n;
    uint32_t offsets[];
};

struct free_cell {
    struct sv_object head; /* zero: not LIVE */
    struct free_cell *next;
};

struct sv_gc_heap {
    unsigned char *base;
    size_t reserved, committed;
    uint32_t nblocks, high;     /* blocks below `high` have been used */
    uint32_t nfree, first_free; /* free ones below `high`; none below first_free */
    struct block *blocks;
    struct free_cell *free[CLASSES];
    unsigned char *bump[CLASSES], *bump_end[CLASSES]; /* fresh zero cells */
    uint32_t unswept[CLASSES + 1];
    uint64_t used, since, threshold, limit;
    uint64_t marked;
    struct sv_object **stack; /* marked, not scanned */
    size_t depth, cap;
    bool overflow, stale_marks;
    struct shape ***shapes; /* by type id, in pages */
    uint32_t nshape_pages;
    uint8_t class_of[2048 / 16 + 1]; /* of sizes up to 2048, in 16 bytes */
};

static const struct shape no_shape;

/* ---- Shapes
 * ------------------------------------------------------------------------------------------------
 */

static own struct shape *make_shape(const struct sv_types *types, const struct sv_type *t)
{
    uint32_t n = 0, max = t->form == SV_FORM_STRUCT ? t->strct.nfields
                          : t->form == SV_FORM_FUNC ? t->func.nparams
                                                    : 1;
    struct shape *s = sv_alloc(sizeof *s + (size_t)max * sizeof *s->offsets);
    uint32_t slot = 0;

    if (!s)
        return NULL;
    if (t->form == SV_FORM_ARRAY && sv_valtype_is_traced(types, t->array.field.type))
        s->offsets[n++] = SV_GC_ARRAY_BASE;
    for (uint32_t i = 0; t->form == SV_FORM_STRUCT && i < max; i++)
        if (sv_valtype_is_traced(types, t->strct.fields[i].type))
            s->offsets[n++] = t->strct.fields[i].offset;
    for (uint32_t i = 0; t->form == SV_FORM_FUNC && i < max; i++) {
        if (sv_valtype_is_traced(types, t->func.params[i]))
            s->offsets[n++] =
                (uint32_t)(offsetof(struct sv_exn, args) + slot * sizeof(union sv_slot));
        slot += sv_valtype_slots(t->func.params[i]);
    }
    s->n = n;
    return s;
}

/* Made at the type's first object, so that marking needs no memory. False: out of memory. */
static bool ensure_shape(struct sv_gc_heap *h, const struct sv_types *types,
                         const struct sv_type *t)
{
    uint32_t page = t->id / SHAPE_PAGE;
    struct shape **entry;

    if (page >= h->nshape_pages) {
        struct shape ***p = sv_realloc(h->shapes, (page + 1) * sizeof *p);

        if (!p)
            return false;
        memset(p + h->nshape_pages, 0, (page + 1 - h->nshape_pages) * sizeof *p);
        h->shapes = p;
        h->nshape_pages = page + 1;
    }
    if (!h->shapes[page]) {
        h->shapes[page] = sv_alloc_zero(SHAPE_PAGE * sizeof **h->shapes);
        if (!h->shapes[page])
            return false;
    }
    entry = &h->shapes[page][t->id % SHAPE_PAGE];
    if (!*entry)
        *entry = make_shape(types, t);
    return *entry != NULL;
}

static const struct shape *shape_of(const struct sv_gc_heap *h, const struct sv_object *o)
{
    uint32_t page = o->type_id / SHAPE_PAGE;

    /* Every object's type got its shape before the object. */
    return page < h->nshape_pages && h->shapes[page] ? h->shapes[page][o->type_id % SHAPE_PAGE]
                                                     : &no_shape;
}

/* ---- Blocks
 * ------------------------------------------------------------------------------------------------
 */

static unsigned char *block_address(const struct sv_gc_heap *h, uint32_t i)
{
    return h->base + ((size_t)i << BLOCK_SHIFT);
}

static uint32_t cells_of(const struct block *b)
{
    return (uint32_t)(BLOCK_SIZE / cell_sizes[b->cls]);
}

static own struct sv_gc_heap *heap_new(const struct sv_store *s)
{
    struct sv_gc_heap *h = sv_alloc_zero(sizeof *h);
    uint64_t blocks = (s->limits.gc_heap_bytes >> BLOCK_SHIFT) + SLACK_BLOCKS;
    unsigned cls = 0;

    if (!h)
        return NULL;
    if (blocks > UINT32_MAX / 2)
        blocks = UINT32_MAX / 2;
    for (;;) {
        h->reserved = (size_t)blocks << BLOCK_SHIFT;
        h->base = sv_pages_reserve(h->reserved);
        if (h->base || blocks <= SLACK_BLOCKS)
            break;
        blocks /= 2;
    }
    h->nblocks = (uint32_t)blocks;
    h->blocks = h->base ? sv_alloc_array_zero(h->nblocks, sizeof *h->blocks) : NULL;
    if (!h->blocks) {
        sv_pages_release(h->base, h->reserved);
        sv_free(h);
        return NULL;
    }
    h->limit = s->limits.gc_heap_bytes;
    h->threshold = THRESHOLD_MIN;
    for (unsigned i = 0; i < SV_COUNT(h->class_of); i++) {
        while (cell_sizes[cls] < i * 16)
            cls++;
        h->class_of[i] = (uint8_t)cls;
    }
    return h;
}

void sv_gc_release(struct sv_store *s)
{
    struct sv_gc_heap *h = s->gc;

    if (!h)
        return;
    s->gc = NULL;
    for (uint32_t p = 0; p < h->nshape_pages; p++) {
        for (uint32_t i = 0; h->shapes[p] && i < SHAPE_PAGE; i++)
            sv_free(h->shapes[p][i]);
        sv_free(h->shapes[p]);
    }
    sv_free(h->shapes);
    sv_free(h->stack);
    sv_free(h->blocks);
    sv_pages_release(h->base, h->reserved);
    sv_free(h);
}

uint64_t sv_gc_used(const struct sv_store *s)
{
    return s->gc ? s->gc->used : 0;
}

/* Number of a run of n free blocks, or UINT32_MAX. */
static uint32_t find_run(struct sv_gc_heap *h, uint32_t n)
{
    uint32_t found = 0, i = h->first_free;
    size_t end;

    for (; h->nfree >= n && i < h->high; i++) {
        found = h->blocks[i].kind == BLOCK_FREE ? found + 1 : 0;
        if (found == n)
            break;
    }
    if (h->nfree >= n && i < h->high) {
        h->nfree -= n;
        if (i + 1 - n == h->first_free)
            h->first_free = i + 1;
        return i + 1 - n;
    }
    if (n > h->nblocks - h->high)
        return UINT32_MAX;
    end = (size_t)(h->high + n) << BLOCK_SHIFT;
    if (end > h->committed) {
        size_t more = end - h->committed;

        if (more < COMMIT_BLOCKS << BLOCK_SHIFT)
            more = COMMIT_BLOCKS << BLOCK_SHIFT;
        if (more > h->reserved - h->committed)
            more = h->reserved - h->committed;
        if (!sv_pages_commit(h->base + h->committed, more))
            return UINT32_MAX;
        h->committed += more;
    }
    i = h->high;
    if (h->first_free == h->high)
        h->first_free += n;
    h->high += n;
    return i;
}

static void free_blocks(struct sv_gc_heap *h, uint32_t at, uint32_t n)
{
    /* Much memory goes back to the system; little is cheaper to clear at its next use. */
    bool give_back = n >= COMMIT_BLOCKS;

    if (give_back)
        sv_pages_clear(block_address(h, at), (size_t)n << BLOCK_SHIFT);
    for (uint32_t i = at; i < at + n; i++)
        h->blocks[i] = (struct block){.kind = BLOCK_FREE, .dirty = !give_back};
    h->nfree += n;
    if (at < h->first_free)
        h->first_free = at;
}

/* ---- Sweeping
 * ---------------------------------------------------------------------------------------------- */

/* Free the dead cells of a block; the block itself when all are dead. */
static void sweep_cells(struct sv_gc_heap *h, uint32_t number)
{
    struct block *b = &h->blocks[number];
    uint32_t size = cell_sizes[b->cls], n = cells_of(b), live = 0;
    unsigned char *p = block_address(h, number);
    struct free_cell *list = h->free[b->cls];

    for (uint32_t i = 0; i < n; i++, p += size) {
        struct sv_object *o = (struct sv_object *)(void *)p;

        if (o->flags & SV_OBJECT_MARK) {
            o->flags &= ~(uint32_t)SV_OBJECT_MARK;
            live++;
        } else {
            *o = (struct sv_object){0};
            ((struct free_cell *)(void *)p)->next = list;
            list = (struct free_cell *)(void *)p;
        }
    }
    if (live)
        h->free[b->cls] = list;
    else
        free_blocks(h, number,
                    1); /* the class's list is as before: these cells are on `list` only */
}

static void sweep_run(struct sv_gc_heap *h, uint32_t number)
{
    struct sv_object *o = (struct sv_object *)(void *)block_address(h, number);

    if (o->flags & SV_OBJECT_MARK) {
        o->flags &= ~(uint32_t)SV_OBJECT_MARK;
        return;
    }
    o->flags = 0;
    free_blocks(h, number, h->blocks[number].run);
}

/* One unswept block of the class; false: there is none. */
static bool sweep_next(struct sv_gc_heap *h, unsigned cls)
{
    uint32_t number = h->unswept[cls];

    if (!number--)
        return false;
    h->unswept[cls] = h->blocks[number].next;
    if (cls == CLASS_LARGE)
        sweep_run(h, number);
    else
        sweep_cells(h, number);
    return true;
}

/* False: interrupted; what is left stays unswept. */
static bool sweep_all(struct sv_gc_heap *h, struct sv_thread *th)
{
    for (unsigned cls = 0; cls <= CLASS_LARGE; cls++) {
        while (sweep_next(h, cls))
            if (th && !sv_thread_ok(th))
                return false;
    }
    return true;
}

/* After marking: every block is unswept, every list of free cells is void. */
static void start_sweep(struct sv_gc_heap *h)
{
    memset(h->free, 0, sizeof h->free);
    memset(h->bump, 0, sizeof h->bump);
    memset(h->bump_end, 0, sizeof h->bump_end);
    for (uint32_t i = h->high; i-- > 0;) {
        struct block *b = &h->blocks[i];
        unsigned cls = b->kind == BLOCK_CELLS ? b->cls : CLASS_LARGE;

        if (b->kind != BLOCK_CELLS && b->kind != BLOCK_RUN)
            continue;
        b->next = h->unswept[cls];
        h->unswept[cls] = i + 1;
    }
}

/* ---- Marking
 * -----------------------------------------------------------------------------------------------
 */

static size_t object_bytes(const struct sv_gc_heap *h, const struct sv_object *o)
{
    const struct block *b = &h->blocks[(size_t)((const unsigned char *)o - h->base) >> BLOCK_SHIFT];

    return b->kind == BLOCK_CELLS ? cell_sizes[b->cls] : (size_t)b->run << BLOCK_SHIFT;
}

static void mark(struct sv_gc_heap *h, struct sv_object *o)
{
    if (o->flags & SV_OBJECT_MARK)
        return;
    o->flags |= SV_OBJECT_MARK;
    h->marked += object_bytes(h, o);
    if (h->depth == h->cap) {
        size_t cap = h->cap ? h->cap * 2 : 1024;
        struct sv_object **p = cap <= MARK_STACK_MAX ? sv_realloc(h->stack, cap * sizeof *p) : NULL;

        if (!p) {
            h->overflow = true; /* found again by going through the heap */
            return;
        }
        h->stack = p;
        h->cap = cap;
    }
    h->stack[h->depth++] = o;
}

static void mark_ref(struct sv_gc_heap *h, sv_ref r)
{
    if (sv_ref_is_object(r))
        mark(h, (struct sv_object *)(uintptr_t)r);
}

/* A bit pattern from the stack: an object, if one begins there. */
static void mark_maybe(struct sv_gc_heap *h, uint64_t v)
{
    uint64_t off = v - (uintptr_t)h->base;
    const struct block *b;
    struct sv_object *o;

    if (off >= (uint64_t)h->high << BLOCK_SHIFT || (off & 7))
        return;
    b = &h->blocks[off >> BLOCK_SHIFT];
    off &= BLOCK_SIZE - 1;
    if (b->kind == BLOCK_CELLS) {
        if (off % cell_sizes[b->cls] || off / cell_sizes[b->cls] >= cells_of(b))
            return;
    } else if (b->kind != BLOCK_RUN || off) {
        return;
    }
    o = (struct sv_object *)(uintptr_t)v;
    if (o->flags & SV_OBJECT_LIVE)
        mark(h, o);
}

/* Where the cell or the run begins that holds the address; 0: none does. */
static uint64_t object_around(const struct sv_gc_heap *h, uint64_t v)
{
    uint64_t off = v - (uintptr_t)h->base, number = off >> BLOCK_SHIFT;

    if (off >= (uint64_t)h->high << BLOCK_SHIFT)
        return 0;
    if (h->blocks[number].kind == BLOCK_CELLS)
        return v - (off & (BLOCK_SIZE - 1)) % cell_sizes[h->blocks[number].cls];
    if (h->blocks[number].kind == BLOCK_RUN_TAIL)
        number = h->blocks[number].next - 1; /* the run's first */
    return h->blocks[number].kind == BLOCK_RUN ? (uintptr_t)block_address(h, (uint32_t)number) : 0;
}

/* A bit pattern from native frames: compiled loops may hold nothing of an object but an address in
 * it, or the one behind its end. */
static void mark_inside(struct sv_gc_heap *h, uint64_t v)
{
    uint64_t here = object_around(h, v), before = object_around(h, v - 1);

    if (here)
        mark_maybe(h, here);
    if (before && before != here)
        mark_maybe(h, before);
}

/* False: interrupted. */
static bool scan_object(struct sv_gc_heap *h, struct sv_thread *th, struct sv_object *o)
{
    const struct shape *s = shape_of(h, o);
    sv_ref r;

    if (o->flags & SV_OBJECT_ARRAY) {
        const struct sv_array *a = (const struct sv_array *)o;
        const sv_ref *refs = (const sv_ref *)(const void *)a->data;

        for (uint32_t i = 0; s->n && i < a->len; i++) {
            mark_ref(h, refs[i]);
            if (i % SCAN_CHUNK == SCAN_CHUNK - 1 && th && !sv_thread_ok(th))
                return false;
        }
        return true;
    }
    for (uint32_t i = 0; i < s->n; i++) {
        memcpy(&r, (const char *)o + s->offsets[i], sizeof r);
        mark_ref(h, r);
    }
    return true;
}

static bool drain(struct sv_gc_heap *h, struct sv_thread *th)
{
    uint32_t n = 0;

    while (h->depth) {
        if (!scan_object(h, th, h->stack[--h->depth]))
            return false;
        if (++n % SCAN_CHUNK == 0 && th && !sv_thread_ok(th))
            return false;
    }
    return true;
}

/* Call fn for every object's header; false as soon as fn says so or the guest is interrupted. */
static bool each_object(struct sv_gc_heap *h, struct sv_thread *th,
                        bool (*fn)(struct sv_gc_heap *, struct sv_thread *, struct sv_object *))
{
    for (uint32_t i = 0; i < h->high; i++) {
        const struct block *b = &h->blocks[i];
        uint32_t n = b->kind == BLOCK_CELLS ? cells_of(b) : b->kind == BLOCK_RUN;
        uint32_t size = b->kind == BLOCK_CELLS ? cell_sizes[b->cls] : 0;

        if (th && !sv_thread_ok(th))
            return false;
        for (uint32_t c = 0; c < n; c++) {
            struct sv_object *o =
                (struct sv_object *)(void *)(block_address(h, i) + (size_t)c * size);

            if ((o->flags & SV_OBJECT_LIVE) && !fn(h, th, o))
                return false;
        }
    }
    return true;
}

static bool clear_mark(struct sv_gc_heap *h, struct sv_thread *th, struct sv_object *o)
{
    (void)h;
    (void)th;
    o->flags &= ~(uint32_t)SV_OBJECT_MARK;
    return true;
}

static bool rescan(struct sv_gc_heap *h, struct sv_thread *th, struct sv_object *o)
{
    return !(o->flags & SV_OBJECT_MARK) || (scan_object(h, th, o) && drain(h, th));
}

static bool mark_table(struct sv_gc_heap *h, struct sv_thread *th, const struct sv_table *t)
{
    for (uint64_t i = 0; i < t->size; i++) {
        mark_ref(h, t->elems[i]);
        if (i % SCAN_CHUNK == SCAN_CHUNK - 1 && th && !sv_thread_ok(th))
            return false;
    }
    return true;
}

static void mark_elems(struct sv_gc_heap *h, const struct sv_types *types,
                       const struct sv_instance *inst)
{
    for (uint32_t e = 0; inst->elem_refs && e < inst->module->nelems; e++) {
        const struct sv_elem_decl *d = &inst->module->elems[e];

        if (!inst->elem_refs[e] || !sv_valtype_is_traced(types, d->type))
            continue;
        for (uint32_t i = 0; i < d->len; i++)
            mark_ref(h, inst->elem_refs[e][i]);
    }
}

/* The frames of native code, which hold references anywhere, and what is on its way into them.
 * False: interrupted. */
static bool mark_native(struct sv_store *s, struct sv_thread *th)
{
    const uint64_t *p = s->thread.native_sp;
    const uint8_t *end;

    if (!p)
        return true;
    end = s->native_region->base + s->native_region->committed;
    for (uint32_t i = 1; (const uint8_t *)p < end; p++, i++) {
        mark_inside(s->gc, *p);
        if (i % SCAN_CHUNK == 0 && th && !sv_thread_ok(th))
            return false;
    }
    mark_inside(s->gc, s->thread.native_ret);
    for (const struct sv_instance *i = s->instances; i; i = i->next)
        mark_ref(s->gc, i->exn);
    return true;
}

static bool mark_roots(struct sv_store *s, struct sv_thread *th)
{
    const struct sv_types *types = s->engine->types;
    struct sv_gc_heap *h = s->gc;

    for (const union sv_slot *p = s->thread.stack; p < s->thread.sp; p++)
        mark_maybe(h, p->i64);
    if (!mark_native(s, th))
        return false;
    mark_ref(h, s->thread.exn);
    for (const struct sv_global *g = s->globals; g; g = g->next)
        if (sv_valtype_is_traced(types, g->type.type))
            mark_ref(h, g->value.ref);
    for (const struct sv_table *t = s->tables; t; t = t->next)
        if (sv_valtype_is_traced(types, t->type.type) && !mark_table(h, th, t))
            return false;
    for (const struct sv_instance *i = s->instances; i; i = i->next)
        mark_elems(h, types, i);
    /* Handles may hold functions too: ask before believing. */
    for (uint32_t i = 1; i <= s->nhandles; i++)
        mark_maybe(h, s->handles[i]);
    return true;
}

static bool mark_all(struct sv_store *s, struct sv_thread *th)
{
    struct sv_gc_heap *h = s->gc;

    if (!mark_roots(s, th) || !drain(h, th))
        return false;
    while (h->overflow) {
        h->overflow = false;
        if (!each_object(h, th, rescan))
            return false;
    }
    return true;
}

/* False: interrupted. th NULL: not interruptible. */
static bool collect(struct sv_store *s, struct sv_thread *th)
{
    struct sv_gc_heap *h = s->gc;

    if (!sweep_all(h, th))
        return false;
    if (h->stale_marks && !each_object(h, th, clear_mark))
        return false;
    h->stale_marks = true;
    h->marked = 0;
    h->depth = 0;
    h->overflow = false;
    if (!mark_all(s, th))
        return false;
    h->stale_marks = false;
    h->used = h->marked;
    h->since = 0;
    h->threshold = h->used > THRESHOLD_MIN ? h->used : THRESHOLD_MIN;
    start_sweep(h);
    return true;
}

void sv_gc_collect(struct sv_store *s)
{
    if (s->gc)
        collect(s, NULL);
}

/* ---- Allocation
 * -------------------------------------------------------------------------------------------- */

static unsigned class_for(const struct sv_gc_heap *h, size_t size)
{
    unsigned cls;

    if (size <= 2048)
        return h->class_of[(size + 15) / 16];
    for (cls = h->class_of[2048 / 16]; cell_sizes[cls] < size; cls++)
        ;
    return cls;
}

/* Cells for the class: by sweeping, or from a fresh block. */
static bool refill(struct sv_gc_heap *h, struct sv_thread *th, unsigned cls)
{
    struct block *b;
    uint32_t number;

    while (sweep_next(h, cls)) {
        if (h->free[cls])
            return true;
        if (!sv_thread_ok(th))
            return false;
    }
    number = find_run(h, 1);
    if (number == UINT32_MAX) {
        if (!sweep_all(h, th))
            return false;
        number = find_run(h, 1);
        if (number == UINT32_MAX)
            return false;
    }
    b = &h->blocks[number];
    if (b->dirty)
        memset(block_address(h, number), 0, BLOCK_SIZE);
    *b = (struct block){.kind = BLOCK_CELLS, .cls = (uint8_t)cls};
    h->bump[cls] = block_address(h, number);
    h->bump_end[cls] = h->bump[cls] + (size_t)cells_of(b) * cell_sizes[cls];
    return true;
}

static void *new_cell(struct sv_gc_heap *h, struct sv_thread *th, unsigned cls)
{
    struct free_cell *c;
    void *p;

    for (;;) {
        c = h->free[cls];
        if (c) {
            h->free[cls] = c->next;
            return memset(c, 0, cell_sizes[cls]);
        }
        if (h->bump[cls] != h->bump_end[cls]) {
            p = h->bump[cls];
            h->bump[cls] += cell_sizes[cls];
            return p;
        }
        if (!refill(h, th, cls))
            return NULL;
    }
}

static void *new_run(struct sv_gc_heap *h, struct sv_thread *th, uint32_t n)
{
    uint32_t number = find_run(h, n);

    if (number == UINT32_MAX) {
        if (!sweep_all(h, th))
            return NULL;
        number = find_run(h, n);
        if (number == UINT32_MAX)
            return NULL;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct block *b = &h->blocks[number + i];

        if (b->dirty)
            memset(block_address(h, number + i), 0, BLOCK_SIZE);
        *b = (struct block){.kind = i ? BLOCK_RUN_TAIL : BLOCK_RUN, .run = n};
        if (i)
            b->next = number + 1;
    }
    return block_address(h, number);
}

static void *take_space(struct sv_gc_heap *h, struct sv_thread *th, unsigned cls, size_t bytes)
{
    if (bytes > h->limit || h->used > h->limit - bytes)
        return NULL;
    return cls == CLASS_LARGE ? new_run(h, th, (uint32_t)(bytes >> BLOCK_SHIFT))
                              : new_cell(h, th, cls);
}

static struct sv_object *allocate(struct sv_thread *th, const struct sv_type *t, uint64_t size,
                                  uint32_t flags)
{
    struct sv_store *s = th->store;
    struct sv_gc_heap *h = s->gc;
    bool collected = false;
    struct sv_object *o;
    size_t bytes;
    unsigned cls;

    if (!h) {
        h = s->gc = heap_new(s);
        if (!h)
            return NULL;
    }
    if (size > h->limit || !ensure_shape(h, s->engine->types, t))
        return NULL;
    cls = size > CELL_MAX ? (unsigned)CLASS_LARGE : class_for(h, size);
    bytes = cls == CLASS_LARGE ? (size + BLOCK_SIZE - 1) & ~(BLOCK_SIZE - 1) : cell_sizes[cls];
    if (h->since >= h->threshold || s->engine->gc_stress) {
        if (!collect(s, th))
            return NULL;
        collected = true;
    }
    o = take_space(h, th, cls, bytes);
    if (!o && !collected && sv_thread_ok(th) && collect(s, th))
        o = take_space(h, th, cls, bytes);
    if (!o)
        return NULL;
    h->used += bytes;
    h->since += bytes;
    o->type_id = t->id;
    o->flags = flags | SV_OBJECT_LIVE;
    return o;
}

struct sv_object *sv_gc_new_struct(struct sv_thread *th, const struct sv_type *t)
{
    return allocate(th, t, t->strct.size, 0);
}

struct sv_array *sv_gc_new_array(struct sv_thread *th, const struct sv_type *t, uint32_t len)
{
    uint64_t size = SV_GC_ARRAY_BASE + (uint64_t)len * t->array.field.size;
    struct sv_array *a = (struct sv_array *)allocate(th, t, size, SV_OBJECT_ARRAY);

    if (a)
        a->len = len;
    return a;
}

struct sv_exn *sv_gc_new_exn(struct sv_thread *th, struct sv_tag *tag)
{
    uint64_t size =
        sizeof(struct sv_exn) + (uint64_t)tag->type->func.param_slots * sizeof(union sv_slot);
    struct sv_exn *e = (struct sv_exn *)allocate(th, tag->type, size, SV_OBJECT_EXN);

    if (e) {
        e->tag = tag;
        e->nslots = tag->type->func.param_slots;
    }
    return e;
}
