/* What LLVM must not do with accesses of the guest's memory: each has the place of its instruction
 * in backtraces, and traps also where nobody wants the value (doc/internals/tiers.md). */
#include <string.h>

#include "aot/unit.h"

#define PIN "llvm.fake.use"
/* Of a value, until a widening is found. */
#define USES 32

static void pin(struct lower_unit *u, LLVMValueRef load)
{
    LLVMPositionBuilderBefore(u->b, LLVMGetNextInstruction(load));
    LLVMSetCurrentDebugLocation2(u->b, LLVMInstructionGetDebugLoc(load));
    LLVMBuildCall2(u->b, LLVMGlobalGetValueType(u->pin), u->pin, &load, 1, "");
}

static void each_load(struct lower_unit *u, void (*look)(struct lower_unit *u, LLVMValueRef load))
{
    u->pin =
        LLVMGetIntrinsicDeclaration(u->mod, LLVMLookupIntrinsicID(PIN, sizeof PIN - 1), NULL, 0);
    for (LLVMValueRef f = LLVMGetFirstFunction(u->mod); f; f = LLVMGetNextFunction(f)) {
        for (LLVMBasicBlockRef b = LLVMGetFirstBasicBlock(f); b; b = LLVMGetNextBasicBlock(b)) {
            for (LLVMValueRef v = LLVMGetFirstInstruction(b); v; v = LLVMGetNextInstruction(v)) {
                if (LLVMIsALoadInst(v) && LLVMGetMetadata(v, u->md_scope) != u->scope_host)
                    look(u, v);
            }
        }
    }
}

/* ---- Around passes ---- */

static void keep(struct lower_unit *u, LLVMValueRef load)
{
    if (!LLVMIsAAllocaInst(LLVMGetOperand(load, 0)))
        pin(u, load);
}

void lower_unit_keep_loads(struct lower_unit *u)
{
    each_load(u, keep);
}

void lower_unit_free_loads(struct lower_unit *u)
{
    LLVMUseRef next;

    for (LLVMUseRef use = LLVMGetFirstUse(u->pin); use; use = next) {
        LLVMValueRef call = LLVMGetUser(use), load = LLVMGetOperand(call, 0);

        next = LLVMGetNextUse(use);
        if (LLVMIsALoadInst(load) && LLVMGetVolatile(load))
            continue;
        LLVMInstructionEraseFromParent(call);
        if (LLVMIsALoadInst(load) && !LLVMGetFirstUse(load))
            LLVMSetVolatile(load, true);
    }
}

/* ---- Before code generation ---- */

LLVMValueRef lower_unit_hidden(struct lower_unit *u, LLVMBuilderRef b, LLVMValueRef v)
{
    LLVMTypeRef type = LLVMTypeOf(v), f = LLVMFunctionType(type, &type, 1, false);
    bool integer = LLVMGetTypeKind(type) == LLVMIntegerTypeKind,
         arm = strncmp(u->am->triple, "aarch64", 7) == 0;
    const char *constraints = integer ? "=r,0" : arm ? "=w,0" : "=x,0";

    return LLVMBuildCall2(b, f,
                          LLVMGetInlineAsm(f, "", 0, constraints, strlen(constraints), false, false,
                                           LLVMInlineAsmDialectATT, false),
                          &v, 1, "");
}

void lower_unit_hide(struct lower_unit *u, LLVMValueRef v, LLVMMetadataRef place)
{
    LLVMValueRef hidden;

    LLVMPositionBuilderBefore(u->b, LLVMGetNextInstruction(v));
    LLVMSetCurrentDebugLocation2(u->b, place);
    hidden = lower_unit_hidden(u, u->b, v);
    LLVMReplaceAllUsesWith(v, hidden);
    LLVMSetOperand(hidden, 0, v);
}

void lower_unit_fence(struct lower_unit *u, LLVMBuilderRef b)
{
    static const char memory[] = "~{memory}";
    LLVMTypeRef f = LLVMFunctionType(u->t.voidt, NULL, 0, false);

    LLVMBuildCall2(b, f,
                   LLVMGetInlineAsm(f, "", 0, memory, sizeof memory - 1, true, false,
                                    LLVMInlineAsmDialectATT, false),
                   NULL, 0, "");
}

/* What alone uses the value, but for its pin; NULL: nothing, or several. */
static LLVMValueRef only_user(struct lower_unit *u, LLVMValueRef v, bool *ret_pinned)
{
    LLVMValueRef found = NULL;

    *ret_pinned = false;
    for (LLVMUseRef use = LLVMGetFirstUse(v); use; use = LLVMGetNextUse(use)) {
        LLVMValueRef user = LLVMGetUser(use);

        if (LLVMIsACallInst(user) && LLVMGetCalledValue(user) == u->pin)
            *ret_pinned = true;
        else if (found)
            return NULL;
        else
            found = user;
    }
    return found;
}

