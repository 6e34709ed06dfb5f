/* The passes between lowering and code (doc/decisions/007 has what each is worth). No pass looks
 * beyond a function: the guest's compiler has inlined already, a backtrace shows each frame, and
 * the partition of a module must not change its code. */
#include <llvm-c/Transforms/PassBuilder.h>
#include <string.h>

#include "aot/unit.h"

/* Also at level 0: locals into registers. */
#define PASSES_0 "function(sroa<modify-cfg>,simplifycfg)"
#define PASSES_1                                                                                   \
    "sroa<modify-cfg>,early-cse<memssa>,simplifycfg,instcombine<no-verify-fixpoint>,"              \
    "loop-mssa(licm,loop-rotate,licm),simplifycfg,instcombine<no-verify-fixpoint>,gvn,adce"
/* Drops checks that earlier ones make needless. */
#define CHECKS "constraint-elimination,"
#define SIMPLIFY(checks)                                                                           \
    "sroa<modify-cfg>,early-cse,jump-threading,correlated-propagation,"                            \
    "simplifycfg<bonus-inst-threshold=1;no-forward-switch-cond;switch-range-to-icmp;"              \
    "no-switch-to-lookup;keep-loops>,instcombine<no-verify-fixpoint>,reassociate," checks          \
    "loop-mssa(loop-instsimplify,loop-simplifycfg,licm,loop-rotate,licm,"                          \
    "simple-loop-unswitch<nontrivial;trivial>),simplifycfg,adce"
/* Looks at the size of loops. */
#define UNROLL "loop(indvars,loop-deletion,loop-unroll-full)"
#define SIMPLIFY_MORE                                                                              \
    "sroa<modify-cfg>,gvn,sccp,instcombine<no-verify-fixpoint>,loop-mssa(licm),simplifycfg"
#define VECTORISE "loop(loop-rotate,loop-deletion),loop-vectorize"
#define FINISH                                                                                     \
    "simplifycfg<forward-switch-cond;switch-range-to-icmp;switch-to-lookup;no-keep-loops>,"        \
    "slp-vectorizer,vector-combine,"                                                               \
    "loop-unroll,sroa<preserve-cfg>,instcombine<no-verify-fixpoint>,loop-mssa(licm),"              \
    "loop-sink,instsimplify,div-rem-pairs,simplifycfg"

/* Functions with fewer have few (printf: one in 25). The kernels in bench/guest: one in five. */
#define FLOATS_ONE_IN 16u

#define SCALARISE "scalarizer<load-store>,early-cse<memssa>,instcombine<no-verify-fixpoint>"

static int failed(struct sv_err *err, LLVMErrorRef e)
{
    char *text;
    int r;

    if (!e)
        return 0;
    text = LLVMGetErrorMessage(e);
    r = sv_fail(err, SV_EINTERNAL, SV_NO_OFFSET, "LLVM's passes: %s", text);
    LLVMDisposeErrorMessage(text);
    return r;
}

static int run(struct sv_err *err, struct lower_unit *u, LLVMTargetMachineRef tm,
               const char *passes)
{
    LLVMPassBuilderOptionsRef o = LLVMCreatePassBuilderOptions();
    int r = failed(err, LLVMRunPasses(u->mod, passes, tm, o));

    LLVMDisposePassBuilderOptions(o);
    return r;
}

static int scalarise(struct sv_err *err, struct lower_unit *u, LLVMTargetMachineRef tm)
{
    LLVMPassBuilderOptionsRef o = LLVMCreatePassBuilderOptions();
    int r = 0;

    for (LLVMValueRef f = LLVMGetFirstFunction(u->mod); f && r == 0; f = LLVMGetNextFunction(f)) {
        if (!LLVMIsDeclaration(f) && sv_aot_wants_scalars(f))
            r = failed(err, LLVMRunPassesOnFunction(f, SCALARISE, tm, o));
    }
    LLVMDisposePassBuilderOptions(o);
    return r;
}

/* Passes that drop loads whose value nobody wants; their traps are wanted. */
static int run_keeping(struct sv_err *err, struct lower_unit *u, LLVMTargetMachineRef tm,
                       const char *passes)
{
    int r;

    lower_unit_keep_loads(u);
    r = run(err, u, tm, passes);
    lower_unit_free_loads(u);
    return r;
}

/* Is there more to check than guards look after? */
static bool has_checks(const struct lower_unit *u)
{
    const struct sv_module *m = u->m;
    bool found =
        u->opts->checked || m->nmemories > 1 || (m->nmemories > 0 && m->memories[0].limits.is64);

    for (uint32_t i = 0; i < m->ntypes && !found; i++)
        found = m->types[i]->form == SV_FORM_ARRAY;
    return found;
}

