/* While the loop vectoriser looks: a base of its own for each moving pointer. All accesses hang off
 * the one base of memory, so LLVM's loop access analysis compares each with each, and finds that
 * c[j] and c[j + 1], which the guest's compiler made of c[j] by unrolling, overlap: the vector loop
 * is made and never entered. With a base for each pointer the run-time checks are between pointers.
 * The marker is a call that only says "another base"; all are gone before anything else runs. */
#include <stdio.h>
#include <string.h>

#include "aot/unit.h"

#define MARKER "ssvm.base"
#define POINTERS_MAX 8
#define DEPTH_MAX 8

struct loop {
    LLVMValueRef fn;
    LLVMBasicBlockRef body, before; /* one block, and where it is entered from */
    LLVMValueRef phis[POINTERS_MAX], bases[POINTERS_MAX];
    unsigned n;
};

static bool branches_to(LLVMValueRef terminator, LLVMBasicBlockRef to)
{
    for (unsigned i = 0; i < LLVMGetNumSuccessors(terminator); i++) {
        if (LLVMGetSuccessor(terminator, i) == to)
            return true;
    }
    return false;
}

/* A call that is no intrinsic may do anything. */
static bool harmless(LLVMValueRef inst)
{
    LLVMValueRef callee;
    size_t len;

    if (!LLVMIsACallInst(inst))
        return true;
    callee = LLVMGetCalledValue(inst);
    return LLVMIsAFunction(callee) && strncmp(LLVMGetValueName2(callee, &len), "llvm.", 5) == 0;
}

/* Is the block a loop that a vectoriser may look at: alone, entered from one place, without calls,
 * with a store? */
static bool find_loop(LLVMBasicBlockRef b, struct loop *ret)
{
    LLVMValueRef first = LLVMGetFirstInstruction(b);
    bool stores = false;

    if (!first || !LLVMIsAPHINode(first) || LLVMCountIncoming(first) != 2 ||
        !branches_to(LLVMGetBasicBlockTerminator(b), b))
        return false;
    for (LLVMValueRef i = first; i; i = LLVMGetNextInstruction(i)) {
        if (!harmless(i))
            return false;
        stores |= LLVMIsAStoreInst(i) != NULL;
    }
    *ret = (struct loop){.body = b};
    for (unsigned i = 0; i < 2; i++) {
        if (LLVMGetIncomingBlock(first, i) != b)
            ret->before = LLVMGetIncomingBlock(first, i);
    }
    return stores && ret->before;
}

/* The loop's phi that an index is computed from; NULL: none, or not seen. */
static LLVMValueRef phi_of(const struct loop *l, LLVMValueRef v, unsigned depth)
{
    LLVMValueRef found = NULL;

    if (!LLVMIsAInstruction(v) || LLVMGetInstructionParent(v) != l->body || depth > DEPTH_MAX)
        return NULL;
    if (LLVMIsAPHINode(v))
        return v;
    if (LLVMIsALoadInst(v))
        return NULL;
    for (int i = 0; i < LLVMGetNumOperands(v) && !found; i++)
        found = phi_of(l, LLVMGetOperand(v, (unsigned)i), depth + 1);
    return found;
}

/* Is the loop over when two values that both move meet? It seldom runs long (the ends of an array,
 * towards its middle), and the number of its iterations, before a vector loop could be chosen,
 * costs more than some of them. */
static bool ends_meet(const struct loop *l)
{
    LLVMValueRef branch = LLVMGetBasicBlockTerminator(l->body), cond;

    if (!LLVMIsABranchInst(branch) || !LLVMIsConditional(branch))
        return false;
    cond = LLVMGetCondition(branch);
    return LLVMIsAICmpInst(cond) && phi_of(l, LLVMGetOperand(cond, 0), 0) &&
           phi_of(l, LLVMGetOperand(cond, 1), 0);
}

/* A loop's metadata is a node whose first operand is the node itself. */
static void stay_scalar(struct lower_unit *u, const struct loop *l)
{
    static const char name[] = "llvm.loop.vectorize.enable";
    LLVMMetadataRef option[2] = {
        LLVMMDStringInContext2(u->ctx, name, sizeof name - 1),
        LLVMValueAsMetadata(LLVMConstInt(u->t.i1, 0, false)),
    };
    LLVMMetadataRef self = LLVMTemporaryMDNode(u->ctx, NULL, 0),
                    nodes[2] = {self, LLVMMDNodeInContext2(u->ctx, option, 2)};
    LLVMMetadataRef node = LLVMMDNodeInContext2(u->ctx, nodes, 2);

    LLVMMetadataReplaceAllUsesWith(self, node);
    LLVMSetMetadata(LLVMGetBasicBlockTerminator(l->body),
                    LLVMGetMDKindIDInContext(u->ctx, "llvm.loop", 9),
                    LLVMMetadataAsValue(u->ctx, node));
}

static LLVMValueRef marker_function(struct lower_unit *u)
{
    static const char *const attributes[] = {"nounwind", "willreturn", "speculatable", "nosync",
                                             "nofree"};
    LLVMTypeRef params[2] = {u->t.ptr, u->t.i32};
    LLVMValueRef f = LLVMGetNamedFunction(u->mod, MARKER);

    if (f)
        return f;
    f = LLVMAddFunction(u->mod, MARKER, LLVMFunctionType(u->t.ptr, params, 2, false));
    for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++) {
        unsigned id = LLVMGetEnumAttributeKindForName(attributes[i], strlen(attributes[i]));

        LLVMAddAttributeAtIndex(f, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                                LLVMCreateEnumAttribute(u->ctx, id, 0));
    }
    /* memory(none) */
    LLVMAddAttributeAtIndex(
        f, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
        LLVMCreateEnumAttribute(u->ctx, LLVMGetEnumAttributeKindForName("memory", 6), 0));
    return f;
}

