/* The values that a guest of the wasm-bindgen ABI holds by number: strings, numbers, and the
 * constants. */
#include "host/bindgen/bindgen.h"

/* Where undefined, null, true, false have been: until 0.2.83, until the 0.2.10x, and now. */
static const uint32_t offsets[] = {32, 128, 1024};

own struct sv_bindgen *sv_bindgen_new(void)
{
    struct sv_bindgen *b = sv_alloc_zero(sizeof *b);

    if (b)
        sv_buf_init(&b->panic, SV_BINDGEN_TEXT_MAX);
    return b;
}

void sv_bindgen_delete(own struct sv_bindgen *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->values.len; i++) {
        if (b->values.data[i].kind == SV_BINDGEN_VALUE_STRING)
            sv_free(b->values.data[i].bytes);
    }
    sv_free(b->values.data);
    sv_free(b->words.data);
    sv_buf_release(&b->panic);
    sv_free(b);
}

static struct sv_bindgen_value *find(const struct sv_bindgen *b, uint32_t handle)
{
    if (handle < SV_BINDGEN_HANDLE_FIRST || handle - SV_BINDGEN_HANDLE_FIRST >= b->values.len)
        return NULL;
    return &b->values.data[handle - SV_BINDGEN_HANDLE_FIRST];
}

uint32_t sv_bindgen_value_new(struct sv_bindgen *b, enum sv_bindgen_value_kind kind,
                              const void *bytes, size_t len, double number)
{
    struct sv_bindgen_value v = {.kind = (uint8_t)kind,
                                 .refs = 1,
                                 .number = number,
                                 .bytes = (unsigned char *)bytes,
                                 .len = len};
    uint32_t i = b->free;

    if (kind == SV_BINDGEN_VALUE_STRING) {
        if (len > SV_BINDGEN_BYTES_MAX - b->bytes)
            return 0;
        v.bytes = sv_alloc(len + 1);
        if (!v.bytes)
            return 0;
        if (len > 0)
            memcpy(v.bytes, bytes, len);
        v.bytes[len] = '\0';
    }
    if (i > 0) {
        i--;
        b->free = b->values.data[i].next_free;
        b->values.data[i] = v;
    } else {
        i = (uint32_t)b->values.len;
        if (!SV_VEC_PUSH(&b->values, SV_BINDGEN_VALUES_MAX, v)) {
            if (kind == SV_BINDGEN_VALUE_STRING)
                sv_free(v.bytes);
            return 0;
        }
    }
    if (kind == SV_BINDGEN_VALUE_STRING)
        b->bytes += len;
    return SV_BINDGEN_HANDLE_FIRST + i;
}

void sv_bindgen_value_unref(struct sv_bindgen *b, uint32_t handle)
{
    struct sv_bindgen_value *v = find(b, handle);

    if (!v || v->kind == SV_BINDGEN_VALUE_FREE || --v->refs > 0)
        return;
    if (v->kind == SV_BINDGEN_VALUE_STRING) {
        b->bytes -= v->len;
        sv_free(v->bytes);
    }
    *v = (struct sv_bindgen_value){.kind = SV_BINDGEN_VALUE_FREE, .next_free = b->free};
    b->free = handle - SV_BINDGEN_HANDLE_FIRST + 1;
}

void sv_bindgen_array_end(struct sv_bindgen *b, uint32_t handle)
{
    struct sv_bindgen_value *v = find(b, handle);

    if (v && v->kind == SV_BINDGEN_VALUE_ARRAY) {
        v->kind = SV_BINDGEN_VALUE_OBJECT;
        v->bytes = NULL;
        v->len = 0;
    }
    sv_bindgen_value_unref(b, handle);
}

struct sv_bindgen_value sv_bindgen_value_get(const struct sv_bindgen *b, uint32_t handle)
{
    const struct sv_bindgen_value *v = find(b, handle);

    if (v && v->kind != SV_BINDGEN_VALUE_FREE)
        return *v;
    for (unsigned i = 0; i < SV_COUNT(offsets); i++) {
        if (handle - offsets[i] < 4)
            return (struct sv_bindgen_value){
                .kind = (uint8_t)(SV_BINDGEN_VALUE_UNDEFINED + (handle - offsets[i]))};
    }
    return (struct sv_bindgen_value){.kind = SV_BINDGEN_VALUE_UNDEFINED};
}

uint32_t sv_bindgen_handle_of(sv_ref r)
{
    /* null is the second of the fixed ones */
    return sv_ref_is_host(r) && sv_ref_host_payload(r) <= UINT32_MAX
               ? (uint32_t)sv_ref_host_payload(r)
               : offsets[0] + 1;
}
