/* The C face of the module generator in src/lib.rs. */
#ifndef SV_TEST_FUZZ_SMITH_H
#define SV_TEST_FUZZ_SMITH_H

#include <stddef.h>
#include <stdint.h>

enum ssvm_smith_flags {
    SSVM_SMITH_FUEL = 1,     /* the module stops itself after some loops and calls */
    SSVM_SMITH_NO_TRAPS = 2, /* most instructions that trap are avoided */
    SSVM_SMITH_NO_IMPORTS = 4
};

/* A valid module of any bytes into ret[0..cap): its length, 0 when none could be made or it is too
 * long. The same bytes make the same module. */
size_t ssvm_smith(const uint8_t *noise, size_t len, uint32_t flags, uint8_t *ret, size_t cap);

#endif
