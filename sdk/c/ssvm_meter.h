/* The meter for C guests: what this program has used of its gas, its time and its memory, and what
 * is left (the module ssvm_meter, which is always there). Header only: compile with clang
 * --target=wasm32-wasi. Each result is a number of units, or -1: it is not counted, or nothing
 * limits it. What each function does is in doc/format/meter.md. */
#ifndef SSVM_METER_GUEST_H
#define SSVM_METER_GUEST_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __wasm__
#define SSVM_METER_IMPORT(name) __attribute__((import_module("ssvm_meter"), import_name(name)))
#else
#define SSVM_METER_IMPORT(name)
#endif

SSVM_METER_IMPORT("gas_used") int64_t ssvm_gas_used(void);
SSVM_METER_IMPORT("gas_left") int64_t ssvm_gas_left(void);
SSVM_METER_IMPORT("cpu_used") int64_t ssvm_cpu_used(void);       /* ns */
SSVM_METER_IMPORT("cpu_left") int64_t ssvm_cpu_left(void);       /* ns */
SSVM_METER_IMPORT("wall_used") int64_t ssvm_wall_used(void);     /* ns since the call began */
SSVM_METER_IMPORT("wall_left") int64_t ssvm_wall_left(void);     /* ns until its deadline */
SSVM_METER_IMPORT("memory_used") int64_t ssvm_memory_used(void); /* bytes */
SSVM_METER_IMPORT("memory_peak") int64_t ssvm_memory_peak(void);
SSVM_METER_IMPORT("memory_limit") int64_t ssvm_memory_limit(void);

#ifdef __cplusplus
}
#endif

#endif
