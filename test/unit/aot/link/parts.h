/* Two C files that need each other, for the tests of the object linker. They are compiled to
 * objects, and into the test itself, which compares the results. */
#ifndef SV_TEST_AOT_PARTS_H
#define SV_TEST_AOT_PARTS_H

#include <stdint.h>

/* x86-64 objects keep the default, which makes loads from a global offset table; those of aarch64
 * are hidden, as the linker does not relax such loads there. */
#ifdef PARTS_HIDDEN
#pragma GCC visibility push(hidden)
#endif

extern const uint32_t part_table[8];
extern const double part_weights[4];
uint64_t part_checksum(uint64_t seed);
uint32_t part_step(uint32_t kind, uint32_t x);
double part_scale(double x, uint32_t kind);
char part_letter(uint32_t word, uint32_t i);
float part_single(uint32_t kind);

#endif
