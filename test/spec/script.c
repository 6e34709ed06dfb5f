/* One script: its store, its modules by name, and its commands. Threads of a script are scripts of
 * their own with a store of their own, which see one module of the outer one. */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

#include "runtime/store.h"
#include "spec.h"

#define ENTRIES_MAX 4096
#define SLOTS_MAX 2048

/* A module definition, an instance, or both, under a name ("" when it has none). */
struct entry {
    const char *name;
    struct sv_module *module; /* ours */
    struct sv_instance *instance;
};
struct registration {
    const char *as;
    struct sv_instance *instance;
};

struct script {
    struct runner *runner;
    const char *folder; /* with the modules */
    char label[256];    /* "core/i32" */
    struct sv_store *store;
    struct spectest *spectest;
    struct entry entries[ENTRIES_MAX];
    size_t nentries;
    struct registration registrations[ENTRIES_MAX];
    size_t nregistrations;
    struct sv_instance *latest;
    struct thread *threads;
    uint64_t
        not_told; /* gas of calls that ran out of stack: how deep that is depends on the tier */
};
struct thread {
    const char *name;
    const json_t *commands;
    pthread_t id;
    bool joined;
    struct script *script;
    struct thread *next;
};

/* What an action led to. */
struct outcome {
    int code; /* 0, or an sv_code */
    struct sv_err err;
    const struct sv_type *type; /* results by it; NULL for `get` */
    sv_valtype global_type;
    union sv_slot slots[SLOTS_MAX];
};

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static bool has(const json_t *o, const char *key)
{
    return json_object_get(o, key) != NULL;
}

/* ---- Reports
 * -------------------------------------------------------------------------------------------------------
 */

static void fail(struct script *s, const json_t *command, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void fail(struct script *s, const json_t *command, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    const json_t *action = json_object_get(command, "action");
    printf("FAILED %s:%d: %s%s%s: %s\n", s->label,
           (int)json_integer_value(json_object_get(command, "line")), text_of(command, "type"),
           action ? " " : "", action ? text_of(action, "field") : "", text);
    fflush(stdout);
    s->runner->failed++;
}

static const char *outcome_text(struct script *s, const struct outcome *o, char *buf, size_t size)
{
    struct sv_thread *th = &s->store->thread;

    if (o->code == SV_ETRAP)
        snprintf(buf, size, "trap '%s'", th->trap.text);
    else if (o->code == SV_OK)
        snprintf(buf, size, "success");
    else if (o->err.code)
        snprintf(buf, size, "%s: %.900s", sv_code_text(o->code), o->err.text);
    else
        snprintf(buf, size, "%s", sv_code_text(o->code));
    return buf;
}

static bool is_skipped(const struct script *s, const json_t *command)
{
    int line = (int)json_integer_value(json_object_get(command, "line"));
    for (size_t i = 0; i < s->runner->nskips; i++) {
        const struct skip *k = &s->runner->skips[i];
        if (k->line == line && strcmp(k->folder, s->label) == 0)
            return true;
    }
    return false;
}

/* ---- Modules
 * -------------------------------------------------------------------------------------------------------
 */

static void release_bytes(void *bytes, size_t len)
{
    (void)len;
    free(bytes);
}

static unsigned char *read_file(const char *path, size_t *ret_len)
{
    FILE *f = fopen(path, "rb");
    unsigned char *bytes = NULL;
    long len;

    if (!f)
        return NULL;
    if (fseek(f, 0, SEEK_END) == 0 && (len = ftell(f)) >= 0 && fseek(f, 0, SEEK_SET) == 0) {
        bytes = malloc((size_t)len + 1);
        if (bytes && fread(bytes, 1, (size_t)len, f) != (size_t)len) {
            free(bytes);
            bytes = NULL;
        }
        *ret_len = (size_t)len;
    }
    fclose(f);
    return bytes;
}

/* The binary of a command, or NULL when it has only text. */
static const char *binary_of(const json_t *command)
{
    if (has(command, "binary_filename"))
        return text_of(command, "binary_filename");
    return strcmp(text_of(command, "module_type"), "text") == 0 ? NULL
                                                                : text_of(command, "filename");
}

/* Behind the module: each instruction has a cost of its own. The bytes are realloc's. */
static unsigned char *add_costs(unsigned char *bytes, size_t *io_len)
{
    static const char name[] = "\012" SV_COSTS_SECTION;
    struct sv_buf table, section;
    unsigned char *ret;

    sv_buf_init(&table, 1 << 20);
    sv_buf_init(&section, 1 << 20);
    for (unsigned op = 0; op < OP_COUNT; op++) {
        if (sv_op_info[op].cost)
            sv_buf_printf(&table, "%s %u\n", sv_op_info[op].text, (op * 37 + 11) % 256);
    }
    table.len += sizeof name - 1;
    for (int i = 0; i < 5; i++)
        sv_buf_putc(&section, (char)((table.len >> 7 * i & 0x7f) | (i < 4 ? 0x80 : 0)));
    table.len -= sizeof name - 1;
    sv_buf_puts(&section, name);
    sv_buf_append(&section, table.data, table.len);
    ret = realloc(bytes, *io_len + 1 + section.len);
    if (ret) {
        ret[*io_len] = 0;
        memcpy(ret + *io_len + 1, section.data, section.len);
        *io_len += 1 + section.len;
    }
    sv_buf_release(&table);
    sv_buf_release(&section);
    return ret ? ret : bytes;
}

static int load(struct sv_err *err, struct script *s, const json_t *command, struct sv_module **ret)
{
    struct sv_decode_options options = {.features = s->runner->engine->features};
    char path[4096];
    unsigned char *bytes;
    size_t len = 0;

    snprintf(path, sizeof path, "%s/%s", s->folder, binary_of(command));
    bytes = read_file(path, &len);
    if (!bytes)
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "cannot read '%s'", path);
    if (s->runner->own_costs)
        bytes = add_costs(bytes, &len);
    return sv_module_new(err, s->runner->engine->types, bytes, len, release_bytes, &options, ret);
}

