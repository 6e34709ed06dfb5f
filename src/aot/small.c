/* Copies and fills of few bytes whose number is not known before: two small functions of every
 * image, so that neither the stack nor the library changes. Their callers have checked the bounds.
 */
#include "aot/unit.h"

/* Pieces of one size from both ends; the ones in the middle overlap where there are fewer bytes. */
static const struct step {
    uint32_t least; /* bytes */
    uint32_t piece, n;
} steps[] = {{129, 32, 8}, {65, 16, 8}, {33, 16, 4}, {16, 16, 2},
             {8, 8, 2},    {4, 4, 2},   {2, 2, 2},   {1, 1, 1}};

struct small {
    struct lower_unit *u;
    LLVMValueRef fn, dst, src, len; /* src of a fill: 8 times the byte */
    bool copy;
};

static LLVMTypeRef piece_type(const struct small *s, uint32_t bytes)
{
    return bytes > 8 ? LLVMVectorType(s->u->t.i64, bytes / 8)
                     : LLVMIntTypeInContext(s->u->ctx, bytes * 8);
}

/* Address of piece i: from the beginning or from the end. */
static LLVMValueRef place(const struct small *s, LLVMValueRef base, const struct step *t,
                          uint32_t i)
{
    LLVMValueRef at = LLVMConstInt(s->u->t.i64, (uint64_t)i * t->piece, false);

    if (i >= (t->n + 1) / 2)
        at = LLVMBuildSub(s->u->b, s->len,
                          LLVMConstInt(s->u->t.i64, (uint64_t)(t->n - i) * t->piece, false), "");
    return LLVMBuildGEP2(s->u->b, s->u->t.i8, base, &at, 1, "");
}

static LLVMValueRef fill_value(const struct small *s, const struct step *t)
{
    LLVMTypeRef type = piece_type(s, t->piece);
    LLVMValueRef v;

    if (t->piece <= 8)
        return t->piece == 8 ? s->src : LLVMBuildTrunc(s->u->b, s->src, type, "");
    v = LLVMBuildInsertElement(s->u->b, LLVMGetPoison(type), s->src,
                               LLVMConstInt(s->u->t.i32, 0, false), "");
    return LLVMBuildShuffleVector(s->u->b, v, v,
                                  LLVMConstNull(LLVMVectorType(s->u->t.i32, t->piece / 8)), "");
}

/* All is read before anything is written. */
static void move(const struct small *s, const struct step *t)
{
    LLVMValueRef v[8], access;

    for (uint32_t i = 0; i < t->n; i++) {
        if (!s->copy) {
            v[i] = i ? v[0] : fill_value(s, t);
            continue;
        }
        v[i] = LLVMBuildLoad2(s->u->b, piece_type(s, t->piece), place(s, s->src, t, i), "");
        LLVMSetAlignment(v[i], 1);
    }
    for (uint32_t i = 0; i < t->n; i++) {
        access = LLVMBuildStore(s->u->b, v[i], place(s, s->dst, t, i));
        LLVMSetAlignment(access, 1);
    }
    LLVMBuildRetVoid(s->u->b);
}

void lower_unit_small(struct lower_unit *u, LLVMValueRef fn, bool copy)
{
    struct small s = {.u = u,
                      .fn = fn,
                      .dst = LLVMGetParam(fn, 0),
                      .src = LLVMGetParam(fn, 1),
                      .len = LLVMGetParam(fn, 2),
                      .copy = copy};

    lower_unit_attributes(u, fn);
    LLVMSetCurrentDebugLocation2(u->b, NULL);
    LLVMPositionBuilderAtEnd(u->b, LLVMAppendBasicBlockInContext(u->ctx, fn, ""));
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        LLVMBasicBlockRef hit = LLVMAppendBasicBlockInContext(u->ctx, fn, ""),
                          next = LLVMAppendBasicBlockInContext(u->ctx, fn, "");
        LLVMValueRef least = LLVMConstInt(u->t.i64, steps[i].least, false);

        LLVMBuildCondBr(u->b, LLVMBuildICmp(u->b, LLVMIntUGE, s.len, least, ""), hit, next);
        LLVMPositionBuilderAtEnd(u->b, hit);
        move(&s, &steps[i]);
        LLVMPositionBuilderAtEnd(u->b, next);
    }
    LLVMBuildRetVoid(u->b);
}
