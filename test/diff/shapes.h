/* How the pure instructions of numeric.def are written: with a lane after the opcode, or without.
 */
#ifndef SV_TEST_DIFF_SHAPES_H
#define SV_TEST_DIFF_SHAPES_H

#include "wasm/opcode.h"

enum shape { SHAPE_NONE, SHAPE_PLAIN, SHAPE_LANE };
static const unsigned char shapes[OP_COUNT] = {
#define NUM1(op, ...) [OP_##op] = SHAPE_PLAIN,
#define NUM2 NUM1
#define NUM3 NUM1
#define TRAP1 NUM1
#define TRAP2 NUM1
#define EXTRACT(op, ...) [OP_##op] = SHAPE_LANE,
#define REPLACE EXTRACT
#include "wasm/numeric.def"
};

#endif
