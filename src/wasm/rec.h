/* Recursion groups on their way into the type registry: the decoder writes a group as words, the
 * registry answers with canonical types. Not for layers above the decoder. */
#ifndef SV_WASM_REC_H
#define SV_WASM_REC_H

#include "wasm/types.h"

/* A group is a sequence of words, for each type: head, supertype (a reference type word, or 0),
 * then by form function: number of parameters, number of results, their types struct:   number of
 * fields, then (type, mutable) for each array:    type, mutable Value types are sv_valtype;
 * references to the group's own types are SV_REC_LOCAL(position, nullable), so that equal groups
 * are equal words (iso-recursive equality, spec 3.1.2). */
#define SV_REC_HEAD(form, final) ((uint32_t)(form) | ((final) ? 1u << 8 : 0u))
#define SV_REC_LOCAL_BIT 0x80u
#define SV_REC_LOCAL(position, nullable)                                                           \
    (SV_VAL_REF | SV_REC_LOCAL_BIT | ((nullable) ? 1u << 8 : 0u) | (uint32_t)(position) << 9)

struct sv_type_group;

/* The canonical group of these words. ret_types has room for ntypes. *ret_group holds a reference
 * for sv_types_unref. Fails with SV_ELIMIT (subtyping depth, number of types) or SV_ENOMEM. Any
 * thread. */
int sv_types_intern(struct sv_err *err, struct sv_types *, const uint32_t *words, size_t nwords,
                    uint32_t ntypes, const struct sv_type **ret_types,
                    own struct sv_type_group **ret_group);
/* Give back n references; types that nothing uses are freed. */
void sv_types_unref(struct sv_types *, own struct sv_type_group *const *groups, size_t n);

/* Number of live types in the registry (tests). */
uint32_t sv_types_count(struct sv_types *);

#endif