static struct sv_instance *registered(struct script *s, struct sv_str name)
{
    for (size_t i = s->nregistrations; i-- > 0;) {
        if (sv_str_eq(name, sv_str_of(s->registrations[i].as)))
            return s->registrations[i].instance;
    }
    return NULL;
}

static int instantiate(struct sv_err *err, struct script *s, struct sv_module *m,
                       struct sv_instance **ret)
{
    struct sv_extern *imports = calloc(m->nimports + 1, sizeof *imports);
    int r = 0;

    if (!imports)
        return sv_fail_nomem(err, "imports");
    for (uint32_t i = 0; i < m->nimports && r == 0; i++) {
        struct sv_str module = m->imports[i].module, name = m->imports[i].name;
        struct sv_instance *from = registered(s, module);
        bool found = from ? sv_instance_export(from, name, &imports[i])
                     : sv_str_eq(module, sv_str_of("spectest"))
                         ? spectest_find(s->spectest, name, &imports[i])
                         : false;
        if (!found)
            r = sv_fail(err, SV_ELINK, SV_NO_OFFSET, "unknown import '%.*s' '%.*s'",
                        (int)module.len, module.ptr, (int)name.len, name.ptr);
    }
    if (r == 0)
        r = sv_instance_new(err, s->store, m, imports, ret);
    if (r == 0 && s->runner->begin)
        s->runner->begin(*ret);
    free(imports);
    return r;
}

static struct entry *find(struct script *s, const char *name)
{
    for (size_t i = s->nentries; i-- > 0;) {
        if (strcmp(s->entries[i].name, name) == 0)
            return &s->entries[i];
    }
    return NULL;
}

static void add_entry(struct script *s, const char *name, struct sv_module *m,
                      struct sv_instance *inst)
{
    if (s->nentries == ENTRIES_MAX) {
        fprintf(stderr, "%s: too many modules\n", s->label);
        exit(1);
    }
    s->entries[s->nentries++] = (struct entry){name, m, inst};
}

