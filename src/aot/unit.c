/* A partition of a module: its LLVM context and module, and the small functions that every image
 * has. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "aot/lower.h"
#include "aot/unit.h"

/* llvm::CallingConv::Tail, which the C API has no name for. */
#define TAILCC 18u

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

static void enum_attribute(struct lower_unit *u, LLVMValueRef f, const char *name)
{
    unsigned id = LLVMGetEnumAttributeKindForName(name, strlen(name));

    LLVMAddAttributeAtIndex(f, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                            LLVMCreateEnumAttribute(u->ctx, id, 0));
}

void lower_unit_attributes(struct lower_unit *u, LLVMValueRef f)
{
    enum_attribute(u, f, "nounwind");
    attribute(u, f, "target-cpu", u->am->cpu);
    attribute(u, f, "target-features", u->am->features);
    attribute(u, f, "frame-pointer", "all");
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

static bool used_once(LLVMValueRef v)
{
    LLVMUseRef use = LLVMGetFirstUse(v);

    return use && !LLVMGetNextUse(use);
}

static void pin(struct lower_unit *u, LLVMValueRef load)
{
    static const char name[] = "llvm.fake.use";
    unsigned id = LLVMLookupIntrinsicID(name, sizeof name - 1);
    LLVMValueRef use = LLVMGetIntrinsicDeclaration(u->mod, id, NULL, 0);

    LLVMPositionBuilderBefore(u->b, LLVMGetNextInstruction(load));
    LLVMSetCurrentDebugLocation2(u->b, LLVMInstructionGetDebugLoc(load));
    LLVMBuildCall2(u->b, LLVMIntrinsicGetType(u->ctx, id, NULL, 0), use, &load, 1, "");
}

void lower_unit_pin_loads(struct lower_unit *u)
{
    for (LLVMValueRef f = LLVMGetFirstFunction(u->mod); f; f = LLVMGetNextFunction(f)) {
        for (LLVMBasicBlockRef b = LLVMGetFirstBasicBlock(f); b; b = LLVMGetNextBasicBlock(b)) {
            for (LLVMValueRef v = LLVMGetFirstInstruction(b); v; v = LLVMGetNextInstruction(v)) {
                if (LLVMIsALoadInst(v) && LLVMGetMetadata(v, u->md_scope) != u->scope_host &&
                    used_once(v))
                    pin(u, v);
            }
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
    LLVMTypeRef p[4] = {u->t.ptr, u->t.ptr, u->t.ptr, u->t.ptr};

    return LLVMFunctionType(u->t.voidt, p, 4, false);
}

static LLVMTypeRef small_type(struct lower_unit *u, bool copy)
{
    LLVMTypeRef p[3] = {u->t.ptr, copy ? u->t.ptr : u->t.i64, u->t.i64};

    return LLVMFunctionType(u->t.voidt, p, 3, false);
}

static LLVMValueRef hidden_function(struct lower_unit *u, const char *name, LLVMTypeRef type)
{
    LLVMValueRef f = LLVMAddFunction(u->mod, name, type);

    LLVMSetVisibility(f, LLVMHiddenVisibility);
    return f;
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
    if (!am->tail_calls)
        u->self = LLVMCreateEnumAttribute(
            u->ctx, LLVMGetEnumAttributeKindForName("swiftself", strlen("swiftself")), 0);
    u->cc = am->tail_calls ? TAILCC : LLVMCCallConv;
    u->trap = hidden_function(u, SV_AOT_TRAP_NAME, trap_type(u));
    u->copy = hidden_function(u, "copy", small_type(u, true));
    u->fill = hidden_function(u, "fill", small_type(u, false));
    enum_attribute(u, u->copy, "nounwind");
    enum_attribute(u, u->fill, "nounwind");
    enum_attribute(u, u->trap, "noreturn");
    enum_attribute(u, u->trap, "nounwind");
    enum_attribute(u, u->trap, "cold");
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

/* A lowering for a function that is none of the module's. */
static struct lower plain(struct lower_unit *u, LLVMValueRef fn)
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
    struct lower l = plain(u, u->trap);
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
    LLVMValueRef fn = hidden_function(u, name, thunk_type(u)), slots, call, *args;
    struct lower l = plain(u, fn);
    uint32_t n = 0, at = 0;

    args = sv_alloc_array(type->func.nparams + 3, sizeof *args);
    if (!args)
        return;
    slots = LLVMGetParam(fn, 3);
    args[n++] = l.inst;
    args[n++] = l.mem0;
    if (type->func.nresults > 1)
        args[n++] = slots;
    for (uint32_t i = 0; i < type->func.nparams; i++) {
        args[n++] = lower_slot_read(&l, slots, at, type->func.params[i]);
        at += sv_valtype_slots(type->func.params[i]);
    }
    call = lower_call_native(u, type, LLVMGetParam(fn, 2), args, n);
    if (type->func.nresults == 1)
        lower_slot_write(&l, slots, 0, type->func.results[0], call);
    LLVMBuildRetVoid(u->b);
    sv_free(args);
}

/* Function `index` stays interpreted: for native callers, a call outside. */
void lower_unit_stub(struct lower_unit *u, uint32_t index)
{
    const struct sv_type *type = u->m->funcs[index].type;
    LLVMValueRef fn = lower_func_decl(u, index), args[2];
    struct lower l = plain(u, fn);
    uint32_t params = type->func.param_slots, results = type->func.result_slots,
             hidden = type->func.nresults > 1 ? 3 : 2, at = 0;

    l.exceptions = u->exceptions;
    args[0] = lower_i64(&l, index);
    args[1] = LLVMBuildAlloca(
        u->b, LLVMArrayType2(u->t.i64, (params > results ? params : results) + 1), "");
    if (type->func.nresults > 1 && results >= params)
        args[1] = LLVMGetParam(fn, 2);
    for (uint32_t i = 0; i < type->func.nparams; i++) {
        lower_slot_write(&l, args[1], at, type->func.params[i], LLVMGetParam(fn, hidden + i));
        at += sv_valtype_slots(type->func.params[i]);
    }
    lower_helper(&l, SV_NATIVE_CALL_IMPORT, args, 2);
    if (type->func.nresults == 1) {
        LLVMBuildRet(u->b, lower_slot_read(&l, args[1], 0, type->func.results[0]));
        return;
    }
    for (uint32_t i = 0, s = 0; args[1] != LLVMGetParam(fn, 2) && i < type->func.nresults; i++) {
        sv_valtype t = type->func.results[i];

        lower_slot_write(&l, LLVMGetParam(fn, 2), s, t, lower_slot_read(&l, args[1], s, t));
        s += sv_valtype_slots(t);
    }
    LLVMBuildRetVoid(u->b);
}

/* The one function of an OSR image. */
void lower_unit_osr(struct lower_unit *u)
{
    u->osr = hidden_function(u, SV_AOT_OSR_NAME, thunk_type(u));
}
