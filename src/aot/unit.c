/* A partition of a module: its LLVM context and module, and the small functions that every image
 * has. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "aot/lower.h"
#include "aot/unit.h"

/* llvm::CallingConv::Tail, which the C API has no name for. */
#define TAILCC 18u
/* llvm::UWTableKind::Async: exact at every instruction. */
#define UWTABLE_ASYNC 2

static void make_types(struct lower_unit *u)
{
    LLVMContextRef c = u->ctx;
    struct lower_types *t = &u->t;

    t->i1 = LLVMInt1TypeInContext(c);
    t->i8 = LLVMInt8TypeInContext(c);
    t->i16 = LLVMInt16TypeInContext(c);
    t->i32 = LLVMInt32TypeInContext(c);
    t->i64 = LLVMInt64TypeInContext(c);
    t->f32 = LLVMFloatTypeInContext(c);
    t->f64 = LLVMDoubleTypeInContext(c);
    t->ptr = LLVMPointerTypeInContext(c, 0);
    t->voidt = LLVMVoidTypeInContext(c);
    t->v16i8 = LLVMVectorType(t->i8, 16);
    t->v8i16 = LLVMVectorType(t->i16, 8);
    t->v4i32 = LLVMVectorType(t->i32, 4);
    t->v2i64 = LLVMVectorType(t->i64, 2);
    t->v4f32 = LLVMVectorType(t->f32, 4);
    t->v2f64 = LLVMVectorType(t->f64, 2);
}

static unsigned kind(struct lower_unit *u, const char *name)
{
    return LLVMGetMDKindIDInContext(u->ctx, name, (unsigned)strlen(name));
}

static LLVMMetadataRef text(struct lower_unit *u, const char *s)
{
    return LLVMMDStringInContext2(u->ctx, s, strlen(s));
}

/* Two scopes for the whole unit: what the guest can reach, and what is the host's. */
static void make_metadata(struct lower_unit *u)
{
    LLVMMetadataRef name = text(u, "ssvm"), domain = LLVMMDNodeInContext2(u->ctx, &name, 1);
    LLVMMetadataRef guest[2] = {text(u, "guest"), domain}, host[2] = {text(u, "host"), domain};
    LLVMMetadataRef g = LLVMMDNodeInContext2(u->ctx, guest, 2),
                    h = LLVMMDNodeInContext2(u->ctx, host, 2);
    LLVMMetadataRef weights[3] = {
        text(u, "branch_weights"),
        LLVMValueAsMetadata(LLVMConstInt(u->t.i32, 1, false)),
        LLVMValueAsMetadata(LLVMConstInt(u->t.i32, 1u << 20, false)),
    };

    u->scope_guest = LLVMMetadataAsValue(u->ctx, LLVMMDNodeInContext2(u->ctx, &g, 1));
    u->scope_host = LLVMMetadataAsValue(u->ctx, LLVMMDNodeInContext2(u->ctx, &h, 1));
    u->md_empty = LLVMMetadataAsValue(u->ctx, LLVMMDNodeInContext2(u->ctx, NULL, 0));
    u->md_unlikely = LLVMMetadataAsValue(u->ctx, LLVMMDNodeInContext2(u->ctx, weights, 3));
    u->md_scope = kind(u, "alias.scope");
    u->md_noalias = kind(u, "noalias");
    u->md_invariant = kind(u, "invariant.load");
    u->md_prof = kind(u, "prof");
    weights[1] = LLVMValueAsMetadata(LLVMConstInt(u->t.i32, 1u << 20, false));
    weights[2] = LLVMValueAsMetadata(LLVMConstInt(u->t.i32, 1, false));
    u->md_likely = LLVMMetadataAsValue(u->ctx, LLVMMDNodeInContext2(u->ctx, weights, 3));
}

