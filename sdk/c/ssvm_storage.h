/* Storage of numbers under keys that nobody can guess, for C guests (the module ssvm_native; `ssvm
 * run --storage FILE`). Header only: compile with clang --target=wasm32-wasi.
 *
 * Between begin and end numbers are stored or loaded one after the other; a record is stored as a
 * whole when it ends. There are no errors: an unknown key, a number too many, storage that is full
 * are traps. */
#ifndef SSVM_STORAGE_GUEST_H
#define SSVM_STORAGE_GUEST_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __wasm__
#define SSVM_STORAGE_IMPORT(name)                                                                  \
    __attribute__((import_module("ssvm_native"), import_name("ssvm_storage_" name)))
#else
#define SSVM_STORAGE_IMPORT(name)
#endif

/* 32 hex digits and a NUL: all of it is written. */
struct ssvm_storage_key {
    char text[33];
};

SSVM_STORAGE_IMPORT("createUUID")
void ssvm_storage_new_key(struct ssvm_storage_key *ret); /* one that was never there */
SSVM_STORAGE_IMPORT("beginStoreTx") void ssvm_storage_begin_store(const struct ssvm_storage_key *);
SSVM_STORAGE_IMPORT("storeI32") void ssvm_storage_store_i32(int32_t);
SSVM_STORAGE_IMPORT("storeI64") void ssvm_storage_store_i64(int64_t);
SSVM_STORAGE_IMPORT("endStoreTx") void ssvm_storage_end_store(void);
SSVM_STORAGE_IMPORT("beginLoadTx") void ssvm_storage_begin_load(const struct ssvm_storage_key *);
SSVM_STORAGE_IMPORT("loadI32") int32_t ssvm_storage_load_i32(void);
SSVM_STORAGE_IMPORT("loadI64") int64_t ssvm_storage_load_i64(void);
SSVM_STORAGE_IMPORT("endLoadTx") void ssvm_storage_end_load(void);

#ifdef __cplusplus
}
#endif

#endif
