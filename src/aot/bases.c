/* Array accesses keep the array's own address alive. The collector knows what native frames hold by
 * address: an object is seen by any address inside it. Code generation may turn the addresses of a
 * loop's accesses into one that moves, which begins before the array's elements or ends behind
 * them, and keep nothing else across a call. So, after all passes over the IR, an empty instruction
 * behind an access wants the base. Fields need none: their addresses do not move, and the smallest
 * offset that shares a base lies inside the object. */
#include <string.h>

#include "aot/unit.h"

/* Addresses within addresses that are looked through; bases remembered in a block. */
#define DEPTH_MAX 16
#define BASES_MAX 8

/* Bits of LLVM's MemoryEffects: reads and writes memory that code does not know of. */
#define INACCESSIBLE_MEMORY (3 << 2)

struct bases {
    struct lower_unit *u;
    LLVMValueRef code;
    LLVMTypeRef type;
    LLVMValueRef recent[BASES_MAX];
    unsigned n;
};

/* May it collect? */
static bool is_call(LLVMValueRef inst)
{
    LLVMValueRef callee;
    size_t len;

    if (!LLVMIsACallInst(inst))
        return false;
    callee = LLVMGetCalledValue(inst);
    return !LLVMIsAFunction(callee) || (LLVMGetIntrinsicID(callee) == 0 &&
                                        strcmp(LLVMGetValueName2(callee, &len), SV_AOT_TRAP_NAME));
}

static bool has_calls(LLVMValueRef f)
{
    for (LLVMBasicBlockRef b = LLVMGetFirstBasicBlock(f); b; b = LLVMGetNextBasicBlock(b)) {
        for (LLVMValueRef i = LLVMGetFirstInstruction(b); i; i = LLVMGetNextInstruction(i)) {
            if (is_call(i))
                return true;
        }
    }
    return false;
}

/* The object's address that an element's is computed from; NULL: it is none. */
static LLVMValueRef base_of(LLVMValueRef pointer)
{
    bool element = false;

    for (unsigned depth = 0; LLVMIsAGetElementPtrInst(pointer) && depth < DEPTH_MAX; depth++) {
        for (int i = 1; i < LLVMGetNumOperands(pointer); i++)
            element |= !LLVMIsConstant(LLVMGetOperand(pointer, (unsigned)i));
        pointer = LLVMGetOperand(pointer, 0);
    }
    /* All else that code accesses is found through pointers. */
    if (!element || !(LLVMIsAIntToPtrInst(pointer) || LLVMIsAPHINode(pointer) ||
                      LLVMIsASelectInst(pointer) || LLVMIsAGetElementPtrInst(pointer)))
        return NULL;
    return pointer;
}

static void keep(struct bases *k, LLVMValueRef pointer, LLVMValueRef access)
{
    LLVMValueRef base = base_of(pointer), call;
    struct lower_unit *u = k->u;

    if (!base)
        return;
    for (unsigned i = 0; i < BASES_MAX && i < k->n; i++) {
        if (k->recent[i] == base)
            return;
    }
    k->recent[k->n++ % BASES_MAX] = base;
    LLVMPositionBuilderBefore(u->b, LLVMGetNextInstruction(access));
    LLVMSetCurrentDebugLocation2(u->b, NULL);
    call = LLVMBuildCall2(u->b, k->type, k->code, &base, 1, "");
    LLVMAddCallSiteAttribute(call, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                             LLVMCreateEnumAttribute(u->ctx,
                                                     LLVMGetEnumAttributeKindForName("memory", 6),
                                                     INACCESSIBLE_MEMORY));
}

/* Loads and stores of the vectoriser, with a mask. */
static void keep_of_intrinsic(struct bases *k, LLVMValueRef inst)
{
    LLVMValueRef callee = LLVMGetCalledValue(inst);

    if (!LLVMIsAFunction(callee) || LLVMGetIntrinsicID(callee) == 0)
        return;
    for (unsigned i = 0; i < LLVMGetNumArgOperands(inst); i++) {
        LLVMValueRef arg = LLVMGetArgOperand(inst, i);

        if (LLVMTypeOf(arg) == k->u->t.ptr)
            keep(k, arg, inst);
    }
}

/* From its end, so that the last access of each base is the one that keeps it. */
static void keep_in_block(struct bases *k, LLVMBasicBlockRef b)
{
    LLVMValueRef i = LLVMGetLastInstruction(b), before;

    k->n = 0;
    for (; i; i = before) {
        before = LLVMGetPreviousInstruction(i);
        if (LLVMIsALoadInst(i))
            keep(k, LLVMGetOperand(i, 0), i);
        else if (LLVMIsAStoreInst(i))
            keep(k, LLVMGetOperand(i, 1), i);
        else if (LLVMIsACallInst(i))
            keep_of_intrinsic(k, i);
    }
}

void sv_aot_keep_bases(struct lower_unit *u)
{
    struct bases k = {.u = u, .type = LLVMFunctionType(u->t.voidt, &u->t.ptr, 1, false)};
    bool arrays = false;

    for (uint32_t i = 0; i < u->m->ntypes && !arrays; i++)
        arrays = u->m->types[i]->form == SV_FORM_ARRAY;
    if (!arrays)
        return;
    k.code = LLVMGetInlineAsm(k.type, "", 0, "r", 1, true, false, LLVMInlineAsmDialectATT, false);
    for (LLVMValueRef f = LLVMGetFirstFunction(u->mod); f; f = LLVMGetNextFunction(f)) {
        if (!has_calls(f))
            continue;
        for (LLVMBasicBlockRef b = LLVMGetFirstBasicBlock(f); b; b = LLVMGetNextBasicBlock(b))
            keep_in_block(&k, b);
    }
}