static void make_debug_info(struct lower_unit *u)
{
    LLVMMetadataRef none = NULL;

    u->di = LLVMCreateDIBuilder(u->mod);
    u->di_file = LLVMDIBuilderCreateFile(u->di, "wasm", 4, "", 0);
    LLVMDIBuilderCreateCompileUnit(u->di, LLVMDWARFSourceLanguageC, u->di_file, "ssvm", 4, true, "",
                                   0, 0, "", 0, LLVMDWARFEmissionLineTablesOnly, 0, false, false,
                                   "", 0, "", 0);
    u->di_type = LLVMDIBuilderCreateSubroutineType(u->di, u->di_file, &none, 0, LLVMDIFlagZero);
    LLVMAddModuleFlag(
        u->mod, LLVMModuleFlagBehaviorWarning, "Debug Info Version", 18,
        LLVMValueAsMetadata(LLVMConstInt(u->t.i32, LLVMDebugMetadataVersion(), false)));
    LLVMAddModuleFlag(u->mod, LLVMModuleFlagBehaviorWarning, "Dwarf Version", 13,
                      LLVMValueAsMetadata(LLVMConstInt(u->t.i32, 5, false)));
}

static void attribute(struct lower_unit *u, LLVMValueRef f, const char *key, const char *value)
{
    LLVMAddAttributeAtIndex(f, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                            LLVMCreateStringAttribute(u->ctx, key, (unsigned)strlen(key), value,
                                                      (unsigned)strlen(value)));
}

static void enum_attribute(struct lower_unit *u, LLVMValueRef f, const char *name, uint64_t value)
{
    unsigned id = LLVMGetEnumAttributeKindForName(name, strlen(name));

    LLVMAddAttributeAtIndex(f, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                            LLVMCreateEnumAttribute(u->ctx, id, value));
}

void lower_unit_attributes(struct lower_unit *u, LLVMValueRef f)
{
    enum_attribute(u, f, "nounwind", 0);
    enum_attribute(u, f, "uwtable", UWTABLE_ASYNC);
    attribute(u, f, "target-cpu", u->am->cpu);
    attribute(u, f, "target-features", u->am->features);
    /* A tail call may move the end of the caller's arguments, and with it the stack pointer that
     * the caller's unwind table knows: its frame is found by the frame pointer then. Debuggers have
     * no other way. */
    attribute(u, f, "frame-pointer", u->am->tail_calls || u->opts->debug ? "all" : "none");
    /* As clang does: 512-bit registers only where the CPU's tuning wants them. */
    attribute(u, f, "min-legal-vector-width", "0");
    attribute(u, f, "probe-stack", "inline-asm");
    /* A loop must not become a call of memset: its faults would be the host's. */
    attribute(u, f, "no-builtins", "");
}

void lower_call_stays(struct lower_unit *u, LLVMValueRef call)
{
    unsigned id = LLVMGetEnumAttributeKindForName("nomerge", 7);

    LLVMAddCallSiteAttribute(call, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                             LLVMCreateEnumAttribute(u->ctx, id, 0));
}

/* For x86, LLVM 22 takes every `musttail` call for one that finds its arguments where the caller's
 * are: those on the stack are not written, and the callee pops its own number of bytes. The passes
 * have kept the return behind the call, and then `tail` promises with tailcc what `musttail` does.
 */
void lower_unit_settle_tail_calls(struct lower_unit *u)
{
    if (u->cc != TAILCC || strncmp(u->am->triple, "x86_64", 6) != 0)
        return;
    for (LLVMValueRef f = LLVMGetFirstFunction(u->mod); f; f = LLVMGetNextFunction(f)) {
        for (LLVMBasicBlockRef b = LLVMGetFirstBasicBlock(f); b; b = LLVMGetNextBasicBlock(b)) {
            LLVMValueRef call = LLVMGetPreviousInstruction(LLVMGetBasicBlockTerminator(b));

            if (call && LLVMIsACallInst(call) && LLVMGetInstructionCallConv(call) == TAILCC &&
                LLVMGetTailCallKind(call) == LLVMTailCallKindMustTail)
                LLVMSetTailCallKind(call, LLVMTailCallKindTail);
        }
    }
}

static LLVMTypeRef trap_type(struct lower_unit *u)
{
    LLVMTypeRef p[3] = {u->t.ptr, u->t.i64, u->t.i64};

    return LLVMFunctionType(u->t.voidt, p, 3, false);
}

static LLVMTypeRef thunk_type(struct lower_unit *u)
{
    LLVMTypeRef p[5] = {u->t.ptr, u->t.ptr, u->t.ptr, u->t.ptr, u->t.ptr};

    return LLVMFunctionType(u->t.voidt, p, u->gas ? 5 : 4, false);
}

static LLVMValueRef hidden_function(struct lower_unit *u, const char *name, LLVMTypeRef type)
{
    LLVMValueRef f = LLVMAddFunction(u->mod, name, type);

    LLVMSetVisibility(f, LLVMHiddenVisibility);
    return f;
}

