/* Type descriptors of wasm-bindgen: from the words that a module tells to a signature, and its
 * text. Calls nothing. */
#include "host/bindgen/bindgen.h"

#define DEPTH_MAX 16 /* wrappers around wrappers */
/* Since which 0.2.N a class names its crate, and enums and unions theirs with a hash. */
enum { SINCE_CLASS_CRATE = 128, SINCE_ENUM_ORIGIN = 130 };

#define SECTION_HEAD 256 /* of the custom section, searched for the version */

static const struct {
    uint16_t since;
    const char *text;
} kinds[] = {
#define BINDGEN_TYPE(name, since, text) {since, text},
#include "host/bindgen/type.def"
#undef BINDGEN_TYPE
};

/* ---- Version ---- */

/* The N of `0.2.N` at the start of s. */
static int patch_number(const char *s, size_t len)
{
    unsigned n = 0;
    size_t i = 4;

    if (len < 5 || memcmp(s, "0.2.", 4) != 0 || s[4] < '0' || s[4] > '9')
        return -1;
    for (; i < len && s[i] >= '0' && s[i] <= '9' && n < 10000; i++)
        n = n * 10 + (unsigned)(s[i] - '0');
    return (int)n;
}

/* The first place in s after `key`, or NULL. */
static const char *after(const char *s, size_t len, const char *key)
{
    const char *p = memmem(s, len, key, strlen(key));

    return p ? p + strlen(key) : NULL;
}

int sv_bindgen_version(const struct sv_module *m, bool *ret_raw)
{
    const struct sv_custom *c = sv_module_custom(m, sv_str_of("__wasm_bindgen_unstable"));
    const char *s, *p;

    *ret_raw = c != NULL;
    if (c) {
        /* A length, then {"schema_version":"0.2.100","version":"0.2.100"}; several such blocks may
         * follow. */
        size_t len = c->len < SECTION_HEAD ? c->len : SECTION_HEAD;
        s = (const char *)m->bytes + c->offset;
        p = after(s, len, "\"version\":\"");
        return p ? patch_number(p, (size_t)(s + len - p)) : -1;
    }
    c = sv_module_custom(m, sv_str_of("producers"));
    if (!c)
        return -1;
    /* processed-by: "wasm-bindgen" "0.2.100 (hash)", each with its length before it. */
    s = (const char *)m->bytes + c->offset;
    p = after(s, c->len, "wasm-bindgen");
    return p && p + 1 < s + c->len ? patch_number(p + 1, (size_t)(s + c->len - p - 1)) : -1;
}

/* ---- Words ---- */

struct reader {
    struct sv_err *err;
    const uint32_t *words;
    size_t n, at;
    struct sv_bindgen_sig *sig;
    uint8_t kind_of[SV_BINDGEN_COUNT]; /* word -> kind in this version */
    unsigned nkinds;
};

static int too_short(struct reader *r)
{
    sv_fail(r->err, SV_EMALFORMED, SV_NO_OFFSET, "type descriptor ends too early");
    return SV_EMALFORMED;
}

static int read_word(struct reader *r, uint32_t *ret)
{
    *ret = 0;
    if (r->at >= r->n)
        return too_short(r);
    *ret = r->words[r->at++];
    return 0;
}

static int read_name(struct reader *r, struct sv_bindgen_type *t)
{
    uint32_t len, c;

    if (read_word(r, &len) < 0)
        return SV_EMALFORMED;
    if (len > r->n - r->at || len > SV_BINDGEN_NAMES_MAX - (size_t)r->sig->nnames)
        return sv_fail(r->err, SV_EMALFORMED, SV_NO_OFFSET,
                       "name of %u characters in a type descriptor", len);
    t->name = r->sig->nnames;
    t->name_len = (uint16_t)len;
    for (uint32_t i = 0; i < len; i++) {
        c = r->words[r->at++];
        r->sig->names[r->sig->nnames++] = c > 0x20 && c < 0x7f ? (char)c : '?';
    }
    return 0;
}

/* Words of a name that nobody here needs. */
static int skip_name(struct reader *r)
{
    uint32_t len;

    if (read_word(r, &len) < 0)
        return SV_EMALFORMED;
    if (len > r->n - r->at)
        return too_short(r);
    r->at += len;
    return 0;
}