/* Instance by the name in `o`, or the latest. */
static struct sv_instance *instance_of(struct script *s, const json_t *o, const char *key)
{
    struct entry *e;
    if (!has(o, key))
        return s->latest;
    e = find(s, text_of(o, key));
    return e ? e->instance : NULL;
}

/* ---- Actions
 * -------------------------------------------------------------------------------------------------------
 */

static void invoke(struct script *s, const json_t *action, struct sv_func *f, struct outcome *o)
{
    const json_t *args = json_object_get(action, "args");
    unsigned n = 0;
    uint64_t before;

    o->type = f->type;
    if (f->type->func.param_slots + 2 > SLOTS_MAX || f->type->func.result_slots > SLOTS_MAX) {
        o->code = sv_fail(&o->err, SV_ELIMIT, SV_NO_OFFSET, "too many slots for this test program");
        return;
    }
    for (size_t i = 0; i < json_array_size(args); i++) {
        unsigned slots = n + 2 > SLOTS_MAX ? 0 : value_read(json_array_get(args, i), o->slots + n);
        if (slots == 0) {
            o->code = sv_fail(&o->err, SV_EUSAGE, SV_NO_OFFSET, "argument %zu not understood", i);
            return;
        }
        n += slots;
    }
    if (n != f->type->func.param_slots) {
        o->code = sv_fail(&o->err, SV_EUSAGE, SV_NO_OFFSET, "%u argument slots for %u", n,
                          f->type->func.param_slots);
        return;
    }
    sv_trap_clear(&s->store->thread.trap);
    if (f->inst && s->runner->before_call)
        s->runner->before_call(f->inst);
    before = sv_store_gas_used(s->store);
    o->code = sv_func_call(&s->store->thread, f, o->slots);
    if (o->code == SV_ETRAP && s->store->thread.trap.code == SV_TRAP_STACK)
        s->not_told += sv_store_gas_used(s->store) - before;
}

static void act(struct script *s, const json_t *action, struct outcome *o)
{
    struct sv_instance *inst = instance_of(s, action, "module");
    const json_t *field = json_object_get(action, "field");
    struct sv_str name = {json_string_value(field), json_string_length(field)};
    struct sv_extern e;

    memset(o, 0, sizeof *o);
    if (!inst) {
        o->code = sv_fail(&o->err, SV_ENOTFOUND, SV_NO_OFFSET, "no instance");
    } else if (!sv_instance_export(inst, name, &e)) {
        o->code = sv_fail(&o->err, SV_ENOTFOUND, SV_NO_OFFSET, "no export '%s'", name.ptr);
    } else if (strcmp(text_of(action, "type"), "get") == 0 && e.kind == SV_EXTERN_GLOBAL) {
        o->global_type = e.global->type.type;
        memcpy(o->slots, &e.global->value, sizeof e.global->value);
    } else if (strcmp(text_of(action, "type"), "invoke") == 0 && e.kind == SV_EXTERN_FUNC) {
        invoke(s, action, e.func, o);
    } else {
        o->code = sv_fail(&o->err, SV_ENOTFOUND, SV_NO_OFFSET, "export of another kind");
    }
}

/* ---- Assertions
 * ----------------------------------------------------------------------------------------------------
 */

static bool results_match(const struct outcome *o, const json_t *expected, struct sv_buf *got)
{
    uint32_t n = o->type ? o->type->func.nresults : 1;
    const union sv_slot *slot = o->slots;
    bool ok = n == json_array_size(expected);

    for (uint32_t i = 0; i < n; i++) {
        sv_valtype type = o->type ? o->type->func.results[i] : o->global_type;
        ok = ok && value_matches(json_array_get(expected, i), type, slot);
        sv_buf_puts(got, i ? ", " : "");
        value_print_slots(got, type, slot);
        slot += sv_valtype_slots(type);
    }
    return ok;
}

