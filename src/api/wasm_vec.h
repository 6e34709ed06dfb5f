/* The five functions of a vector type of wasm.h, written once. Included by the files that define
 * the element types. */
#ifndef SV_API_WASM_VEC_H
#define SV_API_WASM_VEC_H

#include "wasm.h"

#include "base/alloc.h"

/* T: the element; COPY(from, to) copies one and is false when out of memory; DELETE(at) ends one;
 * both get pointers to elements. */
#define SV_WASM_VEC(name, T, COPY, DELETE)                                                         \
    void wasm_##name##_vec_new_empty(own wasm_##name##_vec_t *out)                                 \
    {                                                                                              \
        if (out)                                                                                   \
            *out = (wasm_##name##_vec_t){0, NULL};                                                 \
    }                                                                                              \
    void wasm_##name##_vec_new_uninitialized(own wasm_##name##_vec_t *out, size_t size)            \
    {                                                                                              \
        if (!out)                                                                                  \
            return;                                                                                \
        out->data = size ? sv_alloc_array_zero(size, sizeof(T)) : NULL;                            \
        out->size = out->data ? size : 0;                                                          \
    }                                                                                              \
    void wasm_##name##_vec_delete(own wasm_##name##_vec_t *v)                                      \
    {                                                                                              \
        if (!v)                                                                                    \
            return;                                                                                \
        for (size_t i = 0; v->data && i < v->size; i++)                                            \
            DELETE(&v->data[i]);                                                                   \
        sv_free(v->data);                                                                          \
        *v = (wasm_##name##_vec_t){0, NULL};                                                       \
    }                                                                                              \
    void wasm_##name##_vec_new(own wasm_##name##_vec_t *out, size_t size, own T const data[])      \
    {                                                                                              \
        wasm_##name##_vec_new_uninitialized(out, data ? size : 0);                                 \
        for (size_t i = 0; out && i < out->size; i++)                                              \
            out->data[i] = data[i];                                                                \
        for (size_t i = 0; out && data && out->size < size && i < size; i++) {                     \
            T lost = data[i];                                                                      \
            DELETE(&lost);                                                                         \
        }                                                                                          \
    }                                                                                              \
    void wasm_##name##_vec_copy(own wasm_##name##_vec_t *out, const wasm_##name##_vec_t *v)        \
    {                                                                                              \
        wasm_##name##_vec_new_uninitialized(out, v && v->data ? v->size : 0);                      \
        for (size_t i = 0; out && i < out->size; i++) {                                            \
            if (COPY(&v->data[i], &out->data[i]))                                                  \
                continue;                                                                          \
            wasm_##name##_vec_delete(out);                                                         \
            break;                                                                                 \
        }                                                                                          \
    }

/* For vectors of pointers to things with wasm_NAME_copy and wasm_NAME_delete. */
#define SV_WASM_PTR_VEC(name)                                                                      \
    static bool copy_##name##_at(wasm_##name##_t *const *from, wasm_##name##_t **to)               \
    {                                                                                              \
        *to = *from ? wasm_##name##_copy(*from) : NULL;                                            \
        return *to || !*from;                                                                      \
    }                                                                                              \
    static void delete_##name##_at(wasm_##name##_t **at)                                           \
    {                                                                                              \
        wasm_##name##_delete(*at);                                                                 \
    }                                                                                              \
    SV_WASM_VEC(name, wasm_##name##_t *, copy_##name##_at, delete_##name##_at)

#endif
