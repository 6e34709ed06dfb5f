/* What clang's lowering of setjmp calls: it marks a place by function activation and label, and throws to it. */
#include "setjmp.h"

typedef __typeof__(*(jmp_buf *)0) *env_ptr;

void __wasm_setjmp(void *env, unsigned label, void *function)
{
    (*(jmp_buf *)env)->function = function;
    (*(jmp_buf *)env)->label = label;
}
unsigned __wasm_setjmp_test(void *env, void *function)
{
    return (*(jmp_buf *)env)->function == function ? (*(jmp_buf *)env)->label : 0;
}
_Noreturn void __wasm_longjmp(void *env, int value)
{
    (*(jmp_buf *)env)->thrown.env = env;
    (*(jmp_buf *)env)->thrown.value = value ? value : 1;
    __builtin_wasm_throw(1, &(*(jmp_buf *)env)->thrown);
}
