/* What instructions cost when it is not opcode.def that says so: a table, which a host writes into
 * the section `ssvm.costs` of a module (doc/format/costs.md). */
#ifndef SV_WASM_COSTS_H
#define SV_WASM_COSTS_H

#include "wasm/module.h"
#include "wasm/opcode.h"

#define SV_COSTS_SECTION "ssvm.costs"
#define SV_COSTS_NONE UINT32_MAX /* of an import that the table does not name */

/* Fill m->costs and m->import_costs from the module's section, the last of that name; without one
 * there is nothing to do. SV_EINVALID with the table's line, SV_ENOMEM. */
int sv_costs_read(struct sv_err *err, struct sv_module *m);

static inline unsigned sv_op_cost(const struct sv_module *m, enum sv_op op)
{
    return m->costs ? m->costs[op] : sv_op_info[op].cost;
}

#endif
