/* Typed calls of ssvm.h: finds the function, chooses the ABI, runs it. What the ABIs do is in
 * typed_bindgen.c, typed_plain.c and typed_wasmedge.c. */
#include "api/typed.h"

#define JSON_TEXT_MAX ((size_t)1 << 31)

/* The store's state, made at first use. */
static own ssvm_error *bindgen_of(ssvm_store *s, struct sv_bindgen **ret)
{
    if (!s->bindgen)
        s->bindgen = sv_bindgen_new();
    *ret = s->bindgen;
    return s->bindgen ? NULL : sv_api_nomem();
}

own ssvm_error *ssvm_linker_define_bindgen(ssvm_linker *l)
{
    struct sv_bindgen *b;
    struct sv_err err = {0};
    ssvm_error *e;

    if (!l)
        return sv_api_error(SSVM_EUSAGE, "ssvm_linker_define_bindgen needs a linker");
    if (l->has_bindgen)
        return NULL;
    e = bindgen_of(l->store, &b);
    if (e)
        return e;
    if (sv_bindgen_link(&err, l->linker, b) < 0)
        return sv_api_error_of(&err);
    l->has_bindgen = true;
    return NULL;
}

/* ---- Arguments in JSON ---- */

/* One JSON argument to what it is: text of a number, a string, a constant. Arrays and objects stay.
 * `owned` keeps what was unescaped. */
static own ssvm_error *read_json(const struct sv_typed *t, size_t arg, ssvm_arg *a,
                                 own char **owned)
{
    struct sv_json j = {a->bytes, (const char *)a->bytes + a->len};
    struct sv_str text = {"", 0};
    enum sv_json_kind kind = a->len ? sv_json_next(&j, &text) : SV_JSON_BAD;
    struct sv_buf b;
    size_t len;

    if (kind == SV_JSON_BAD || !sv_json_end(&j))
        return sv_typed_arg_error(t, arg, "is not JSON");
    switch (kind) {
    case SV_JSON_NULL:
        a->kind = SSVM_ARG_NULL;
        break;
    case SV_JSON_TRUE:
    case SV_JSON_FALSE:
        a->kind = SSVM_ARG_BOOL;
        a->i = kind == SV_JSON_TRUE;
        break;
    case SV_JSON_NUMBER:
        a->kind = SSVM_ARG_TEXT;
        break;
    case SV_JSON_STRING:
        sv_buf_init(&b, JSON_TEXT_MAX);
        if (!sv_json_unquote(text, &b)) {
            sv_buf_release(&b);
            return sv_typed_arg_error(t, arg, "is not JSON: bad escape in a string");
        }
        *owned = sv_buf_take(&b, &len);
        text = (struct sv_str){*owned, *owned ? len : 0};
        a->kind = SSVM_ARG_STRING;
        break;
    default:
        break;
    }
    a->bytes = text.ptr;
    a->len = text.len;
    return NULL;
}

/* Into t->copy, where they may be changed. */
static own ssvm_error *copy_args(struct sv_typed *t)
{
    const ssvm_arg *args = t->args;
    ssvm_error *e = NULL;

    t->copy = t->nargs <= SV_TYPED_FEW ? t->few.copy : sv_alloc_array(t->nargs, sizeof *t->copy);
    memset(t->few.owned, 0, sizeof t->few.owned);
    t->owned =
        t->nargs <= SV_TYPED_FEW ? t->few.owned : sv_alloc_array_zero(t->nargs, sizeof *t->owned);
    if (!t->copy || !t->owned)
        return sv_api_nomem();
    for (size_t i = 0; i < t->nargs; i++) {
        const ssvm_arg *a = &args[i];
        if ((unsigned)a->kind > SSVM_ARG_JSON)
            return sv_typed_arg_error(t, i, "has an unknown kind");
        if (!a->bytes && a->len > 0)
            return sv_typed_arg_error(t, i, "has no bytes");
    }
    for (size_t i = 0; i < t->nargs && !e; i++) {
        t->copy[i] = args[i];
        if (args[i].kind == SSVM_ARG_JSON)
            e = read_json(t, i, &t->copy[i], &t->owned[i]);
    }
    t->args = t->copy;
    return e;
}

/* ---- The call ---- */

/* Processed modules of newer tools: `__wbindgen_start` prepares the table of values, once an
 * instance. */
static own ssvm_error *prepare(struct sv_typed *t)
{
    ssvm_store *s = t->store;
    struct sv_func *start = sv_typed_export(t->inst, "__wbindgen_start");
    union sv_slot none[1] = {{0}};
    ssvm_error *e;

    if (!start || start->type->func.nparams || start->type->func.nresults)
        return NULL;
    for (size_t i = 0; i < s->bindgen_started.len; i++) {
        if (s->bindgen_started.data[i] == t->inst)
            return NULL;
    }
    /* It may be the import itself, exported again: that one would not know whose table it is. */
    if (start->inst)
        e = sv_typed_call(t, start, none);
    else
        e = sv_bindgen_init_table(t->inst)
                ? NULL
                : sv_api_error(SSVM_ELIMIT, "no room in the module's table of values");
    if (!e && !SV_VEC_PUSH(&s->bindgen_started, UINT32_MAX, t->inst))
        e = sv_api_nomem();
    return e;
}

