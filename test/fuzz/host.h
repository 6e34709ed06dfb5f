/* What the parts of fuzz-host share. */
#ifndef FUZZ_HOST_H
#define FUZZ_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "ssvm.h"

uint64_t fuzz_next(void);

/* Functions of contracts (src/evmc), over a chain that answers anything. One store at a time. */
bool fuzz_eei_get(unsigned i, const char **ret_name, const char **ret_sig);
void fuzz_eei_define(ssvm_linker *);
void fuzz_eei_begin(ssvm_store *);
void fuzz_eei_end(void);
/* One was called: the contract goes on, whatever it was. */
void fuzz_eei_called(void);

#endif