static bool assert_return(struct script *s, const json_t *command)
{
    struct outcome o;
    struct sv_buf got, want;
    char text[1024];
    bool ok;

    act(s, json_object_get(command, "action"), &o);
    if (o.code != SV_OK) {
        fail(s, command, "got %s", outcome_text(s, &o, text, sizeof text));
        return false;
    }
    sv_buf_init(&got, 1 << 16);
    sv_buf_init(&want, 1 << 16);
    ok = results_match(&o, json_object_get(command, "expected"), &got);
    if (!ok) {
        value_print(&want, json_object_get(command, "expected"));
        fail(s, command, "got %s, expected %s", sv_buf_cstr(&got), sv_buf_cstr(&want));
    }
    sv_buf_release(&got);
    sv_buf_release(&want);
    return ok;
}

/* The trap's text must be the expected one; the scripts know one text with a number more
 * ("uninitialized element 2"). */
static bool trap_text_ok(const char *expected, const char *got)
{
    size_t n = strlen(got);
    if (strcmp(expected, got) == 0)
        return true;
    return n > 0 && strncmp(expected, got, n) == 0 && expected[n] == ' ' &&
           strspn(expected + n + 1, "0123456789") == strlen(expected + n + 1);
}

/* To be compared between tiers. How deep an exhausted stack was is a tier's own business. */
static void show_trap(const struct script *s, const json_t *command)
{
    const struct sv_trap *t = &s->store->thread.trap;
    struct sv_buf b;
    char *text, *end;

    sv_buf_init(&b, 65536);
    sv_trap_print(&b, t);
    text = (char *)sv_buf_cstr(&b);
    end = t->code == SV_TRAP_STACK ? strstr(text, "\n  1: ") : NULL;
    if (end)
        *end = 0;
    printf("%s:%d: %s\n", s->label, (int)json_integer_value(json_object_get(command, "line")),
           text);
    sv_buf_release(&b);
}

static bool assert_stop(struct script *s, const json_t *command, int code)
{
    struct outcome o;
    char text[1024];

    act(s, json_object_get(command, "action"), &o);
    if (o.code != code) {
        fail(s, command, "got %s", outcome_text(s, &o, text, sizeof text));
        return false;
    }
    if (code == SV_ETRAP && !trap_text_ok(text_of(command, "text"), s->store->thread.trap.text)) {
        fail(s, command, "got %s, expected '%s'", outcome_text(s, &o, text, sizeof text),
             text_of(command, "text"));
        return false;
    }
    if (s->runner->traps)
        show_trap(s, command);
    return true;
}

/* Some errors of form are found only by the validator or exceed a limit before, and runners let
 * that pass; never the other way round. */
static bool refusal_ok(int code, bool malformed)
{
    return code == SV_EINVALID ||
           (malformed && (code == SV_EMALFORMED || code == SV_ELIMIT || code == SV_EUNSUPPORTED));
}

/* Custom sections are advice: a bad one must not be followed, and must not be fatal either. Is
 * there a branch hint on something that branches? */
static bool hints_have_effect(const struct sv_module *m)
{
    enum { CODE_IF = 0x04, CODE_BR_IF = 0x0d };

    for (uint32_t f = m->nimports_of[SV_EXTERN_FUNC]; f < m->nfuncs; f++) {
        for (uint32_t at = 0; at < m->funcs[f].body_len; at++) {
            uint8_t code = m->bytes[m->funcs[f].body_offset + at];
            if ((code == CODE_IF || code == CODE_BR_IF) && sv_module_branch_hint(m, f, at) >= 0)
                return true;
        }
    }
    return false;
}

static bool assert_invalid_custom(struct script *s, const json_t *command)
{
    struct sv_err err = {0};
    struct sv_module *m = NULL;
    int r = load(&err, s, command, &m);
    bool ok = r == 0 ? !hints_have_effect(m) : refusal_ok(r, true);

    if (!ok)
        fail(s, command, "neither refused nor ignored, expected '%s'", text_of(command, "text"));
    sv_module_unref(m);
    return ok;
}