/* A function that C enters. */
static LLVMValueRef outer_function(struct lower_unit *u, const char *name)
{
    LLVMValueRef f = hidden_function(u, name, thunk_type(u));

    if (u->gas)
        LLVMAddAttributeAtIndex(f, LLVMCountParams(f), u->gas);
    return f;
}

static LLVMTypeRef small_type(struct lower_unit *u, bool copy)
{
    LLVMTypeRef p[3] = {u->t.ptr, copy ? u->t.ptr : u->t.i64, u->t.i64};

    return LLVMFunctionType(u->t.voidt, p, 3, false);
}

bool lower_unit_init(struct lower_unit *u, const struct sv_aot_module *am)
{
    const struct sv_module *m = am->m;

    *u = (struct lower_unit){.am = am, .m = m, .opts = am->opts};
    u->funcs = sv_alloc_array_zero(m->nfuncs + 1, sizeof *u->funcs);
    if (!u->funcs)
        return false;
    u->ctx = LLVMContextCreate();
    LLVMContextSetDiscardValueNames(u->ctx, true);
    u->mod = LLVMModuleCreateWithNameInContext("wasm", u->ctx);
    LLVMSetTarget(u->mod, am->triple);
    LLVMSetDataLayout(u->mod, am->layout);
    u->b = LLVMCreateBuilderInContext(u->ctx);
    make_types(u);
    make_metadata(u);
    make_debug_info(u);
    u->exceptions = am->exceptions;
    u->layout = sv_instance_layout(m);
    if (!am->tail_calls)
        u->self = LLVMCreateEnumAttribute(
            u->ctx, LLVMGetEnumAttributeKindForName("swiftself", strlen("swiftself")), 0);
    if (!am->tail_calls && am->opts->metered)
        u->gas = LLVMCreateEnumAttribute(
            u->ctx, LLVMGetEnumAttributeKindForName("swifterror", strlen("swifterror")), 0);
    u->nest = LLVMCreateEnumAttribute(u->ctx, LLVMGetEnumAttributeKindForName("nest", 4), 0);
    u->cc = am->tail_calls ? TAILCC : LLVMCCallConv;
    u->trap = hidden_function(u, SV_AOT_TRAP_NAME, trap_type(u));
    u->copy = hidden_function(u, "copy", small_type(u, true));
    u->fill = hidden_function(u, "fill", small_type(u, false));
    enum_attribute(u, u->copy, "nounwind", 0);
    enum_attribute(u, u->fill, "nounwind", 0);
    enum_attribute(u, u->trap, "noreturn", 0);
    enum_attribute(u, u->trap, "nounwind", 0);
    enum_attribute(u, u->trap, "cold", 0);
    return true;
}

void lower_unit_release(struct lower_unit *u)
{
    if (u->di)
        LLVMDisposeDIBuilder(u->di);
    if (u->b)
        LLVMDisposeBuilder(u->b);
    if (u->mod)
        LLVMDisposeModule(u->mod);
    if (u->ctx)
        LLVMContextDispose(u->ctx);
    sv_free(u->funcs);
    sv_free(u->type_map);
}

/* ---- What every image has ---- */

struct lower lower_unit_plain(struct lower_unit *u, LLVMValueRef fn)
{
    struct lower l = {.u = u, .m = u->m, .b = u->b, .t = &u->t, .fn = fn};

    lower_unit_attributes(u, fn);
    l.inst = LLVMGetParam(fn, 0);
    l.mem0 = LLVMGetParam(fn, 1);
    l.entry = lower_block_new(&l, "");
    LLVMPositionBuilderAtEnd(u->b, l.entry);
    LLVMSetCurrentDebugLocation2(u->b, NULL);
    return l;
}

/* All traps of compiled code go through here: a jump, so that the return address is the trap's. */
void lower_unit_trap(struct lower_unit *u)
{
    struct lower l = lower_unit_plain(u, u->trap);
    LLVMValueRef args[3], call;

    /* Cold code would go behind all other; but what lies at offset 0 must be this. */
    LLVMRemoveEnumAttributeAtIndex(u->trap, LLVMAttributeFunctionIndex,
                                   LLVMGetEnumAttributeKindForName("cold", 4));
    attribute(u, u->trap, "frame-pointer", "none");
    for (unsigned i = 0; i < 3; i++)
        args[i] = LLVMGetParam(u->trap, i);
    call = LLVMBuildCall2(u->b, trap_type(u),
                          lower_inst_ptr(&l, offsetof(struct sv_instance, helpers), SV_NATIVE_TRAP),
                          args, 3, "");
    LLVMSetTailCallKind(call, LLVMTailCallKindMustTail);
    LLVMBuildRetVoid(u->b);
}

