/* The driver: module in, image out. Functions go in partitions of a fixed size, which threads take
 * one after the other; the same input gives the same bytes, whatever the number of threads. */
#include "aot/compile.h"

#include <elf.h>
#include <llvm-c/Analysis.h>
#include <llvm-c/Support.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "aot/object.h"
#include "aot/unit.h"
#include "aot/workers.h"
#include "runtime/data_image.h"
#include "runtime/image.h"

/* Bytes of bodies in a partition, about; a partition holds at least one function. */
#define PARTITION_BYTES 12000u
#define PARTITION_GLUE 500u
/* What a partition in a process of its own may use: CPU time, with bytes of bodies for each second
 * more (a second is enough for 20 KB of what compilers make), and address space. */
#define PART_SECONDS 8u
#define BYTES_A_SECOND 20000u
#define PART_MEMORY (UINT64_C(1536) << 20)

struct partition {
    uint32_t from, to;           /* functions */
    uint32_t glue_from, glue_to; /* signatures, then pairs */
    enum sv_aot_effort effort;
    const uint8_t *object; /* ELF */
    size_t len;
    LLVMMemoryBufferRef buffer; /* whose it is; NULL: ours */
};

struct job {
    struct sv_aot_module am;
    struct sv_aot_options *opts; /* a copy */
    struct sv_module *module;
    LLVMTargetRef target;
    struct partition *parts; /* the last one: what every image has */
    uint32_t nparts;
    uint8_t *interpreted; /* by function: has a stub only */
    const struct sv_type **signatures;
    uint32_t *signature_of; /* by function */
    uint32_t nsignatures;
    struct lower_pairs pairs;
    _Atomic uint32_t next, done;
    _Atomic bool stop;
    pthread_mutex_t lock; /* err, progress */
    struct sv_err *err;
    int result;
    char *host_cpu, *host_features; /* LLVM's */
};

/* ---- Targets ---- */

/* CPU levels by name, each architecture's; "native" is this machine. */
static const struct level {
    const char *arch, *name, *cpu;
} levels[] = {
    {"x86-64", "generic", "x86-64-v2"},   {"x86-64", "x86-64-v2", "x86-64-v2"},
    {"x86-64", "x86-64-v3", "x86-64-v3"}, {"x86-64", "x86-64-v4", "x86-64-v4"},
    {"aarch64", "generic", "generic"},
};

static void init_llvm(void)
{
    /* LLVM's own default for -O3, lost when passes are named. */
    /* Code of two places that became one would have no place in backtraces: no tails, no stores
     * that are merged (and with them the loads of what they store). Of the two LiveDebugValues the
     * old one ends at once where there are no variables. Functions begin at multiples of 32 bytes,
     * so that what a short one costs does not hang on those before it. The last four find next to
     * nothing: values of loads that more than 30 stores may have made, blocks of functions of more
     * than 30 gone through until none changes, two passes (doc/decisions/012). */
    static const char *const args[] = {"ssvm",
                                       "-unroll-threshold=300",
                                       "-enable-tail-merge=false",
                                       "-experimental-debug-variable-locations=false",
                                       "-align-all-functions=5",
                                       "-combiner-store-merging=false",
                                       "-gvn-max-num-deps=30",
                                       "-cgpp-huge-func=30",
                                       "-disable-copyprop",
                                       "-disable-constant-hoisting"};

    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMInitializeAArch64TargetInfo();
    LLVMInitializeAArch64Target();
    LLVMInitializeAArch64TargetMC();
    LLVMInitializeAArch64AsmPrinter();
    LLVMParseCommandLineOptions((int)SV_COUNT(args), args, "");
}
static pthread_once_t llvm_once = PTHREAD_ONCE_INIT;

#if defined(__aarch64__)
#define HOST_ARCH "aarch64"
#else
#define HOST_ARCH "x86-64"
#endif