/* The crate that an enum comes from, and a hash. */
static int skip_origin(struct reader *r)
{
    uint32_t hash;

    if (r->sig->version < SINCE_ENUM_ORIGIN)
        return 0;
    return skip_name(r) < 0 ? SV_EMALFORMED : read_word(r, &hash);
}

static int read_type(struct reader *r, unsigned depth, uint16_t *ret);

/* What follows the word of a type that does not stand alone. */
static int read_rest(struct reader *r, unsigned depth, struct sv_bindgen_type *t)
{
    uint32_t word, count;
    uint16_t ignored;
    int rc = 0;

    switch (t->kind) {
    case SV_BINDGEN_REF:
    case SV_BINDGEN_REFMUT:
    case SV_BINDGEN_LONGREF:
    case SV_BINDGEN_SLICE:
    case SV_BINDGEN_VECTOR:
    case SV_BINDGEN_OPTIONAL:
    case SV_BINDGEN_RESULT:
    case SV_BINDGEN_CLAMPED:
    case SV_BINDGEN_NULLABLE:
        return read_type(r, depth + 1, &t->inner);
    case SV_BINDGEN_SEQ_MODE:
        return read_word(r, &word) < 0 ? SV_EMALFORMED : read_type(r, depth + 1, &t->inner);
    case SV_BINDGEN_ENUM:
        rc = read_name(r, t);
        if (rc == 0)
            rc = read_word(r, &t->hole);
        return rc < 0 ? rc : skip_origin(r);
    case SV_BINDGEN_STRING_ENUM:
        rc = read_name(r, t);
        if (rc == 0)
            rc = read_word(r, &word);
        return rc < 0 ? rc : skip_origin(r);
    case SV_BINDGEN_RUST_STRUCT:
        rc = read_name(r, t);
        return rc < 0 || r->sig->version < SINCE_CLASS_CRATE ? rc : skip_name(r);
    case SV_BINDGEN_NAMED_EXTERNREF:
        return read_name(r, t);
    case SV_BINDGEN_DYNAMIC_UNION:
        rc = read_name(r, t);
        if (rc == 0)
            rc = skip_origin(r);
        if (rc == 0)
            rc = read_word(r, &count);
        for (uint32_t i = 0; rc == 0 && i < count; i++)
            rc = read_type(r, depth + 1, &ignored);
        return rc;
    case SV_BINDGEN_FUNCTION:
    case SV_BINDGEN_CLOSURE:
        return sv_fail(r->err, SV_EUNSUPPORTED, SV_NO_OFFSET,
                       "closures exist only in a JavaScript host");
    default:
        return 0;
    }
}

static int read_type(struct reader *r, unsigned depth, uint16_t *ret)
{
    struct sv_bindgen_type t = {0};
    uint32_t word;
    int rc;

    if (read_word(r, &word) < 0)
        return SV_EMALFORMED;
    if (word >= r->nkinds)
        return sv_fail(r->err, SV_EMALFORMED, SV_NO_OFFSET,
                       "unknown word %u in a type descriptor of version 0.2.%u", word,
                       r->sig->version);
    if (depth > DEPTH_MAX || r->sig->ntypes >= SV_BINDGEN_TYPES_MAX)
        return sv_fail(r->err, SV_EMALFORMED, SV_NO_OFFSET,
                       "type descriptor is too deep or too long");
    t.kind = r->kind_of[word];
    *ret = r->sig->ntypes++;
    rc = read_rest(r, depth, &t);
    r->sig->types[*ret] = t;
    return rc;
}

int sv_bindgen_sig_decode(struct sv_err *err, const uint32_t *words, size_t n, unsigned version,
                          struct sv_bindgen_sig *ret)
{
    struct reader r = {.err = err, .words = words, .n = n, .sig = ret};
    uint32_t word, nparams;
    int rc = 0;

