/* A guest behind the public interface, with everything that it needs: for the tests of that
 * interface. How it is filled is the test's. */
#ifndef SV_TEST_GUEST_H
#define SV_TEST_GUEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ssvm.h"

struct guest {
    ssvm_engine *engine;
    ssvm_module *module;
    ssvm_store *store;
    ssvm_linker *linker;
    ssvm_instance *instance;
};

static inline void ok(ssvm_error *e)
{
    if (e)
        fail_msg("%s", ssvm_error_message(e));
}

static inline void guest_close(struct guest *g)
{
    ssvm_linker_delete(g->linker);
    ssvm_store_delete(g->store);
    ssvm_module_delete(g->module);
    ssvm_engine_delete(g->engine);
}

#endif