/* string:42 */
static void strip_string(ssvm_arg *a)
{
    size_t len;

    if (a->kind != SSVM_ARG_TEXT || sv_typed_prefix(a, &len) != SV_BINDGEN_STRING || len == 0)
        return;
    a->kind = SSVM_ARG_STRING;
    a->bytes = (const char *)a->bytes + len;
    a->len -= len;
}

static own ssvm_error *choose(struct sv_typed *t, uint32_t index)
{
    const struct sv_bindgen_sig *sig;
    ssvm_error *e = sv_typed_know_signature(t, index, &sig);

    if (e)
        return e;
    if (sig)
        return sv_typed_call_bindgen(t, sig);
    if (sv_typed_is_wasmedge(t))
        return sv_typed_call_wasmedge(t);
    for (size_t i = 0; i < t->nargs; i++)
        strip_string(&t->copy[i]);
    e = prepare(t);
    return e ? e : sv_typed_call_plain(t);
}

static void release(own struct sv_typed *t)
{
    for (size_t i = 0; i < t->nbuffers; i++) {
        sv_bindgen_array_end(t->bindgen, t->buffers[i].handle);
        sv_free(t->buffers[i].bytes);
    }
    sv_buf_release(&t->out);
    for (size_t i = 0; t->owned && i < t->nargs; i++)
        sv_free(t->owned[i]);
    if (t->owned != t->few.owned)
        sv_free(t->owned);
    if (t->copy != t->few.copy)
        sv_free(t->copy);
    if (t->buffers != t->few.buffers)
        sv_free(t->buffers);
    if (t->flats != t->few.flats)
        sv_free(t->flats);
    sv_free(t);
}

/* Hand the result over, converted to what was wanted where that is possible. */
static own ssvm_error *finish(struct sv_typed *t, ssvm_result *ret)
{
    ssvm_result r = {.size = ret->size, .kind = t->kind, .i = t->i, .f = t->f};

    if (t->want == SSVM_RESULT_NONE) {
        r.kind = SSVM_RESULT_NONE;
        sv_buf_clear(&t->out);
    } else if (t->want == SSVM_RESULT_BYTES && r.kind == SSVM_RESULT_STRING) {
        r.kind = SSVM_RESULT_BYTES;
    } else if (t->want == SSVM_RESULT_FLOAT && r.kind == SSVM_RESULT_INT) {
        r.kind = SSVM_RESULT_FLOAT;
        r.f = (double)r.i;
    } else if (t->want == SSVM_RESULT_STRING && r.kind == SSVM_RESULT_BYTES &&
               sv_utf8_valid(t->out.data, t->out.len)) {
        r.kind = SSVM_RESULT_STRING;
    } else if (t->want != SSVM_RESULT_AUTO && t->want != r.kind && r.kind != SSVM_RESULT_JSON &&
               t->want != SSVM_RESULT_STRING) {
        return sv_api_error(SSVM_ETYPE, "'%s' does not return what was asked for", t->name);
    }
    r.bytes = sv_buf_take(&t->out, &r.len);
    if (!r.bytes)
        return sv_api_nomem();
    if (r.kind == SSVM_RESULT_INT)
        r.f = (double)r.i;
    *ret = r;
    return NULL;
}

/* The part that runs inside the store. */
static own ssvm_error *run(struct sv_typed *t, ssvm_result *ret)
{
    struct sv_extern x;
    struct sv_err err;
    uint32_t index = 0;
    ssvm_error *e;

    sv_err_init(&err);
    e = bindgen_of(t->store, &t->bindgen);
    if (e)
        return e;
    if (sv_typed_find(&err, t->inst->module, t->name, &index) < 0)
        return sv_api_error_of(&err);
    if (!sv_instance_export_at(t->inst, index, &x))
        return sv_api_nomem();
    t->func = x.func;
    e = sv_typed_know_allocator(t);
    if (!e)
        e = choose(t, index);
    return e ? e : finish(t, ret);
}

own ssvm_error *ssvm_instance_call(ssvm_instance *instance, const char *name, const ssvm_arg *args,
                                   size_t nargs, ssvm_result_kind want, ssvm_result *ret)
{
    struct sv_typed *t;
    ssvm_error *e = NULL;

    if (!instance || !name || !ret || (nargs && !args) || ret->size != sizeof *ret ||
        (unsigned)want > SSVM_RESULT_JSON)
        return sv_api_error(
            SSVM_EUSAGE,
            "ssvm_instance_call needs an instance, a name, arguments and a place for the result");
    if (nargs > SV_TYPED_ARGS_MAX)
        return sv_api_error(SSVM_EUSAGE, "'%s' is given %zu arguments, at most %d can be", name,
                            nargs, SV_TYPED_ARGS_MAX);
    /* Large for the stack of a thread. */
    t = sv_alloc(sizeof *t);
    if (!t)
        return sv_api_nomem();
    memset(t, 0, offsetof(struct sv_typed, few));
    t->inst = sv_api_instance(instance);
    t->store = sv_api_store_of(t->inst->store);
    t->name = name;
    t->args = t->given = args;
    t->nargs = nargs;
    t->want = want;
    t->flats = t->few.flats;
    t->buffers = t->few.buffers;
    sv_buf_init(&t->out, SV_TYPED_RESULT_MAX);
    e = copy_args(t);
    if (!e)
        e = sv_api_enter(t->store);
    if (!e) {
        e = run(t, ret);
        sv_api_leave(t->store);
    }
    release(t);
    return e;
}
