/* The counter of gas, between the passes over the IR and code generation. Two things that code
 * generation does well for values of a program are wrong for it:
 * - Of a loop's charge it makes two numbers, one that is looked at and one that goes round, each
 *   with a subtraction of its own. So behind each charge LLVM is told that the counter is another
 *   value, of which it knows nothing.
 * - Where the counter is noted is a constant distance from the instance. If that address is one
 *   value of the whole function it takes a register; made anew before each store it is part of it.
 */
#include <stddef.h>
#include <string.h>

#include "aot/unit.h"
#include "runtime/instance.h"

#define CHARGE "llvm.usub.with.overflow.i64"

/* The difference of a charge is used as if it came from elsewhere. */
static void hide_counter(struct lower_unit *u)
{
    LLVMValueRef f = LLVMGetNamedFunction(u->mod, CHARGE);

    for (LLVMUseRef c = f ? LLVMGetFirstUse(f) : NULL; c; c = LLVMGetNextUse(c)) {
        for (LLVMUseRef e = LLVMGetFirstUse(LLVMGetUser(c)); e; e = LLVMGetNextUse(e)) {
            LLVMValueRef part = LLVMGetUser(e);

            if (LLVMIsAExtractValueInst(part) && LLVMGetIndices(part)[0] == 0)
                lower_unit_hide(u, part, NULL);
        }
    }
}

static bool is_note(LLVMValueRef i, LLVMValueRef inst)
{
    LLVMValueRef at = LLVMIsAStoreInst(i) ? LLVMGetOperand(i, 1) : NULL, offset;

    if (!at || !LLVMIsAGetElementPtrInst(at) || LLVMGetOperand(at, 0) != inst ||
        LLVMGetNumOperands(at) != 2)
        return false;
    offset = LLVMGetOperand(at, 1);
    return LLVMIsAConstantInt(offset) &&
           LLVMConstIntGetZExtValue(offset) == offsetof(struct sv_instance, gas);
}

static void own_address(struct lower_unit *u, LLVMValueRef note)
{
    LLVMValueRef at = LLVMGetOperand(note, 1), index = LLVMGetOperand(at, 1);

    LLVMPositionBuilderBefore(u->b, note);
    LLVMSetCurrentDebugLocation2(u->b, NULL);
    LLVMSetOperand(note, 1,
                   LLVMBuildInBoundsGEP2(u->b, u->t.i8, LLVMGetOperand(at, 0), &index, 1, ""));
}

void sv_aot_pin_counter(struct lower_unit *u)
{
    hide_counter(u);
    for (LLVMValueRef f = LLVMGetFirstFunction(u->mod); f; f = LLVMGetNextFunction(f)) {
        for (LLVMBasicBlockRef b = LLVMGetFirstBasicBlock(f); b; b = LLVMGetNextBasicBlock(b)) {
            for (LLVMValueRef i = LLVMGetFirstInstruction(b); i; i = LLVMGetNextInstruction(i)) {
                if (is_note(i, LLVMGetParam(f, 0)))
                    own_address(u, i);
            }
        }
    }
}