static int find_cpu(struct sv_err *err, struct job *j, const char *arch, const char *cpu)
{
    if (strcmp(cpu, "native") == 0 && strcmp(arch, HOST_ARCH) == 0) {
        j->am.cpu = j->host_cpu = LLVMGetHostCPUName();
        j->am.features = j->host_features = LLVMGetHostCPUFeatures();
        return 0;
    }
    j->am.features = "";
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        if (strcmp(arch, levels[i].arch) == 0 && strcmp(cpu, levels[i].name) == 0) {
            j->am.cpu = levels[i].cpu;
            return 0;
        }
    }
    return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET,
                   "unknown CPU '%s' for target '%s': native (on such a machine), generic, "
                   "x86-64-v2, x86-64-v3 or x86-64-v4",
                   cpu, arch);
}

static int find_target(struct sv_err *err, struct job *j)
{
    const char *arch = j->opts->target ? j->opts->target : HOST_ARCH;
    const char *cpu = j->opts->cpu ? j->opts->cpu : "native";
    char *text = NULL;
    int r;

    if (strcmp(arch, "aarch64") == 0)
        j->am.triple = "aarch64-unknown-linux-gnu";
    else if (strcmp(arch, "x86-64") == 0)
        j->am.triple = "x86_64-unknown-linux-gnu";
    else
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET,
                       "unknown target '%s': 'x86-64' and 'aarch64' are there", arch);
    r = find_cpu(err, j, arch, cpu);
    if (r < 0)
        return r;
    if (LLVMGetTargetFromTriple(j->am.triple, &j->target, &text)) {
        r = sv_fail(err, SV_EUNSUPPORTED, SV_NO_OFFSET, "this LLVM has no target '%s': %s", arch,
                    text);
        LLVMDisposeMessage(text);
        return r;
    }
    return 0;
}

/* "Less" is nearly the default without scheduling after register allocation. x86's cores order
 * instructions themselves; some of aarch64's do not. */
static LLVMTargetMachineRef target_machine(const struct job *j)
{
    bool schedules = j->opts->opt_level >= 2 && strncmp(j->am.triple, "aarch64", 7) == 0;

    return LLVMCreateTargetMachine(j->target, j->am.triple, j->am.cpu, j->am.features,
                                   schedules ? LLVMCodeGenLevelDefault : LLVMCodeGenLevelLess,
                                   LLVMRelocPIC, LLVMCodeModelSmall);
}

/* ---- One partition ---- */

/* Several threads may fail. */
static int keep(struct job *j, int r, const struct sv_err *err)
{
    pthread_mutex_lock(&j->lock);
    sv_fail(j->err, r, err->has_offset ? err->offset : SV_NO_OFFSET, "%s", err->text);
    pthread_mutex_unlock(&j->lock);
    return r;
}

static int keep_text(struct job *j, const char *what, char *text)
{
    struct sv_err err = {0};
    int r = sv_fail(&err, SV_EINTERNAL, SV_NO_OFFSET, "%s: %s", what, text);

    LLVMDisposeMessage(text);
    return keep(j, r, &err);
}

static int emit(struct job *j, struct lower_unit *u, LLVMTargetMachineRef tm, struct partition *p)
{
    struct sv_err err = {0};
    char *text = NULL;
    int r;

    if (j->opts->verify) {
        if (LLVMVerifyModule(u->mod, LLVMReturnStatusAction, &text))
            return keep_text(j, "the lowered module is wrong", text);
        LLVMDisposeMessage(text);
    }
    r = sv_aot_optimise(&err, u, tm);
    if (r < 0)
        return keep(j, r, &err);
    lower_unit_pin_loads(u);
    lower_unit_settle_tail_calls(u);
    if (LLVMTargetMachineEmitToMemoryBuffer(tm, u->mod, LLVMObjectFile, &text, &p->buffer))
        return keep_text(j, "LLVM makes no code", text);
    p->object = (const uint8_t *)LLVMGetBufferStart(p->buffer);
    p->len = LLVMGetBufferSize(p->buffer);
    return 0;
}

