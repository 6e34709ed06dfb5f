/* The tests of numeric.c with the plain C helpers in place of the machine's. Tests nothing else. */
#define SV_NUMERIC_PORTABLE
#include "numeric.c" /* NOLINT(bugprone-suspicious-include) */