/* A module that must be refused when it is decoded or validated. */
static bool assert_refused(struct script *s, const json_t *command, bool malformed)
{
    struct sv_err err = {0};
    struct sv_module *m = NULL;
    int r = load(&err, s, command, &m);

    if (r == 0) {
        sv_module_unref(m);
        fail(s, command, "accepted, expected '%s'", text_of(command, "text"));
        return false;
    }
    if (!refusal_ok(r, malformed)) {
        fail(s, command, "got %s: %s, expected '%s'", sv_code_text(r), err.text,
             text_of(command, "text"));
        return false;
    }
    if (s->runner->texts &&
        strncmp(err.text, text_of(command, "text"), strlen(text_of(command, "text"))))
        printf("%s:%d: text '%s', expected '%s'\n", s->label,
               (int)json_integer_value(json_object_get(command, "line")), err.text,
               text_of(command, "text"));
    return true;
}

/* A valid module whose instantiation must end with `code`. */
static bool assert_not_instantiated(struct script *s, const json_t *command, int code)
{
    struct outcome o = {0};
    struct sv_module *m = NULL;
    struct sv_instance *inst = NULL;
    char text[1024];

    o.code = load(&o.err, s, command, &m);
    if (o.code == 0) {
        sv_trap_clear(&s->store->thread.trap);
        o.code = instantiate(&o.err, s, m, &inst);
        add_entry(s, " ", m, NULL);
    } else {
        o.code = SV_EINTERNAL; /* never what is asked for */
    }
    if (o.code != code) {
        fail(s, command, "got %s, expected '%s'", outcome_text(s, &o, text, sizeof text),
             text_of(command, "text"));
        return false;
    }
    if (code == SV_ETRAP && !trap_text_ok(text_of(command, "text"), s->store->thread.trap.text)) {
        fail(s, command, "got %s, expected '%s'", outcome_text(s, &o, text, sizeof text),
             text_of(command, "text"));
        return false;
    }
    return true;
}

/* ---- Commands that are no assertions: they only count when they fail
 * ------------------------------------------------ */

static void command_module(struct script *s, const json_t *command)
{
    struct outcome o = {0};
    struct sv_module *m = NULL;
    struct sv_instance *inst = NULL;
    char text[1024];
    bool instance = strcmp(text_of(command, "type"), "module") == 0;

    if (instance)
        s->latest = NULL;
    if (!binary_of(command)) {
        s->runner->skipped++;
        return;
    }
    o.code = load(&o.err, s, command, &m);
    if (o.code == 0 && instance) {
        sv_trap_clear(&s->store->thread.trap);
        o.code = instantiate(&o.err, s, m, &inst);
    }
    if (o.code != 0)
        fail(s, command, "got %s", outcome_text(s, &o, text, sizeof text));
    if (m)
        add_entry(s, text_of(command, "name"), m, inst);
    if (instance)
        s->latest = inst;
}

static void command_instance(struct script *s, const json_t *command)
{
    struct outcome o = {0};
    char text[1024];
    struct sv_instance *inst = NULL;
    struct entry *e = find(s, text_of(command, "module"));

    if (!e || !e->module) {
        fail(s, command, "no module '%s'", text_of(command, "module"));
        return;
    }
    o.code = instantiate(&o.err, s, e->module, &inst);
    if (o.code != 0)
        fail(s, command, "got %s", outcome_text(s, &o, text, sizeof text));
    add_entry(s, text_of(command, "instance"), sv_module_ref(e->module), inst);
    s->latest = inst;
}

static void command_register(struct script *s, const json_t *command)
{
    struct sv_instance *inst = instance_of(s, command, "name");
    if (!inst || s->nregistrations == ENTRIES_MAX) {
        fail(s, command, "no instance");
        return;
    }
    s->registrations[s->nregistrations++] = (struct registration){text_of(command, "as"), inst};
}

