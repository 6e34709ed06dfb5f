/* Native commands for C guests (the module ssvm_process): only those that the host allows
 * (`ssvm run --allow-command NAME`), without a shell. Header only: compile with clang
 * --target=wasm32-wasi. What each function does is in doc/format/process.md.
 *
 * Say what is to be run, call ssvm_process_run, read what it wrote. What was said is forgotten
 * then. */
#ifndef SSVM_PROCESS_GUEST_H
#define SSVM_PROCESS_GUEST_H

#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __wasm__
#define SSVM_PROCESS_IMPORT(name)                                                                  \
    __attribute__((import_module("ssvm_process"), import_name("ssvm_process_" name)))
#else
#define SSVM_PROCESS_IMPORT(name)
#endif

#define SSVM_PROCESS_TIMED_OUT 110 /* of ssvm_process_run: its time was over */

SSVM_PROCESS_IMPORT("set_prog_name")
void ssvm_process_set_prog_name(const char *name, uint32_t len);
SSVM_PROCESS_IMPORT("add_arg") void ssvm_process_add_arg(const char *arg, uint32_t len);
/* It has no other variables than these; the first of a name counts. */
SSVM_PROCESS_IMPORT("add_env")
void ssvm_process_add_env(const char *name, uint32_t name_len, const char *value,
                          uint32_t value_len);
SSVM_PROCESS_IMPORT("add_stdin") void ssvm_process_add_stdin(const void *bytes, uint32_t len);
SSVM_PROCESS_IMPORT("set_timeout") void ssvm_process_set_timeout(uint32_t ms); /* else 10000 */
/* Its exit status as a signed byte; -1 also: it is not allowed, or could not be run: standard error
 * says why. */
SSVM_PROCESS_IMPORT("run") int32_t ssvm_process_run(void);
SSVM_PROCESS_IMPORT("get_exit_code") int32_t ssvm_process_get_exit_code(void); /* the same again */
SSVM_PROCESS_IMPORT("get_stdout_len") uint32_t ssvm_process_get_stdout_len(void);
SSVM_PROCESS_IMPORT("get_stdout") void ssvm_process_get_stdout(void *to); /* all of them */
SSVM_PROCESS_IMPORT("get_stderr_len") uint32_t ssvm_process_get_stderr_len(void);
SSVM_PROCESS_IMPORT("get_stderr") void ssvm_process_get_stderr(void *to);

/* A program and its arguments, as main has them: NULL behind the last. */
static inline int32_t ssvm_process_run_argv(const char *const *argv)
{
    ssvm_process_set_prog_name(*argv, (uint32_t)strlen(*argv));
    while (*++argv)
        ssvm_process_add_arg(*argv, (uint32_t)strlen(*argv));
    return ssvm_process_run();
}

#ifdef __cplusplus
}
#endif

#endif
