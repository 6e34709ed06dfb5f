/* The runner of the official scripts: what its files share. A test program, no part of the library.
 */
#ifndef TEST_SPEC_H
#define TEST_SPEC_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "interp/interp.h"
#include "runtime/instance.h"
#include "wasm/costs.h"

struct skip {
    char *folder;
    int line;
};

/* Options, engine and totals of the whole run; totals are counted from several threads. */
struct runner {
    struct sv_engine *engine;
    bool metered, own_costs, gas_limited, gas_totals, verbose, texts, traps;
    /* Tiers of ../switcher.h: behind an instance's making, before a call of it; NULL: other tiers.
     */
    void (*begin)(struct sv_instance *), (*before_call)(struct sv_instance *);
    struct skip *skips;
    size_t nskips;
    _Atomic unsigned passed, failed, skipped;
};

/* value.c: values of the scripts. */

/* Write the argument into slots; the number of slots taken, 0 when it is not understood. */
unsigned value_read(const json_t *value, union sv_slot *ret);
/* Does a result of type `type` in `got` agree with the expectation (a value, a pattern or an
 * `either`)? */
bool value_matches(const json_t *expected, sv_valtype type, const union sv_slot *got);
/* The expectation or the result as text for messages. */
void value_print(struct sv_buf *, const json_t *expected);
void value_print_slots(struct sv_buf *, sv_valtype type, const union sv_slot *got);

/* host.c: the module `spectest`. */
struct spectest;
struct spectest *spectest_new(struct sv_err *err, struct sv_store *);
void spectest_delete(struct spectest *);
/* False when there is no such export. */
bool spectest_find(struct spectest *, struct sv_str name, struct sv_extern *ret);

/* script.c: run the commands of one file. */
void script_run(struct runner *, const char *path);

#endif