static void command_action(struct script *s, const json_t *command)
{
    struct outcome o;
    char text[1024];
    act(s, json_object_get(command, "action"), &o);
    if (o.code != 0)
        fail(s, command, "got %s", outcome_text(s, &o, text, sizeof text));
}

/* ---- Threads
 * -------------------------------------------------------------------------------------------------------
 */

static struct script *script_new(struct runner *, const char *folder, const char *label);
static void script_delete(struct script *);
static void run_commands(struct script *, const json_t *commands);

static void *thread_main(void *arg)
{
    struct thread *t = arg;
    struct sv_err err = {0};
    if (sv_trap_init_thread(&err) < 0)
        t->script->runner->failed++;
    else
        run_commands(t->script, t->commands);
    return NULL;
}

static void command_thread(struct script *s, const json_t *command)
{
    struct thread *t = calloc(1, sizeof *t);
    struct entry *shared =
        has(command, "shared_module") ? find(s, text_of(command, "shared_module")) : NULL;

    if (t)
        t->script = script_new(s->runner, s->folder, s->label);
    if (!t || !t->script) {
        free(t);
        fail(s, command, "cannot make a thread");
        return;
    }
    t->name = text_of(command, "name");
    t->commands = json_object_get(command, "commands");
    if (shared)
        add_entry(t->script, shared->name, NULL, shared->instance);
    if (pthread_create(&t->id, NULL, thread_main, t) != 0) {
        fail(s, command, "cannot start a thread");
        t->joined = true;
    }
    t->next = s->threads;
    s->threads = t;
}

static void thread_join(struct thread *t)
{
    if (!t->joined)
        pthread_join(t->id, NULL);
    t->joined = true;
}

static void command_wait(struct script *s, const json_t *command)
{
    for (struct thread *t = s->threads; t; t = t->next) {
        if (strcmp(t->name, text_of(command, "thread")) == 0) {
            thread_join(t);
            return;
        }
    }
    fail(s, command, "no such thread");
}

/* ---- The script
 * ----------------------------------------------------------------------------------------------------
 */

enum kind {
    KIND_RETURN,
    KIND_TRAP,
    KIND_EXCEPTION,
    KIND_INVALID,
    KIND_INVALID_CUSTOM,
    KIND_MALFORMED,
    KIND_UNLINKABLE,
    KIND_UNINSTANTIABLE,
    KIND_COUNT
};
static const struct {
    const char *type;
    enum kind kind;
} assertions[] = {
    {"assert_return", KIND_RETURN},         {"assert_trap", KIND_TRAP},
    {"assert_exhaustion", KIND_TRAP},       {"assert_exception", KIND_EXCEPTION},
    {"assert_invalid", KIND_INVALID},       {"assert_invalid_custom", KIND_INVALID_CUSTOM},
    {"assert_malformed", KIND_MALFORMED},   {"assert_malformed_custom", KIND_MALFORMED},
    {"assert_unlinkable", KIND_UNLINKABLE}, {"assert_uninstantiable", KIND_UNINSTANTIABLE},
};
static const struct {
    const char *type;
    void (*run)(struct script *, const json_t *command);
} others[] = {
    {"module", command_module},
    {"module_definition", command_module},
    {"module_instance", command_instance},
    {"action", command_action},
    {"register", command_register},
    {"thread", command_thread},
    {"wait", command_wait},
};

static bool assertion(struct script *s, const json_t *command, enum kind kind)
{
    switch (kind) {
    case KIND_RETURN:
        return assert_return(s, command);
    case KIND_TRAP:
        return assert_stop(s, command, SV_ETRAP);
    case KIND_EXCEPTION:
        return assert_stop(s, command, SV_EEXCEPTION);
    case KIND_INVALID:
        return assert_refused(s, command, false);
    case KIND_INVALID_CUSTOM:
        return assert_invalid_custom(s, command);
    case KIND_MALFORMED:
        return assert_refused(s, command, true);
    case KIND_UNLINKABLE:
        return assert_not_instantiated(s, command, SV_ELINK);
    case KIND_UNINSTANTIABLE:
        return assert_not_instantiated(s, command, SV_ETRAP);
    default:
        return false;
    }
}