/* sv_native_thunk of a signature. */
void lower_unit_thunk(struct lower_unit *u, const struct sv_type *type, const char *name)
{
    LLVMValueRef fn = outer_function(u, name), slots, call, *args;
    struct lower l = lower_unit_plain(u, fn);
    uint32_t n = 0, at = 0;

    args = sv_alloc_array(type->func.nparams + 5, sizeof *args);
    if (!args)
        return;
    l.metered = u->gas != NULL;
    lower_gas_open(&l, true);
    slots = LLVMGetParam(fn, 3);
    args[n++] = l.inst;
    args[n++] = l.mem0;
    if (type->func.nresults > 1)
        args[n++] = slots;
    for (uint32_t i = 0; i < type->func.nparams; i++) {
        args[n++] = lower_slot_read(&l, slots, at, type->func.params[i]);
        at += sv_valtype_slots(type->func.params[i]);
    }
    if (lower_is_padded(u, type))
        args[n++] = LLVMGetUndef(u->t.f64);
    if (u->gas)
        args[n++] = l.gas_ref;
    if (l.metered)
        lower_gas_pass(&l);
    call = lower_call_native(u, type, LLVMGetParam(fn, 2), args, n);
    if (l.metered)
        lower_gas_take(&l);
    lower_gas_flush(&l);
    if (type->func.nresults == 1)
        lower_slot_write(&l, slots, 0, type->func.results[0], call);
    LLVMBuildRetVoid(u->b);
    sv_free(args);
}

void lower_unit_leave(struct lower *l, const struct sv_type *type, enum sv_native_helper h,
                      LLVMValueRef *args, unsigned n)
{
    const struct lower_unit *u = l->u;
    LLVMValueRef slots;
    uint32_t params = type->func.param_slots, results = type->func.result_slots,
             hidden = type->func.nresults > 1 ? 3 : 2, at = 0;

    l->metered = u->gas != NULL;
    lower_gas_open(l, false);
    slots = LLVMBuildAlloca(
        l->b, LLVMArrayType2(l->t->i64, (params > results ? params : results) + 1), "");
    if (type->func.nresults > 1 && results >= params)
        slots = LLVMGetParam(l->fn, 2);
    for (uint32_t i = 0; i < type->func.nparams; i++) {
        lower_slot_write(l, slots, at, type->func.params[i], LLVMGetParam(l->fn, hidden + i));
        at += sv_valtype_slots(type->func.params[i]);
    }
    args[n] = slots;
    /* The short way to host functions has a counter in a register, which only u->gas has. */
    if (h == SV_NATIVE_CALL && !u->opts->metered)
        lower_call_out(l, args[0], slots);
    else
        lower_helper(l, h, args, n + 1);
    if (l->metered)
        lower_gas_leave(l);
    if (type->func.nresults == 1) {
        LLVMBuildRet(l->b, lower_slot_read(l, slots, 0, type->func.results[0]));
        return;
    }
    for (uint32_t i = 0, s = 0; slots != LLVMGetParam(l->fn, 2) && i < type->func.nresults; i++) {
        sv_valtype t = type->func.results[i];

        lower_slot_write(l, LLVMGetParam(l->fn, 2), s, t, lower_slot_read(l, slots, s, t));
        s += sv_valtype_slots(t);
    }
    LLVMBuildRetVoid(l->b);
}

/* Function `index` stays interpreted: for native callers, a call outside. */
void lower_unit_stub(struct lower_unit *u, uint32_t index)
{
    struct lower l = lower_unit_plain(u, lower_func_decl(u, index));
    LLVMValueRef args[2] = {lower_i64(&l, index)};

    lower_unit_leave(&l, u->m->funcs[index].type, SV_NATIVE_CALL_IMPORT, args, 1);
}

/* The one function of an OSR image. */
void lower_unit_osr(struct lower_unit *u)
{
    u->osr = outer_function(u, SV_AOT_OSR_NAME);
}