static int fill_functions(struct job *j, struct lower_unit *u, const struct partition *p)
{
    for (uint32_t i = p->from; i < p->to; i++) {
        struct sv_err err = {0};
        int r;

        if (j->interpreted[i]) {
            lower_unit_stub(u, i);
            continue;
        }
        r = lower_function(&err, u, i);
        if (r < 0)
            return keep(j, r, &err);
    }
    return 0;
}

/* What C and indirect calls enter functions by. */
static void fill_glue(struct job *j, struct lower_unit *u, const struct partition *p)
{
    char name[16];

    for (uint32_t i = p->glue_from; i < p->glue_to; i++) {
        if (i >= j->nsignatures) {
            lower_unit_dispatch(u, j->pairs.data[i - j->nsignatures]);
            continue;
        }
        snprintf(name, sizeof name, "e%u", i);
        lower_unit_thunk(u, j->signatures[i], name);
    }
}

static int fill_common(struct job *j, struct lower_unit *u)
{
    struct sv_err err = {0};

    lower_unit_trap(u);
    lower_unit_small(u, u->copy, true);
    lower_unit_small(u, u->fill, false);
    if (lower_unit_tables(u))
        return 0;
    return keep(j, sv_fail_nomem(&err, "the compiler"), &err);
}

static int compile_partition(struct job *j, LLVMTargetMachineRef tm, uint32_t index)
{
    struct partition *p = &j->parts[index];
    struct lower_unit u;
    int r = SV_ENOMEM;

    if (lower_unit_init(&u, &j->am)) {
        r = 0;
        if (j->opts->osr_offset && index == 0)
            lower_unit_osr(&u);
        if (index + 1 == j->nparts)
            r = fill_common(j, &u);
        fill_glue(j, &u, p);
        if (r == 0)
            r = fill_functions(j, &u, p);
        LLVMDIBuilderFinalize(u.di);
        if (r == 0)
            r = emit(j, &u, tm, p);
    }
    lower_unit_release(&u);
    return r;
}

static bool report(struct job *j)
{
    uint32_t done = atomic_fetch_add(&j->done, 1) + 1;
    bool go;

    if (!j->opts->progress)
        return true;
    pthread_mutex_lock(&j->lock);
    go = j->opts->progress(j->opts->progress_arg, done, j->nparts);
    pthread_mutex_unlock(&j->lock);
    return go;
}

static void *work(void *arg)
{
    struct job *j = arg;
    LLVMTargetMachineRef tm = target_machine(j);
    uint32_t i;

    while (!atomic_load(&j->stop) && (i = atomic_fetch_add(&j->next, 1)) < j->nparts) {
        int r = compile_partition(j, tm, i);

        if (r == 0 && !report(j)) {
            struct sv_err err = {0};

            r = keep(j, sv_fail(&err, SV_EINTERNAL, SV_NO_OFFSET, "cancelled"), &err);
        }
        if (r < 0) {
            pthread_mutex_lock(&j->lock);
            j->result = r;
            pthread_mutex_unlock(&j->lock);
            atomic_store(&j->stop, true);
        }
    }
    LLVMDisposeTargetMachine(tm);
    return NULL;
}

/* ---- The whole ---- */

static bool make_partitions(struct job *j)
{
    const struct sv_module *m = j->module;
    uint32_t from = m->nimports_of[SV_EXTERN_FUNC], n = m->nfuncs - from, osr = j->opts->osr_func,
             nglue = j->nsignatures + (uint32_t)j->pairs.len, glue = 0;
    uint64_t bytes = 0;

    j->parts = sv_alloc_array_zero((size_t)n + nglue / PARTITION_GLUE + 2, sizeof *j->parts);
    j->interpreted = sv_alloc_zero((size_t)m->nfuncs + 1);
    if (!j->parts || !j->interpreted)
        return false;
    if (j->opts->osr_offset) {
        j->parts[0] = (struct partition){.from = osr, .to = osr + 1};
        j->parts[1] = (struct partition){.glue_from = j->nsignatures, .glue_to = nglue};
        j->nparts = 2;
        return true;
    }
    for (uint32_t i = from; i < m->nfuncs; i++) {
        j->interpreted[i] = sv_aot_too_big(m, i, SV_AOT_ALL);
        bytes += m->funcs[i].body_len;
        if (bytes < PARTITION_BYTES && i + 1 < m->nfuncs)
            continue;
        j->parts[j->nparts++] = (struct partition){.from = from, .to = i + 1};
        from = i + 1;
        bytes = 0;
    }
    do {
        uint32_t to = glue + PARTITION_GLUE;

        to = to < nglue ? to : nglue;
        j->parts[j->nparts++] = (struct partition){.glue_from = glue, .glue_to = to};
        glue = to;
    } while (glue < nglue);
    return true;
}