static void run_command(struct script *s, const json_t *command)
{
    const char *type = text_of(command, "type");

    if (s->runner->verbose)
        fprintf(stderr, "%s:%d: %s\n", s->label,
                (int)json_integer_value(json_object_get(command, "line")), type);
    for (size_t i = 0; i < SV_COUNT(others); i++) {
        if (strcmp(type, others[i].type) == 0) {
            others[i].run(s, command);
            return;
        }
    }
    for (size_t i = 0; i < SV_COUNT(assertions); i++) {
        if (strcmp(type, assertions[i].type) == 0) {
            if (is_skipped(s, command) || (has(command, "filename") && !binary_of(command)))
                s->runner->skipped++;
            else if (assertion(s, command, assertions[i].kind))
                s->runner->passed++;
            return;
        }
    }
    fail(s, command, "unknown command");
}

static void run_commands(struct script *s, const json_t *commands)
{
    for (size_t i = 0; i < json_array_size(commands); i++)
        run_command(s, json_array_get(commands, i));
    for (struct thread *t = s->threads; t; t = t->next)
        thread_join(t);
}

static struct script *script_new(struct runner *runner, const char *folder, const char *label)
{
    struct sv_store_limits limits = sv_store_limits_default;
    struct script *s = calloc(1, sizeof *s);
    struct sv_err err = {0};

    if (!s)
        return NULL;
    s->runner = runner;
    s->folder = folder;
    snprintf(s->label, sizeof s->label, "%s", label);
    limits.memory_bytes = UINT64_C(1) << 36; /* some scripts grow to the type's limit */
    limits.tables = limits.memories = 100000;
    if (sv_store_new(&err, runner->engine, &limits, &s->store) < 0)
        goto fail;
    if (runner->metered)
        sv_store_set_gas(s->store, runner->gas_limited ? UINT64_C(1) << 60 : UINT64_MAX);
    s->spectest = spectest_new(&err, s->store);
    if (!s->spectest)
        goto fail;
    return s;
fail:
    fprintf(stderr, "%s: %s\n", label, err.text);
    script_delete(s);
    return NULL;
}

static void script_delete(struct script *s)
{
    if (!s)
        return;
    for (struct thread *t = s->threads, *next; t; t = next) {
        next = t->next;
        script_delete(t->script);
        free(t);
    }
    if (s->runner->gas_totals && s->store)
        printf("%s: gas %" PRIu64 "\n", s->label, sv_store_gas_used(s->store) - s->not_told);
    spectest_delete(s->spectest);
    sv_store_delete(s->store);
    for (size_t i = 0; i < s->nentries; i++)
        sv_module_unref(s->entries[i].module);
    free(s);
}

/* "A/B/core/i32/test.json" -> folder "A/B/core/i32", label "core/i32". */
static void split_path(const char *path, char *folder, size_t size, const char **ret_label)
{
    char *end;
    snprintf(folder, size, "%s", path);
    end = strrchr(folder, '/');
    if (!end) {
        snprintf(folder, size, ".");
        *ret_label = path;
        return;
    }
    *end = 0;
    for (int parts = 0; end > folder; end--) {
        if (end[-1] == '/' && ++parts == 2)
            break;
    }
    *ret_label = end;
}

void script_run(struct runner *runner, const char *path)
{
    char folder[4096];
    const char *label;
    json_error_t error;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    struct script *s;

    if (!root) {
        printf("%s: %s\n", path, error.text);
        runner->failed++;
        return;
    }
    split_path(path, folder, sizeof folder, &label);
    s = script_new(runner, folder, label);
    if (s)
        run_commands(s, json_object_get(root, "commands"));
    else
        runner->failed++;
    script_delete(s);
    json_decref(root);
}