/* The base for pointers that move with this phi. */
static LLVMValueRef base_for(struct lower_unit *u, struct loop *l, LLVMValueRef phi)
{
    LLVMValueRef f = marker_function(u), args[2];

    for (unsigned i = 0; i < l->n; i++) {
        if (l->phis[i] == phi)
            return l->bases[i];
    }
    if (l->n == POINTERS_MAX)
        return NULL;
    LLVMPositionBuilderBefore(u->b, LLVMGetBasicBlockTerminator(l->before));
    LLVMSetCurrentDebugLocation2(u->b, NULL);
    args[0] = LLVMGetParam(l->fn, 1);
    args[1] = LLVMConstInt(u->t.i32, l->n, false);
    l->phis[l->n] = phi;
    l->bases[l->n] = LLVMBuildCall2(u->b, LLVMGlobalGetValueType(f), f, args, 2, "");
    return l->bases[l->n++];
}

static void mark_access(struct lower_unit *u, struct loop *l, LLVMValueRef pointer)
{
    LLVMValueRef mem0 = LLVMGetParam(l->fn, 1), phi = NULL, base;

    while (LLVMIsAGetElementPtrInst(pointer) && LLVMGetInstructionParent(pointer) == l->body) {
        for (int i = 1; i < LLVMGetNumOperands(pointer) && !phi; i++)
            phi = phi_of(l, LLVMGetOperand(pointer, (unsigned)i), 0);
        if (LLVMGetOperand(pointer, 0) == mem0)
            break;
        pointer = LLVMGetOperand(pointer, 0);
    }
    if (!phi || !LLVMIsAGetElementPtrInst(pointer) || LLVMGetOperand(pointer, 0) != mem0 ||
        LLVMGetInstructionParent(pointer) != l->body)
        return;
    base = base_for(u, l, phi);
    if (base)
        LLVMSetOperand(pointer, 0, base);
}

void sv_aot_mark(struct lower_unit *u)
{
    for (LLVMValueRef f = LLVMGetFirstFunction(u->mod); f; f = LLVMGetNextFunction(f)) {
        for (LLVMBasicBlockRef b = LLVMGetFirstBasicBlock(f); b; b = LLVMGetNextBasicBlock(b)) {
            struct loop l;

            if (LLVMCountParams(f) < 2 || !find_loop(b, &l))
                continue;
            if (ends_meet(&l)) {
                stay_scalar(u, &l);
                continue;
            }
            l.fn = f;
            for (LLVMValueRef i = LLVMGetFirstInstruction(b); i; i = LLVMGetNextInstruction(i)) {
                if (LLVMIsALoadInst(i))
                    mark_access(u, &l, LLVMGetOperand(i, 0));
                else if (LLVMIsAStoreInst(i))
                    mark_access(u, &l, LLVMGetOperand(i, 1));
            }
        }
    }
}

static bool is_vector(LLVMValueRef v)
{
    return LLVMGetTypeKind(LLVMTypeOf(v)) == LLVMVectorTypeKind;
}

/* One value in both lanes, or one lane taken out: as good in scalar code, with two lanes. */
static bool one_value(LLVMValueRef v)
{
    LLVMTypeRef type = LLVMTypeOf(LLVMIsAExtractElementInst(v) ? LLVMGetOperand(v, 0) : v);

    if (LLVMGetVectorSize(type) != 2)
        return false;
    if (LLVMIsAShuffleVectorInst(v))
        return LLVMGetMaskValue(v, 0) == 0 && LLVMGetMaskValue(v, 1) == 0 &&
               LLVMIsAInsertElementInst(LLVMGetOperand(v, 0));
    return LLVMIsAExtractElementInst(v) || LLVMIsUndef(LLVMGetOperand(v, 0));
}

/* Does the loop load vectors, and do nothing with them but element by element? */
static bool elementwise(const struct loop *l)
{
    bool loads = false;

    for (LLVMValueRef i = LLVMGetFirstInstruction(l->body); i; i = LLVMGetNextInstruction(i)) {
        bool lanes = LLVMIsAShuffleVectorInst(i) || LLVMIsAExtractElementInst(i) ||
                     LLVMIsAInsertElementInst(i);

        if ((lanes && !one_value(i)) || (LLVMIsACallInst(i) && is_vector(i)))
            return false;
        loads |= LLVMIsALoadInst(i) && is_vector(i);
    }
    return loads;
}

bool sv_aot_wants_scalars(LLVMValueRef f)
{
    for (LLVMBasicBlockRef b = LLVMGetFirstBasicBlock(f); b; b = LLVMGetNextBasicBlock(b)) {
        struct loop l;

        if (find_loop(b, &l) && elementwise(&l))
            return true;
    }
    return false;
}

void sv_aot_unmark(struct lower_unit *u)
{
    LLVMValueRef f = LLVMGetNamedFunction(u->mod, MARKER);
    LLVMUseRef use;

    while (f && (use = LLVMGetFirstUse(f))) {
        LLVMValueRef call = LLVMGetUser(use);

        LLVMReplaceAllUsesWith(call, LLVMGetOperand(call, 0));
        LLVMInstructionEraseFromParent(call);
    }
    if (f)
        LLVMDeleteFunction(f);
}