    ret->version = version;
    ret->nparams = ret->ntypes = ret->nnames = 0;
    for (unsigned k = 0; k < SV_BINDGEN_COUNT; k++) {
        if (kinds[k].since <= version)
            r.kind_of[r.nkinds++] = (uint8_t)k;
    }
    if (read_word(&r, &word) < 0)
        return SV_EMALFORMED;
    /* The first word checks the version: FUNCTION has been 11, 13 and 15. */
    if (word >= r.nkinds || r.kind_of[word] != SV_BINDGEN_FUNCTION)
        return sv_fail(err, SV_EMALFORMED, SV_NO_OFFSET,
                       "type descriptor begins with %u, which is no function in version 0.2.%u",
                       word, version);
    if (read_word(&r, &word) < 0 || read_word(&r, &nparams) < 0)
        return SV_EMALFORMED;
    if (nparams > SV_BINDGEN_PARAMS_MAX)
        return sv_fail(err, SV_EUNSUPPORTED, SV_NO_OFFSET, "more than %d parameters",
                       SV_BINDGEN_PARAMS_MAX);
    for (uint32_t i = 0; rc == 0 && i < nparams; i++)
        rc = read_type(&r, 0, &ret->params[ret->nparams++]);
    return rc < 0 ? rc : read_type(&r, 0, &ret->ret);
}

/* ---- Text ---- */

static bool is_text(const struct sv_bindgen_type *t)
{
    return t->kind == SV_BINDGEN_STRING || t->kind == SV_BINDGEN_CACHED_STRING;
}

static void print_ref(struct sv_buf *b, const struct sv_bindgen_sig *s,
                      const struct sv_bindgen_type *t)
{
    const struct sv_bindgen_type *inner = &s->types[t->inner];

    sv_buf_puts(b, t->kind == SV_BINDGEN_REFMUT ? "&mut " : "&");
    if (is_text(inner))
        sv_buf_puts(b, "str");
    else
        sv_bindgen_type_print(b, s, t->inner);
}

static void print_wrapped(struct sv_buf *b, const struct sv_bindgen_sig *s,
                          const struct sv_bindgen_type *t, const char *before, const char *after_it)
{
    sv_buf_puts(b, before);
    sv_bindgen_type_print(b, s, t->inner);
    sv_buf_puts(b, after_it);
}

void sv_bindgen_type_print(struct sv_buf *b, const struct sv_bindgen_sig *s, unsigned type)
{
    const struct sv_bindgen_type *t = &s->types[type];

    switch (t->kind) {
    case SV_BINDGEN_REF:
    case SV_BINDGEN_REFMUT:
    case SV_BINDGEN_LONGREF:
        print_ref(b, s, t);
        break;
    case SV_BINDGEN_SLICE:
        print_wrapped(b, s, t, "[", "]");
        break;
    case SV_BINDGEN_VECTOR:
        print_wrapped(b, s, t, "Vec<", ">");
        break;
    case SV_BINDGEN_OPTIONAL:
        print_wrapped(b, s, t, "Option<", ">");
        break;
    case SV_BINDGEN_NULLABLE:
        print_wrapped(b, s, t, "Nullable<", ">");
        break;
    case SV_BINDGEN_RESULT:
        print_wrapped(b, s, t, "Result<", ">");
        break;
    case SV_BINDGEN_CLAMPED:
        if (is_text(&s->types[t->inner]))
            sv_buf_puts(b, "JSON");
        else
            print_wrapped(b, s, t, "Clamped<", ">");
        break;
    case SV_BINDGEN_SEQ_MODE:
        sv_bindgen_type_print(b, s, t->inner);
        break;
    default:
        if (t->name_len)
            sv_buf_append(b, s->names + t->name, t->name_len);
        else
            sv_buf_puts(b, kinds[t->kind].text ? kinds[t->kind].text : "?");
    }
}

void sv_bindgen_sig_print(struct sv_buf *b, const struct sv_bindgen_sig *s, struct sv_str name)
{
    sv_buf_append(b, name.ptr, name.len);
    sv_buf_putc(b, '(');
    for (unsigned i = 0; i < s->nparams; i++) {
        if (i > 0)
            sv_buf_puts(b, ", ");
        sv_bindgen_type_print(b, s, s->params[i]);
    }
    sv_buf_putc(b, ')');
    if (s->types[s->ret].kind != SV_BINDGEN_UNIT) {
        sv_buf_puts(b, " -> ");
        sv_bindgen_type_print(b, s, s->ret);
    }
}