/* What CodeGenPrepare does after a widening instead of before it. */
static bool widens_before(LLVMValueRef v)
{
    if (!LLVMIsABinaryOperator(v))
        return false;
    switch (LLVMGetInstructionOpcode(v)) {
    case LLVMAnd:
    case LLVMOr:
    case LLVMXor:
    case LLVMLShr:
    case LLVMShl:
        return true;
    case LLVMAdd:
    case LLVMSub:
    case LLVMMul:
        return LLVMGetNUW(v) || LLVMGetNSW(v);
    default:
        return false;
    }
}

static bool is_widening(LLVMValueRef v)
{
    return LLVMIsAZExtInst(v) || LLVMIsASExtInst(v);
}

/* Looks at no more uses than are left. */
static bool reaches_widening(LLVMValueRef v, unsigned *left)
{
    for (LLVMUseRef use = LLVMGetFirstUse(v); use && *left; use = LLVMGetNextUse(use)) {
        LLVMValueRef user = LLVMGetUser(use);

        --*left;
        if (is_widening(user) || (widens_before(user) && reaches_widening(user, left)))
            return true;
    }
    return false;
}

/* Takes a widening of the load in. The code generator widens operations of 8 and 16 bits; what is
 * wider moves behind a widening that comes later. */
static bool takes_widened(LLVMValueRef user, bool narrow)
{
    unsigned left = USES;

    switch (LLVMGetInstructionOpcode(user)) {
    case LLVMZExt:
    case LLVMSExt:
    case LLVMStore:
    case LLVMPHI:
    case LLVMCall:
        return false;
    default:
        return narrow || (widens_before(user) && reaches_widening(user, &left));
    }
}

static bool is_narrow(struct lower_unit *u, LLVMValueRef v)
{
    return LLVMTypeOf(v) == u->t.i8 || LLVMTypeOf(v) == u->t.i16;
}

/* The value of a load, of which LLVM knows nothing. */
static LLVMValueRef hidden_value(struct lower_unit *u, LLVMValueRef v)
{
    LLVMTypeRef type = LLVMTypeOf(v);
    bool narrow = is_narrow(u, v);

    LLVMPositionBuilderBefore(u->b, LLVMGetNextInstruction(v));
    LLVMSetCurrentDebugLocation2(u->b, LLVMInstructionGetDebugLoc(v));
    if (!narrow)
        return lower_unit_hidden(u, u->b, v);
    v = LLVMBuildZExt(u->b, v, u->t.i32, "");
    return LLVMBuildTrunc(u->b, lower_unit_hidden(u, u->b, v), type, "");
}

static void replace(LLVMValueRef user, LLVMValueRef v, LLVMValueRef by)
{
    for (int i = 0; i < LLVMGetNumOperands(user); i++) {
        if (LLVMGetOperand(user, (unsigned)i) == v)
            LLVMSetOperand(user, (unsigned)i, by);
    }
}

/* A widening that code generation makes has the place of an operation or none, and the load, which
 * becomes part of it, loses its own: so those operations get another value. */
static void hide(struct lower_unit *u, LLVMValueRef v)
{
    bool narrow = is_narrow(u, v);
    LLVMValueRef hidden = NULL;
    LLVMUseRef next;

    for (LLVMUseRef use = LLVMGetFirstUse(v); use; use = next) {
        LLVMValueRef user = LLVMGetUser(use);

        next = LLVMGetNextUse(use);
        if (!takes_widened(user, narrow))
            continue;
        if (!hidden)
            hidden = hidden_value(u, v);
        while (next && LLVMGetUser(next) == user)
            next = LLVMGetNextUse(next);
        replace(user, v, hidden);
    }
}

/* Of a load, and of its own widenings. */
static void hide_value(struct lower_unit *u, LLVMValueRef load)
{
    bool narrow = is_narrow(u, load);

    if (!narrow && LLVMTypeOf(load) != u->t.i32)
        return;
    for (LLVMUseRef use = LLVMGetFirstUse(load); use && narrow; use = LLVMGetNextUse(use)) {
        LLVMValueRef user = LLVMGetUser(use);

        if (is_widening(user) && !is_narrow(u, user))
            lower_unit_hide(u, user, LLVMInstructionGetDebugLoc(user));
    }
    hide(u, load);
}

/* May the user take the load for an operand? */
static bool may_fold(LLVMValueRef load, LLVMValueRef user)
{
    switch (LLVMGetInstructionOpcode(user)) {
    case LLVMStore:
    case LLVMPHI:
    case LLVMCall:
    case LLVMRet:
        return false;
    default:
        return LLVMGetInstructionParent(user) == LLVMGetInstructionParent(load);
    }
}

static void pin_load(struct lower_unit *u, LLVMValueRef load)
{
    bool pinned, exact = LLVMGetVolatile(load);
    LLVMValueRef user = only_user(u, load, &pinned);

    if (exact)
        hide_value(u, load); /* of all loads: a twentieth of compile time (decision 012) */
    if (user && !pinned && (exact || may_fold(load, user)))
        pin(u, load);
}

void lower_unit_pin_loads(struct lower_unit *u)
{
    each_load(u, pin_load);
}