/* One thunk for each function type that is used, numbered in order of the functions. */
static bool collect_signatures(struct job *j)
{
    const struct sv_module *m = j->module;
    uint32_t *number = sv_alloc_array_zero((size_t)m->ntypes + 1, sizeof *number);

    j->signatures = sv_alloc_array((size_t)m->ntypes + 1, sizeof *j->signatures);
    j->signature_of = sv_alloc_array_zero((size_t)m->nfuncs + 1, sizeof *j->signature_of);
    if (!number || !j->signatures || !j->signature_of) {
        sv_free(number);
        return false;
    }
    for (uint32_t i = m->nimports_of[SV_EXTERN_FUNC]; i < m->nfuncs; i++) {
        uint32_t *n = &number[m->funcs[i].type_index];

        if (*n == 0) {
            j->signatures[j->nsignatures++] = m->funcs[i].type;
            *n = j->nsignatures;
        }
        j->signature_of[i] = *n - 1;
    }
    sv_free(number);
    return true;
}

static unsigned jobs(const struct job *j)
{
    unsigned n = j->opts->jobs ? j->opts->jobs : (unsigned)sysconf(_SC_NPROCESSORS_ONLN);

    return n > 64 ? 64 : n < 1 ? 1 : n;
}

/* What is called indirectly by the functions that the image has. */
static bool collect_pairs(struct job *j)
{
    const struct sv_module *m = j->module;
    uint32_t osr = j->opts->osr_func;

    if (j->opts->osr_offset)
        return sv_aot_find_pairs(m, osr, osr + 1, &j->pairs);
    return sv_aot_find_pairs(m, m->nimports_of[SV_EXTERN_FUNC], m->nfuncs, &j->pairs);
}

