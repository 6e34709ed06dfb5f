/* setjmp and longjmp over WebAssembly exceptions (clang: -mllvm -wasm-enable-sjlj); the functions are in setjmp.c. */
#ifndef COMPAT_SETJMP_H
#define COMPAT_SETJMP_H
typedef struct {
    void *function;
    unsigned label;
    struct {
        void *env;
        int value;
    } thrown;
} jmp_buf[1];
int setjmp(jmp_buf) __attribute__((returns_twice));
_Noreturn void longjmp(jmp_buf, int);
#endif
