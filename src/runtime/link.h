/* Linking by name: a linker holds definitions (functions of host modules, instances, single
 * externs) and resolves a module's imports. */
#ifndef SV_RUNTIME_LINK_H
#define SV_RUNTIME_LINK_H

#include "runtime/instance.h"

/* Explains an import that nobody provides: what it is, which grant or package provides it. Writes a
 * sentence or nothing. */
typedef void sv_link_explain_fn(void *arg, struct sv_str module, struct sv_str name,
                                struct sv_buf *ret);

struct sv_linker;
own struct sv_linker *sv_linker_new(struct sv_store *);
void sv_linker_delete(own struct sv_linker *);
/* Names are copied. A later definition of the same name replaces. Functions may be overloaded by
 * type: `sv_linker_define` with a function of another type under the same name adds a variant, and
 * the import's type chooses. */
int sv_linker_define(struct sv_err *err, struct sv_linker *, struct sv_str module,
                     struct sv_str name, struct sv_extern);
/* All exports of the instance under `module`. */
int sv_linker_define_instance(struct sv_err *err, struct sv_linker *, struct sv_str module,
                              struct sv_instance *);
/* A definition made on demand: asked for names that are not defined. Returns false = not mine. */
typedef bool sv_link_lazy_fn(void *arg, struct sv_store *, const struct sv_module *,
                             const struct sv_import *, struct sv_extern *ret);
int sv_linker_define_lazy(struct sv_err *err, struct sv_linker *, sv_link_lazy_fn *, void *arg);
void sv_linker_set_explain(struct sv_linker *, sv_link_explain_fn *, void *arg);
/* One extern per import, in order, into ret[module->nimports]. SV_ELINK names every missing import
 * (up to 10). */
int sv_linker_resolve(struct sv_err *err, struct sv_linker *, const struct sv_module *,
                      struct sv_extern *ret);
int sv_linker_instantiate(struct sv_err *err, struct sv_linker *, struct sv_module *,
                          struct sv_instance **ret);

#endif
