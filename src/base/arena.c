/* An arena: blocks that double in size, freed whole. Nothing inside is freed alone. */
#include "base/arena.h"

#include <stdint.h>
#include <string.h>

#define ALIGN 16
#define FIRST_BLOCK 1024
#define KEPT_BLOCK ((size_t)64 << 10)   /* by sv_arena_clear, at most */
#define LARGEST_BLOCK ((size_t)1 << 20) /* larger requests get a block of their own */

struct sv_arena_block {
    struct sv_arena_block *older;
    size_t size; /* bytes after this header */
};
_Static_assert(sizeof(struct sv_arena_block) % ALIGN == 0, "block contents are aligned");

void sv_arena_init(struct sv_arena *a, size_t max)
{
    *a = (struct sv_arena){.max = max};
}

void sv_arena_release(struct sv_arena *a)
{
    struct sv_arena_block *block = a->head;

    while (block) {
        struct sv_arena_block *older = block->older;

        sv_free(block);
        block = older;
    }
    *a = (struct sv_arena){.max = a->max};
}

void sv_arena_clear(struct sv_arena *a)
{
    struct sv_arena_block *kept = a->head;
    struct sv_arena older = {.head = kept ? kept->older : NULL};

    if (!kept || kept->size > KEPT_BLOCK) {
        sv_arena_release(a);
        return;
    }
    sv_arena_release(&older);
    kept->older = NULL;
    a->next = (unsigned char *)(kept + 1);
    a->used = sizeof *kept + kept->size;
}

static struct sv_arena_block *add_block(struct sv_arena *a, size_t size)
{
    struct sv_arena_block *block;
    size_t bytes = sizeof *block + size;

    if (a->max && (bytes > a->max || a->used > a->max - bytes))
        return NULL;
    block = sv_alloc(bytes);
    if (!block)
        return NULL;
    block->size = size;
    a->used += bytes;
    return block;
}

void *sv_arena_alloc(struct sv_arena *a, size_t size)
{
    struct sv_arena_block *block;
    size_t grown;
    void *p;

    if (size > PTRDIFF_MAX - LARGEST_BLOCK)
        return NULL;
    size = size ? (size + ALIGN - 1) & ~(size_t)(ALIGN - 1) : ALIGN;
    if (size > (size_t)(a->end - a->next)) {
        grown = a->head ? a->head->size * 2 : FIRST_BLOCK;
        if (grown > LARGEST_BLOCK)
            grown = LARGEST_BLOCK;
        if (size >= grown && a->head) { /* behind the head, whose free part stays in use */
            block = add_block(a, size);
            if (!block)
                return NULL;
            block->older = a->head->older;
            a->head->older = block;
            return block + 1;
        }
        block = add_block(a, size > grown ? size : grown);
        if (!block && size < grown) /* near the limit: no more than is needed */
            block = add_block(a, size);
        if (!block)
            return NULL;
        block->older = a->head;
        a->head = block;
        a->next = (unsigned char *)(block + 1);
        a->end = a->next + block->size;
    }
    p = a->next;
    a->next += size;
    return p;
}

void *sv_arena_zero(struct sv_arena *a, size_t size)
{
    void *p = sv_arena_alloc(a, size);

    if (p)
        memset(p, 0, size);
    return p;
}

void *sv_arena_array_zero(struct sv_arena *a, size_t count, size_t size)
{
    size_t bytes;

    return sv_mul_size(count, size, &bytes) ? sv_arena_zero(a, bytes) : NULL;
}

char *sv_arena_strndup(struct sv_arena *a, const char *s, size_t len)
{
    char *copy = len < PTRDIFF_MAX ? sv_arena_alloc(a, len + 1) : NULL;

    if (!copy)
        return NULL;
    if (len)
        memcpy(copy, s, len);
    copy[len] = '\0';
    return copy;
}