/* Of a value that SLP was made for. */
static bool is_float(LLVMValueRef v)
{
    switch (LLVMGetTypeKind(LLVMTypeOf(v))) {
    case LLVMFloatTypeKind:
    case LLVMDoubleTypeKind:
    case LLVMVectorTypeKind:
        return true;
    default:
        return false;
    }
}

struct counts {
    unsigned floats, all; /* instructions */
};

static struct counts count(LLVMValueRef f)
{
    struct counts n = {0};

    for (LLVMBasicBlockRef b = LLVMGetFirstBasicBlock(f); b; b = LLVMGetNextBasicBlock(b)) {
        for (LLVMValueRef i = LLVMGetFirstInstruction(b); i; i = LLVMGetNextInstruction(i)) {
            n.floats +=
                is_float(i) || (LLVMGetNumOperands(i) > 0 && is_float(LLVMGetOperand(i, 0)));
            n.all++;
        }
    }
    return n;
}

static bool has_floats(LLVMValueRef f)
{
    return count(f).floats > 0;
}

static bool has_few_floats(LLVMValueRef f)
{
    struct counts n = count(f);

    return n.floats * FLOATS_ONE_IN < n.all;
}

/* Some functions: an attribute that some passes go by. */
static void mark(struct lower_unit *u, bool (*is_one)(LLVMValueRef f), const char *name)
{
    unsigned id = LLVMGetEnumAttributeKindForName(name, strlen(name));
    LLVMAttributeRef attribute = LLVMCreateEnumAttribute(u->ctx, id, 0);

    for (LLVMValueRef f = LLVMGetFirstFunction(u->mod); f; f = LLVMGetNextFunction(f)) {
        if (!LLVMIsDeclaration(f) && is_one(f))
            LLVMAddAttributeAtIndex(f, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, attribute);
    }
}

static void unmark(struct lower_unit *u, const char *name)
{
    unsigned id = LLVMGetEnumAttributeKindForName(name, strlen(name));

    for (LLVMValueRef f = LLVMGetFirstFunction(u->mod); f; f = LLVMGetNextFunction(f))
        LLVMRemoveEnumAttributeAtIndex(f, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, id);
}

/* The last passes. The SLP vectoriser passes over functions with few floats: of integers it joins
 * what then is taken apart again (sha256 took a ninth longer), and it costs time. Before it, in
 * functions with floats, nothing is combined: it finds better what the vectoriser of loops has
 * left. */
static int finish(struct sv_err *err, struct lower_unit *u, LLVMTargetMachineRef tm)
{
    static const char skipped[] = "optnone", scalar[] = "noimplicitfloat";
    int r;

    mark(u, has_floats, skipped);
    r = run(err, u, tm, "function(instcombine<no-verify-fixpoint>)");
    unmark(u, skipped);
    if (r < 0)
        return r;
    mark(u, has_few_floats, scalar);
    r = run(err, u, tm, "function(" FINISH ")");
    unmark(u, scalar);
    return r;
}

static int run_all(struct sv_err *err, struct lower_unit *u, LLVMTargetMachineRef tm)
{
    int r;

    if (u->opts->opt_level == 0)
        return run(err, u, tm, PASSES_0);
    if (u->opts->opt_level == 1)
        return run_keeping(err, u, tm, "function(" PASSES_1 ")");
    r = run_keeping(err, u, tm,
                    has_checks(u) ? "function(" SIMPLIFY(CHECKS) ")"
                                  : "function(" SIMPLIFY("") ")");
    if (r == 0)
        r = run(err, u, tm, "function(" UNROLL ")");
    if (r == 0)
        r = run(err, u, tm, "function(" SIMPLIFY_MORE ")");
    if (r == 0)
        r = scalarise(err, u, tm);
    if (r == 0) {
        sv_aot_mark(u);
        r = run(err, u, tm, "function(" VECTORISE ")");
        sv_aot_unmark(u);
    }
    if (r == 0)
        r = finish(err, u, tm);
    return r;
}

int sv_aot_optimise(struct sv_err *err, struct lower_unit *u, LLVMTargetMachineRef tm)
{
    int r = run_all(err, u, tm);

    if (r == 0)
        sv_aot_keep_bases(u);
    if (r == 0 && u->opts->metered)
        sv_aot_pin_counter(u);
    return r;
}