static int run_threads(struct job *j)
{
    pthread_t threads[64];
    unsigned n = jobs(j), started = 0;
    pthread_attr_t attr;

    pthread_attr_init(&attr);
    /* LLVM recurses over deep expressions. */
    pthread_attr_setstacksize(&attr, (size_t)64 << 20);
    while (started < n && started < j->nparts &&
           pthread_create(&threads[started], &attr, work, j) == 0)
        started++;
    pthread_attr_destroy(&attr);
    if (started == 0)
        work(j);
    for (unsigned i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    return j->result;
}

/* ---- Parts in processes ---- */

static uint64_t part_seconds(void *arg, uint32_t index)
{
    const struct job *j = arg;
    const struct partition *p = &j->parts[index];
    uint64_t bytes = 0;

    for (uint32_t i = p->from; i < p->to; i++)
        bytes += j->interpreted[i] ? 0 : j->module->funcs[i].body_len;
    return PART_SECONDS + bytes / BYTES_A_SECOND;
}

static int make_part(struct sv_err *err, void *arg, uint32_t index, const uint8_t **ret,
                     size_t *ret_len)
{
    struct job *j = arg;
    LLVMTargetMachineRef tm;
    int level = j->opts->opt_level, r;

    j->err = err;
    if (j->parts[index].effort != SV_AOT_ALL && level > 1)
        j->opts->opt_level = 1;
    tm = target_machine(j);
    r = compile_partition(j, tm, index);
    LLVMDisposeTargetMachine(tm);
    j->opts->opt_level = level;
    *ret = j->parts[index].object;
    *ret_len = j->parts[index].len;
    return r;
}

static void forget_part(void *arg, uint32_t index)
{
    struct partition *p = &((struct job *)arg)->parts[index];

    if (p->buffer)
        LLVMDisposeMemoryBuffer(p->buffer);
    p->buffer = NULL;
    p->object = NULL;
}

static bool part_made(void *arg, uint32_t index, own uint8_t *bytes, size_t len)
{
    struct job *j = arg;

    j->parts[index].object = bytes;
    j->parts[index].len = len;
    return report(j);
}

static bool part_lost(void *arg, uint32_t index)
{
    struct job *j = arg;
    struct partition *p = &j->parts[index];

    if (p->effort == SV_AOT_NOTHING || j->opts->osr_offset)
        return false;
    p->effort++;
    for (uint32_t i = p->from; i < p->to; i++)
        j->interpreted[i] = sv_aot_too_big(j->module, i, p->effort);
    return true;
}

static int run_processes(struct job *j)
{
    struct sv_workers w = {.nparts = j->nparts,
                           .jobs = jobs(j),
                           .memory = PART_MEMORY,
                           .arg = j,
                           .seconds = part_seconds,
                           .make = make_part,
                           .forget = forget_part,
                           .made = part_made,
                           .lost = part_lost};

    return sv_workers_run(j->err, &w);
}

/* Which partition lies at place i. Glue lies before all functions, so that it is not taken for the
 * end of one (native_walk.c), and what every image has first of all: its trap is at offset 0, which
 * means "none" in the tables. */
static const struct partition *placed(const struct job *j, uint32_t i)
{
    uint32_t functions = 0;

    while (j->parts[functions].to > 0)
        functions++;
    if (i == 0)
        return &j->parts[j->nparts - 1];
    return &j->parts[(functions + i - 1) % (j->nparts - 1)];
}

static int link_objects(struct job *j, own struct sv_linked **ret)
{
    struct sv_object_input *in = sv_alloc_array(j->nparts, sizeof *in);
    int r;

    if (!in)
        return sv_fail_nomem(j->err, "the linker");
    for (uint32_t i = 0; i < j->nparts; i++) {
        const struct partition *p = placed(j, i);

        in[i].bytes = p->object;
        in[i].len = p->len;
    }
    r = sv_objects_link(j->err, in, j->nparts, SV_IMAGE_PAGE, ret);
    sv_free(in);
    return r;
}

/* An OSR image has the one entry, at its function's place in the table. */
static bool fill_osr(struct job *j, const struct sv_linked *linked, uint32_t *entry)
{
    uint32_t size;

    return sv_linked_symbol(linked, SV_AOT_OSR_NAME, &entry[j->opts->osr_func], &size);
}

/* Tables by function: where its code begins, and its thunk. */
static bool fill_tables(struct job *j, const struct sv_linked *linked, uint32_t *entry,
                        uint32_t *thunk)
{
    char name[16];
    uint32_t size;

    if (j->opts->osr_offset)
        return fill_osr(j, linked, entry);
    for (uint32_t i = j->module->nimports_of[SV_EXTERN_FUNC]; i < j->module->nfuncs; i++) {
        snprintf(name, sizeof name, "f%u", i);
        if (!sv_linked_symbol(linked, name, &entry[i], &size))
            return false;
        snprintf(name, sizeof name, "e%u", j->signature_of[i]);
        if (!j->interpreted[i] && !sv_linked_symbol(linked, name, &thunk[i], &size))
            return false;
        /* 0 would mean that there is none. */
        if (entry[i] == 0 || (!j->interpreted[i] && thunk[i] == 0))
            return false;
    }
    return true;
}

static void image_id(const struct job *j, size_t wasm_len, struct sv_image_id *ret)
{
    const struct sv_aot_options *o = j->opts;
    bool native = !o->cpu || strcmp(o->cpu, "native") == 0;

    *ret = (struct sv_image_id){.arch = strncmp(j->am.triple, "aarch64", 7) == 0 ? EM_AARCH64
                                                                                 : EM_X86_64};
    sv_native_build_id(ret->build_id);
    sv_sha256(j->module->bytes, wasm_len, ret->wasm_digest);
    if (native)
        sv_native_cpu(ret->features_digest);
    ret->flags =
        sv_native_image_flags(j->module->features, o->checked, o->metered, o->deterministic) |
        (o->osr_offset ? (uint32_t)SV_IMAGE_OSR : 0) | (o->debug ? (uint32_t)SV_IMAGE_DEBUG : 0);
    snprintf(ret->cpu, sizeof ret->cpu, "%s", native ? "native" : o->cpu);
}

static void copy_part(uint8_t *image, const struct sv_image_header *h, enum sv_image_part_kind kind,
                      const void *bytes)
{
    if (h->parts[kind].len)
        memcpy(image + h->parts[kind].offset, bytes, h->parts[kind].len);
}

_Static_assert(sizeof(struct sv_object_line) == sizeof(struct sv_native_line) &&
                   sizeof(struct sv_object_unwind) == sizeof(struct sv_native_unwind) &&
                   sizeof(struct sv_object_frame) == sizeof(struct sv_native_frame),
               "the linker's tables are the image's");

/* Bytes of the pages that instances map. Code with checks has no use for them, and of data that lie
 * far apart too much would be zeros. */
static uint64_t data_len(const struct job *j)
{
    uint64_t len = sv_data_images_size(j->module);

    return j->opts->checked || j->opts->osr_offset || len / 2 > j->module->len ? 0 : len;
}

static int assemble(struct job *j, const struct sv_linked *linked, own uint8_t **ret,
                    size_t *ret_len)
{
    struct sv_image_header h = {0};
    size_t table = (size_t)j->module->nfuncs * sizeof(uint32_t);
    uint64_t len[SV_IMAGE_PART_COUNT] = {
        [SV_IMAGE_TEXT] = linked->text_len,
        [SV_IMAGE_RODATA] = linked->rodata_len,
        [SV_IMAGE_FUNCTIONS] = table,
        [SV_IMAGE_THUNKS] = table,
        [SV_IMAGE_LINES] = linked->nlines * sizeof *linked->lines,
        [SV_IMAGE_UNWIND] = linked->nunwind * sizeof *linked->unwind,
        [SV_IMAGE_FRAMES] = linked->nframes * sizeof *linked->frames,
        [SV_IMAGE_DATA] = data_len(j),
    };
    struct sv_image_id id = {0};
    uint8_t *bytes;
    int r;

    image_id(j, j->module->len, &id);
    r = sv_image_layout(j->err, &id, len, &h);
    if (r < 0)
        return r;
    bytes = sv_alloc_zero(h.image_len);
    if (!bytes)
        return sv_fail_nomem(j->err, "an image");
    memcpy(bytes, &h, sizeof h);
    copy_part(bytes, &h, SV_IMAGE_TEXT, linked->text);
    copy_part(bytes, &h, SV_IMAGE_RODATA, linked->rodata);
    copy_part(bytes, &h, SV_IMAGE_LINES, linked->lines);
    copy_part(bytes, &h, SV_IMAGE_UNWIND, linked->unwind);
    copy_part(bytes, &h, SV_IMAGE_FRAMES, linked->frames);
    if (table &&
        !fill_tables(j, linked, (uint32_t *)(void *)(bytes + h.parts[SV_IMAGE_FUNCTIONS].offset),
                     (uint32_t *)(void *)(bytes + h.parts[SV_IMAGE_THUNKS].offset))) {
        sv_free(bytes);
        return sv_fail(j->err, SV_EINTERNAL, SV_NO_OFFSET, "a compiled function is missing");
    }
    if (len[SV_IMAGE_DATA] &&
        !sv_data_images_write(j->module, bytes + h.parts[SV_IMAGE_DATA].offset)) {
        sv_free(bytes);
        return sv_fail_nomem(j->err, "an image");
    }
    *ret = bytes;
    *ret_len = h.image_len;
    return 0;
}

static void release(struct job *j)
{
    sv_aot_tables_release(&j->am);
    for (uint32_t i = 0; i < j->nparts; i++) {
        if (j->parts[i].buffer)
            LLVMDisposeMemoryBuffer(j->parts[i].buffer);
        else
            sv_free((void *)(uintptr_t)j->parts[i].object);
    }
    sv_free(j->parts);
    sv_free(j->interpreted);
    sv_free(j->signatures);
    sv_free(j->signature_of);
    sv_free(j->pairs.data);
    LLVMDisposeMessage(j->host_cpu);
    LLVMDisposeMessage(j->host_features);
    sv_module_unref(j->module);
    pthread_mutex_destroy(&j->lock);
}

static void count_interpreted(const struct job *j, struct sv_aot_report *ret)
{
    *ret = (struct sv_aot_report){0};
    for (uint32_t i = 0; i < j->module->nfuncs; i++) {
        if (j->interpreted[i])
            ret->interpreted[ret->ninterpreted++ % SV_AOT_REPORT_MAX] = i;
    }
    ret->functions = j->module->nfuncs - j->module->nimports_of[SV_EXTERN_FUNC];
}

static int compile(struct job *j, own uint8_t **ret, size_t *ret_len)
{
    struct sv_linked *linked = NULL;
    LLVMTargetMachineRef tm;
    LLVMTargetDataRef layout;
    char *text;
    int r = find_target(j->err, j);

    if (r < 0)
        return r;
    tm = target_machine(j);
    layout = LLVMCreateTargetDataLayout(tm);
    text = LLVMCopyStringRepOfTargetData(layout);
    j->am.layout = text;
    if (j->opts->osr_offset && sv_aot_too_big(j->module, j->opts->osr_func, SV_AOT_ALL))
        r = sv_fail(j->err, SV_EUNSUPPORTED, SV_NO_OFFSET, "the loop's function is too large");
    else if (collect_signatures(j) && collect_pairs(j) && make_partitions(j) &&
             sv_aot_tables_init(&j->am))
        r = j->opts->processes ? run_processes(j) : run_threads(j);
    else
        r = sv_fail_nomem(j->err, "the compiler");
    if (r == 0)
        r = link_objects(j, &linked);
    if (r == 0)
        r = assemble(j, linked, ret, ret_len);
    sv_linked_delete(linked);
    LLVMDisposeMessage(text);
    LLVMDisposeTargetData(layout);
    LLVMDisposeTargetMachine(tm);
    return r;
}

int sv_aot_compile(struct sv_err *err, const uint8_t *wasm, size_t len,
                   const struct sv_aot_options *opts, own uint8_t **ret, size_t *ret_len,
                   struct sv_aot_report *ret_report)
{
    struct sv_aot_options copy = *opts;
    struct job j = {.opts = &copy, .err = err};
    struct sv_types *types = sv_types_new();
    struct sv_decode_options decode = {.features = opts->features};
    int r;

    if (!types)
        return sv_fail_nomem(err, "the compiler");
    pthread_once(&llvm_once, init_llvm);
    pthread_mutex_init(&j.lock, NULL);
    r = sv_module_new(err, types, wasm, len, NULL, &decode, &j.module);
    if (r == 0) {
        uint64_t used = j.module->features;

        j.am.m = j.module;
        j.am.opts = &copy;
        j.am.exceptions =
            (used >> SV_FEATURE_EXN & 1) != 0 || (used >> SV_FEATURE_LEGACY_EXN & 1) != 0;
        /* return_call_ref came with function references. */
        j.am.tail_calls =
            (used >> SV_FEATURE_TAIL & 1) != 0 || (used >> SV_FEATURE_FUNCREF & 1) != 0;
        r = compile(&j, ret, ret_len);
        if (r == 0 && ret_report)
            count_interpreted(&j, ret_report);
    }
    release(&j);
    sv_types_delete(types);
    return r;
}

void sv_aot_free(own uint8_t *p)
{
    sv_free(p);
}
