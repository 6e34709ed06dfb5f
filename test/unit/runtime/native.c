/* Native code: functions written by hand in the convention of native.h, in an image made here. Each
 * function exists in the module too: whatever part of the module is native, results, traps and
 * backtraces must be the interpreter's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake.h"

#include "base/clock.h"
#include "interp/interp.h"
#include "runtime/gc.h"
#include "runtime/native.h"

#include "../tsan.h"
#include "modules.h"

#if defined(__x86_64__)

/* clang-format off */
/*
 * (module $m
 *   (import "h" "back" (func $back (param i32) (result i32)))
 *   (memory (export "mem") 1 3)
 *   (tag $tag (param i32))
 *   (func $fib (export "fib") (param i32) (result i32)
 *     (if (result i32) (i32.lt_u (local.get 0) (i32.const 2)) (then (local.get 0))
 *       (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1))) (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
 *   (func $load (export "load") (param i32) (result i32) (i32.load (local.get 0)))
 *   (func $deep (export "deep") (param i32) (result i32)
 *     (if (i32.eqz (local.get 0)) (then unreachable))
 *     (i32.add (call $deep (i32.sub (local.get 0) (i32.const 1))) (i32.const 1)))
 *   (func $mid (export "mid") (param i32) (result i32) (i32.add (call $deep (local.get 0)) (i32.const 1)))
 *   (func $forever (export "forever") (param i32) (result i32) (i32.add (call $forever (local.get 0)) (i32.const 1)))
 *   (func $spin (export "spin") (param i32) (result i32) (loop (br 0)) (unreachable))
 *   (func $host (export "host") (param i32) (result i32) (i32.add (call $back (local.get 0)) (i32.const 1)))
 *   (func $throw (export "throw") (param i32) (result i32) (throw $tag (local.get 0)))
 *   (func $nest (export "nest") (param i32) (result i32) (i32.add (call $throw (local.get 0)) (i32.const 1)))
 *   (func $catch (export "catch") (param i32) (result i32)
 *     (try (result i32) (do (call $nest (local.get 0))) (catch $tag (i32.add (i32.const 1000)))))
 *   (func $fill (export "fill") (param i32) (result i32)
 *     (memory.fill (i32.const 65000) (local.get 0) (local.get 0)) (memory.grow (local.get 0)))
 *   (func $far (export "far") (param i32) (result i32) (i32.add (call $load (local.get 0)) (i32.const 1))))
 */
static const uint8_t module[] = {
    0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x0a, 0x02, 0x60, 0x01, 0x7f, 0x01, 0x7f,
    0x60, 0x01, 0x7f, 0x00, 0x02, 0x0a, 0x01, 0x01, 0x68, 0x04, 0x62, 0x61, 0x63, 0x6b, 0x00, 0x00,
    0x03, 0x0d, 0x0c, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05,
    0x04, 0x01, 0x01, 0x01, 0x03, 0x0d, 0x03, 0x01, 0x00, 0x01, 0x07, 0x5d, 0x0d, 0x03, 0x6d, 0x65,
    0x6d, 0x02, 0x00, 0x03, 0x66, 0x69, 0x62, 0x00, 0x01, 0x04, 0x6c, 0x6f, 0x61, 0x64, 0x00, 0x02,
    0x04, 0x64, 0x65, 0x65, 0x70, 0x00, 0x03, 0x03, 0x6d, 0x69, 0x64, 0x00, 0x04, 0x07, 0x66, 0x6f,
    0x72, 0x65, 0x76, 0x65, 0x72, 0x00, 0x05, 0x04, 0x73, 0x70, 0x69, 0x6e, 0x00, 0x06, 0x04, 0x68,
    0x6f, 0x73, 0x74, 0x00, 0x07, 0x05, 0x74, 0x68, 0x72, 0x6f, 0x77, 0x00, 0x08, 0x04, 0x6e, 0x65,
    0x73, 0x74, 0x00, 0x09, 0x05, 0x63, 0x61, 0x74, 0x63, 0x68, 0x00, 0x0a, 0x04, 0x66, 0x69, 0x6c,
    0x6c, 0x00, 0x0b, 0x03, 0x66, 0x61, 0x72, 0x00, 0x0c, 0x0a, 0x9e, 0x01, 0x0c, 0x1c, 0x00, 0x20,
    0x00, 0x41, 0x02, 0x49, 0x04, 0x7f, 0x20, 0x00, 0x05, 0x20, 0x00, 0x41, 0x01, 0x6b, 0x10, 0x01,
    0x20, 0x00, 0x41, 0x02, 0x6b, 0x10, 0x01, 0x6a, 0x0b, 0x0b, 0x07, 0x00, 0x20, 0x00, 0x28, 0x02,
    0x00, 0x0b, 0x13, 0x00, 0x20, 0x00, 0x45, 0x04, 0x40, 0x00, 0x0b, 0x20, 0x00, 0x41, 0x01, 0x6b,
    0x10, 0x03, 0x41, 0x01, 0x6a, 0x0b, 0x09, 0x00, 0x20, 0x00, 0x10, 0x03, 0x41, 0x01, 0x6a, 0x0b,
    0x09, 0x00, 0x20, 0x00, 0x10, 0x05, 0x41, 0x01, 0x6a, 0x0b, 0x08, 0x00, 0x03, 0x40, 0x0c, 0x00,
    0x0b, 0x00, 0x0b, 0x09, 0x00, 0x20, 0x00, 0x10, 0x00, 0x41, 0x01, 0x6a, 0x0b, 0x06, 0x00, 0x20,
    0x00, 0x08, 0x00, 0x0b, 0x09, 0x00, 0x20, 0x00, 0x10, 0x08, 0x41, 0x01, 0x6a, 0x0b, 0x0f, 0x00,
    0x06, 0x7f, 0x20, 0x00, 0x10, 0x09, 0x07, 0x00, 0x41, 0xe8, 0x07, 0x6a, 0x0b, 0x0b, 0x11, 0x00,
    0x41, 0xe8, 0xfb, 0x03, 0x20, 0x00, 0x20, 0x00, 0xfc, 0x0b, 0x00, 0x20, 0x00, 0x40, 0x00, 0x0b,
    0x09, 0x00, 0x20, 0x00, 0x10, 0x02, 0x41, 0x01, 0x6a, 0x0b,
};

/* clang-format on */
enum { BACK, FIB, LOAD, DEEP, MID, FOREVER, SPIN, HOST, THROW, NEST, CATCH, FILL, FAR, FUNCS };

/* ---- The code ---- */

#define STRING_OF(x) #x
#define STRING(x) STRING_OF(x)
#define INST_TAGS 48
#define INST_GLOBALS 16
#define INST_HELPERS 72
#define INST_EXN 80
_Static_assert(offsetof(struct sv_instance, tags) == INST_TAGS, "known to the assembly");
_Static_assert(offsetof(struct sv_instance, globals) == INST_GLOBALS, "known to the assembly");
_Static_assert(offsetof(struct sv_instance, helpers) == INST_HELPERS, "known to the assembly");
_Static_assert(offsetof(struct sv_instance, exn) == INST_EXN, "known to the assembly");
_Static_assert(offsetof(struct sv_exn, tag) == 8 && offsetof(struct sv_exn, args) == 24,
               "likewise");
_Static_assert(SV_NATIVE_TRAP == 0 && SV_NATIVE_CALL == 1 && SV_NATIVE_CALL_IMPORT == 2 &&
                   SV_NATIVE_FUNC == 4 && SV_NATIVE_THROW == 5 && SV_NATIVE_MEMORY_GROW == 8 &&
                   SV_NATIVE_MEMORY_FILL == 9 && SV_NATIVE_STRUCT_NEW == 19,
               "known to the assembly");

/* A line: what follows comes from this offset in the module. */
#define AT(offset)                                                                                 \
    "77: .pushsection .rodata.image_lines, \"a\"\n.long 77b - image_text, " #offset                \
    "\n.popsection\n"
/* An unwind row: from here on a frame of `frames`. */
#define ROW(frame)                                                                                 \
    "78: .pushsection .rodata.image_unwind, \"a\"\n.long 78b - image_text, " #frame                \
    "\n.popsection\n"
#define PUSH ROW(0) "  push %rbp\n" ROW(1)
#define FRAME PUSH "  mov %rsp, %rbp\n" ROW(2)
#define UNFRAME "  pop %rbp\n" ROW(0) "  ret\n"
#define BEGIN(name, offset) #name ":\n" AT(offset) FRAME
#define END UNFRAME ROW(2)
static const struct sv_native_frame frames[] = {
    {7, 8, 8, 0}, {7, 16, 8, 16}, {6, 16, 8, 16}, {7, 32, 8, 16}, {11, 32, 8, 16}};
/* inst in rdi. */
#define HELPER(number) "  mov " STRING(INST_HELPERS) "(%rdi), %rax\n  call *8*" #number "(%rax)\n"
/* Function `index` with slots at rsp; inst in rbx. */
#define CALL(index)                                                                                \
    "  mov %rbx, %rdi\n  mov $" #index                                                             \
    ", %esi\n" HELPER(4) "  mov %rbx, %rdi\n  mov %rax, %rsi\n  mov %rsp, %rdx\n" HELPER(1)
/* One slot with the parameter at rsp; inst saved in rbx. */
#define SLOT "  push %rbx\n  sub $24, %rsp\n  mov %rdi, %rbx\n  mov %edx, (%rsp)\n"
#define UNSLOT "  mov (%rsp), %eax\n"
#define DROP_SLOT "  add $24, %rsp\n  pop %rbx\n"
#define IF_EXN_GO(label) "  cmpq $0, " STRING(INST_EXN) "(%rbx)\n  jne " label "\n"

/* clang-format off */
__asm__(".text\n.balign 16\nimage_text:\n  ud2\n"
    ".pushsection .rodata.image_lines, \"a\"\nimage_lines:\n.popsection\n"
    ".pushsection .rodata.image_unwind, \"a\"\nimage_unwind:\n.popsection\n"
    /* (i32) -> i32 */
    "image_thunk:\n" AT(0) FRAME "  push %rbx\n  push %rax\n"
    "  mov %rcx, %rbx\n  mov %rdx, %rax\n  mov (%rcx), %edx\n  call *%rax\n  mov %eax, %eax\n  mov %rax, (%rbx)\n"
    "  pop %rcx\n  pop %rbx\n" END
    BEGIN(image_fib, 0x9f)
    "  push %rbx\n  push %r12\n  push %r13\n  push %r14\n"
    "  mov %rdi, %r12\n  mov %rsi, %r14\n  mov %edx, %ebx\n  mov %edx, %eax\n"
    "  cmp $2, %edx\n  jb 1f\n"
    "  lea -1(%rbx), %edx\n" AT(0xae) "  call image_fib\n  mov %eax, %r13d\n"
    "  mov %r12, %rdi\n  mov %r14, %rsi\n  lea -2(%rbx), %edx\n" AT(0xb5) "  call image_fib\n" AT(0xb7) "  add %r13d, %eax\n"
    "1: pop %r14\n  pop %r13\n  pop %r12\n  pop %rbx\n" END
    /* The address is not in its register's width at once: the guard below is met by negative ones in image_below. */
    BEGIN(image_load, 0xbc) "  mov %edx, %edx\n" AT(0xbe) "  mov (%rsi, %rdx), %eax\n" END
    BEGIN(image_below, 0xbc) "  movslq %edx, %rdx\n" AT(0xbe) "  mov (%rsi, %rdx), %eax\n" END
    BEGIN(image_deep, 0xc3) "  test %edx, %edx\n  jz 1f\n  dec %edx\n" AT(0xd0) "  call image_deep\n" AT(0xd4) "  inc %eax\n" END
    /* The trap's offset is the one that the helper is told. */
    AT(0xcb) "1: mov $1, %esi\n  mov $0xc9, %edx\n" HELPER(0)
    BEGIN(image_mid, 0xd8) SLOT AT(0xda) CALL(3) UNSLOT AT(0xde) "  inc %eax\n" DROP_SLOT END
    BEGIN(image_forever, 0xe1) AT(0xe4) "  call image_forever\n" AT(0xe8) "  inc %eax\n" END
    BEGIN(image_spin, 0xec) AT(0xee) "1: jmp 1b\n"
    BEGIN(image_host, 0xf5) SLOT "  mov %rbx, %rdi\n  xor %esi, %esi\n  mov %rsp, %rdx\n" AT(0xf7) HELPER(2)
    IF_EXN_GO("1f") UNSLOT AT(0xfb) "  inc %eax\n1:" DROP_SLOT END
    BEGIN(image_throw, 0xff) SLOT "  xor %esi, %esi\n  mov %rsp, %rdx\n" AT(0x101) HELPER(5) DROP_SLOT END
    BEGIN(image_nest, 0x106) SLOT AT(0x108) CALL(8) IF_EXN_GO("1f") UNSLOT AT(0x10c) "  inc %eax\n1:" DROP_SLOT END
    BEGIN(image_catch, 0x110) SLOT AT(0x114) CALL(9) IF_EXN_GO("1f") UNSLOT "2:" DROP_SLOT END
    "1: mov " STRING(INST_EXN) "(%rbx), %rax\n  mov " STRING(INST_TAGS) "(%rbx), %rcx\n  mov (%rcx), %rcx\n"
    "  cmp %rcx, 8(%rax)\n  jne 2b\n  mov 24(%rax), %eax\n  movq $0, " STRING(INST_EXN) "(%rbx)\n"
    AT(0x118) "  add $1000, %eax\n  jmp 2b\n"
    BEGIN(image_fill, 0x120) SLOT "  xor %esi, %esi\n  mov %edx, %ecx\n  mov %edx, %r8d\n  mov $65000, %edx\n" AT(0x128) HELPER(9)
    "  mov %rbx, %rdi\n  xor %esi, %esi\n  mov (%rsp), %edx\n" AT(0x12d) HELPER(8) DROP_SLOT END
    BEGIN(image_far, 0x132) SLOT AT(0x134) CALL(2) UNSLOT AT(0x138) "  inc %eax\n" DROP_SLOT END
    /* Without a frame where it is not needed. */
    "image_short:\n" AT(0xbe) ROW(0) "  mov (%rsi, %rdx), %eax\n  ret\n"
    BEGIN(image_near, 0x132) "  mov %edx, %edx\n" AT(0x134) "  call image_short\n" AT(0x138) "  inc %eax\n" END
    BEGIN(image_near_indirect, 0x132) "  mov %edx, %edx\n  lea image_short(%rip), %rax\n" AT(0x134) "  call *%rax\n"
    AT(0x138) "  inc %eax\n" END
    "image_put_off:\n" AT(0xc6) ROW(0) "  test %edx, %edx\n  jz 1f\n" FRAME "  push %rbx\n  push %r12\n  sub $16, %rsp\n"
    "  dec %edx\n" AT(0xd0) "  call image_put_off\n" AT(0xd4) "  inc %eax\n  add $16, %rsp\n  pop %r12\n  pop %rbx\n" END
    AT(0xc9) ROW(0) "1: mov 70000(%rsi), %eax\n  ret\n"
    /* By the stack pointer alone, with the frame pointer's register used for something else; the end found while room is made. */
    "image_sp:\n" AT(0xc6) ROW(0) "  test %edx, %edx\n  jz 1f\n" PUSH "  lea -16(%rsp), %r11\n" ROW(4) "  mov $-1, %rbp\n  mov %r11, %rsp\n" ROW(3)
    "  dec %edx\n" AT(0xd0) "  call image_sp\n" AT(0xd4) "  inc %eax\n  add $16, %rsp\n" ROW(1) UNFRAME
    AT(0xc9) ROW(0) "1: mov 70000(%rsi), %eax\n  ret\n"
    /* In turns. */
    "image_turn:\n" AT(0xc6) PUSH "  sub $16, %rsp\n" ROW(3) "  mov $0x1234567, %ebp\n" AT(0xd0) "  call image_turns\n"
    AT(0xd4) "  add $16, %rsp\n" ROW(1) UNFRAME
    BEGIN(image_turns, 0xc6) "  push %rbx\n  sub $40, %rsp\n  test %edx, %edx\n  jz 1f\n  dec %edx\n" AT(0xd0) "  call image_turn\n"
    AT(0xd4) "  inc %eax\n  add $40, %rsp\n  pop %rbx\n" END AT(0xc9) "1: mov 70000(%rsi), %eax\n"
    /* Catches 300,000 exceptions. */
    BEGIN(image_catch_all, 0x110) SLOT "  movl $300000, 8(%rsp)\n1:" AT(0x114) CALL(9)
    "  movq $0, " STRING(INST_EXN) "(%rbx)\n  decl 8(%rsp)\n  jnz 1b\n" DROP_SLOT END
    /* Native only. Endless recursion in which the stub of a helper finds the guard. */
    BEGIN(image_stub, 0xe1) SLOT AT(0xe4) "  mov $5, %esi\n" HELPER(4) "  mov %rbx, %rdi\n  call image_stub\n" DROP_SLOT END
    /* () of module_gc: two objects, known by an address inside it in a saved register, and in the frame only, while others are made. */
    "image_gc_thunk:\n" AT(0) FRAME "  call *%rdx\n" END
    BEGIN(image_gc, 1)
    "  push %rbx\n  push %r12\n  push %r13\n  push $0\n  mov %rdi, %r12\n  mov $50, %r13d\n"
    "  xor %esi, %esi\n" HELPER(19) "  lea 12(%rax), %rbx\n  movq $111, 16(%rax)\n"
    "  mov %r12, %rdi\n  xor %esi, %esi\n" HELPER(19) "  mov %rax, (%rsp)\n  movq $222, 16(%rax)\n"
    "1: mov %r12, %rdi\n  xor %esi, %esi\n" HELPER(19) "  movq $333, 16(%rax)\n  dec %r13d\n  jnz 1b\n"
    "  sub $12, %rbx\n  mov (%rsp), %rax\n  mov %rax, 8(%rbx)\n"
    "  mov " STRING(INST_GLOBALS) "(%r12), %rax\n  mov 8(%rax), %rax\n  mov %rbx, (%rax)\n"
    "  pop %rax\n  pop %r13\n  pop %r12\n  pop %rbx\n" END
    "image_text_end:\n"
    ".pushsection .rodata.image_lines, \"a\"\nimage_lines_end:\n.popsection\n"
    ".pushsection .rodata.image_unwind, \"a\"\nimage_unwind_end:\n.popsection\n");
/* clang-format on */

extern const uint8_t image_text[], image_text_end[], image_lines[], image_lines_end[],
    image_unwind[], image_unwind_end[];
extern const uint8_t image_thunk[], image_gc_thunk[], image_fib[], image_load[], image_below[],
    image_deep[], image_mid[], image_forever[], image_spin[], image_host[], image_throw[],
    image_short[], image_near[], image_near_indirect[], image_put_off[], image_sp[], image_turns[],
    image_catch_all[], image_nest[], image_catch[], image_fill[], image_far[], image_stub[],
    image_gc[];

static const uint8_t *const codes[FUNCS] = {
    NULL,       image_fib,   image_load, image_deep,  image_mid,  image_forever, image_spin,
    image_host, image_throw, image_nest, image_catch, image_fill, image_far};

static uint64_t random_state;
static uint32_t random_below(uint32_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % n;
}

/* Not 0: the numbers of the unwind tables are damaged. */
static unsigned damage;

static void damage_words(void *words, size_t len)
{
    static const uint32_t values[] = {0,  1,  7,   8,          16,         24,        29,
                                      31, 64, 256, 0x7ffffff8, 0x80000000, UINT32_MAX};
    uint32_t n = (uint32_t)(len / sizeof(uint32_t));

    random_state = damage;
    for (unsigned i = 1 + random_below(damage % 4 ? 8 : 64); i > 0; i--)
        ((uint32_t *)words)[random_below(n)] =
            random_below(4) ? values[random_below(SV_COUNT(values))] : random_below(128);
}

/* An image with these functions, all of one signature. */
static struct sv_native *make_image(const uint8_t *const *code, uint32_t n, const uint8_t *thunk,
                                    uint32_t flags)
{
    size_t text = (size_t)(image_text_end - image_text), room = (text + 4095) & ~(size_t)4095;
    size_t lines = (size_t)(image_lines_end - image_lines);
    size_t unwind = (size_t)(image_unwind_end - image_unwind);
    size_t len = room + 8 * (size_t)n + lines + unwind + sizeof frames;
    struct sv_native_layout l = {.text = 0,
                                 .text_len = text,
                                 .entries = room,
                                 .thunks = room + 4 * (size_t)n,
                                 .lines = room + 8 * (size_t)n,
                                 .nlines = lines / sizeof(struct sv_native_line),
                                 .unwind = room + 8 * (size_t)n + lines,
                                 .nunwind = unwind / sizeof(struct sv_native_unwind),
                                 .frames = len - sizeof frames,
                                 .nframes = SV_COUNT(frames),
                                 .nfuncs = n,
                                 .flags = flags};
    uint8_t *bytes = calloc(1, len);
    uint32_t *p = (uint32_t *)(void *)(bytes + room);
    struct sv_native *native = NULL;
    struct sv_err err = {0};

    memcpy(bytes, image_text, text);
    for (uint32_t i = 0; i < n; i++) {
        p[i] = code[i] ? (uint32_t)(code[i] - image_text) : 0;
        p[n + i] = code[i] ? (uint32_t)(thunk - image_text) : 0;
    }
    memcpy(bytes + l.lines, image_lines, lines);
    memcpy(bytes + l.unwind, image_unwind, unwind);
    memcpy(bytes + l.frames, frames, sizeof frames);
    if (damage)
        damage_words(bytes + l.unwind, unwind + sizeof frames);
    assert_int_equal(sv_native_from_memory(&err, bytes, len, &l, &native), 0);
    free(bytes);
    return native;
}

/* ---- A store with the module in it ---- */

struct world {
    struct sv_engine *e;
    struct sv_store *s;
    struct sv_module *m;
    struct sv_instance *inst;
};

static int call(struct sv_instance *inst, uint32_t func, uint32_t arg, uint32_t *ret)
{
    union sv_slot slot[1] = {{.i32 = arg}};
    int r = sv_func_call(&inst->store->thread, sv_instance_func(inst, func), slot);

    *ret = slot[0].i32;
    return r;
}

/* The host function: enters the guest again, for some arguments. */
static int back(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    uint32_t n = arg[0].i32, v = 0;
    int r = 0;

    switch (n) {
    case 3:
        r = call(c->inst, MID, 2, &v);
        break;
    case 200:
        r = call(c->inst, NEST, n, &v);
        break;
    case 300:
        r = call(c->inst, CATCH, n, &v);
        break;
    case 400:
        r = call(c->inst, HOST, n, &v);
        break;
    case 500: /* a trap that the host swallows */
        assert_int_equal(call(c->inst, MID, 1, &v), SV_ETRAP);
        v = 1;
        break;
    default:
        v = n + 7;
    }
    ret[0].i64 = v;
    return r;
}

static void open_world(struct world *w, const uint8_t *const *code, uint32_t flags, bool stress)
{
    static const sv_valtype i32[1] = {SV_VALTYPE(SV_VAL_I32)};
    struct sv_extern import = {.kind = SV_EXTERN_FUNC};

    w->e = fake_engine();
    w->e->exec = &sv_interp_ops;
    w->e->gc_stress = stress;
    w->s = fake_store(w->e, NULL);
    w->m = fake_module(w->e, module, sizeof module);
    if (code) {
        struct sv_native *n = make_image(code, FUNCS, image_thunk, flags);

        assert_true(sv_module_set_native(w->m, n));
        assert_false(sv_module_set_native(w->m, n));
        sv_native_unref(n);
    }
    import.func =
        sv_func_new_host(w->s, sv_types_func(w->e->types, i32, 1, i32, 1), back, NULL, "h.back", 0);
    w->inst = fake_instance(w->s, w->m, &import);
}

static void close_world(struct world *w)
{
    sv_store_delete(w->s);
    sv_module_unref(w->m);
    sv_engine_unref(w->e);
}

/* ---- The same, however much is native ---- */

struct scenario {
    uint32_t func, arg;
    bool endless; /* how deep it went is the tier's business */
};
static const struct scenario scenarios[] = {
    {FIB, 12, false},    {LOAD, 4, false},    {LOAD, 70000, false},    {LOAD, 0xfffffff0, false},
    {DEEP, 10, false},   {DEEP, 3000, false}, {MID, 5, false},         {FOREVER, 0, true},
    {HOST, 1, false},    {HOST, 3, false},    {HOST, 200, false},      {HOST, 300, false},
    {HOST, 400, true},   {HOST, 500, false},  {THROW, 5, false},       {NEST, 5, false},
    {CATCH, 5, false},   {FILL, 1, false},    {FILL, 600, false},      {FAR, 8, false},
    {FAR, 70000, false}, {CATCH, 6, false},   {FAR, 0x7fffffff, false}};
#define SCENARIOS (sizeof scenarios / sizeof scenarios[0])

#define TEXT_MAX 8192
struct outcome {
    int r;
    uint32_t value;
    char text[TEXT_MAX];
};

static void play(struct world *w, const struct scenario *s, struct outcome *o)
{
    struct sv_thread *th = &w->s->thread;
    struct sv_buf b;
    unsigned lines = 0;

    o->value = 0;
    o->r = call(w->inst, s->func, s->arg, &o->value);
    if (o->r)
        o->value = 0;
    sv_buf_init(&b, TEXT_MAX - 1);
    sv_trap_print(&b, &th->trap);
    strcpy(o->text, sv_buf_cstr(&b));
    sv_buf_release(&b);
    for (char *p = o->text; s->endless && *p; p++)
        if (*p == '\n' && ++lines == 3)
            *p = 0;
    assert_ptr_equal(th->sp, th->stack);
    assert_null(th->entry);
    assert_null(th->native_sp);
    assert_null(th->fp);
    assert_int_equal(w->inst->exn, 0);
    assert_int_equal(th->depth, 0);
}

static void expect_same(const struct outcome *o, const struct outcome *want, unsigned i,
                        unsigned mask)
{
    if (o->r != want->r || o->value != want->value || strcmp(o->text, want->text) != 0)
        fail_msg("scenario %u, functions %04x: %d %u\n%s\ninstead of %d %u\n%s", i, mask, o->r,
                 o->value, o->text, want->r, want->value, want->text);
}

static void test_tiers(void **state)
{
    static struct outcome want[SCENARIOS], got;
    const uint8_t *some[FUNCS];
    struct world w;

    (void)state;
    open_world(&w, NULL, 0, false);
    for (unsigned i = 0; i < SCENARIOS; i++)
        play(&w, &scenarios[i], &want[i]);
    close_world(&w);
    assert_int_equal(want[0].value, 144);
    assert_int_equal(want[16].value, 1005);
    assert_non_null(strstr(want[9].text, "deep at 0xc9"));
    for (unsigned mask = 2; mask < 1u << FUNCS; mask += 2) {
        bool catches = mask & (1u << THROW | 1u << CATCH);
        int n = __builtin_popcount(mask);

        /* Few, or nearly all, and some of the others. */
        if (n > 2 && n < FUNCS - 2 && mask % 26)
            continue;
        for (unsigned i = 0; i < FUNCS; i++)
            some[i] = mask >> i & 1 ? codes[i] : NULL;
        open_world(&w, some, catches || mask % 3 ? SV_NATIVE_EXCEPTIONS : 0, mask % 5 == 0);
        for (unsigned i = 0; i < SCENARIOS; i++) {
            /* Each takes milliseconds. */
            if (scenarios[i].endless && mask % 64 >= 8)
                continue;
            play(&w, &scenarios[i], &got);
            expect_same(&got, &want[i], i, mask);
        }
        close_world(&w);
    }
}

/* ---- Alone ---- */

static void test_guards(void **state)
{
    const uint8_t *code[FUNCS] = {[LOAD] = image_below, [FOREVER] = image_stub};
    static const int32_t outside[] = {-1, -4, -4096, -65536, INT32_MIN};
    struct world w;
    uint32_t v;

    (void)state;
    open_world(&w, code, 0, false);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(call(w.inst, LOAD, (uint32_t)outside[i], &v), SV_ETRAP);
        assert_int_equal(w.s->thread.trap.code, SV_TRAP_MEMORY_BOUNDS);
        assert_int_equal(w.s->thread.trap.nframes, 1);
        assert_int_equal(w.s->thread.trap.frames[0].offset, 0xbe);
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(call(w.inst, FOREVER, 1, &v), SV_ETRAP);
        assert_int_equal(w.s->thread.trap.code, SV_TRAP_STACK);
        assert_int_equal(w.s->thread.trap.frames[0].func, FOREVER);
        assert_true(w.s->thread.trap.nskipped > 1000);
        assert_int_equal(call(w.inst, LOAD, 16, &v), 0);
    }
    close_world(&w);
}

/* What an exception leaves behind is gone, wherever it passes. */
static void test_exceptions(void **state)
{
    const uint8_t *code[FUNCS] = {[CATCH] = image_catch_all, [FIB] = image_fib};
    struct world w;
    uint32_t v;

    (void)state;
    for (int native = 0; native < 2; native++) {
        code[NEST] = native ? image_nest : NULL;
        open_world(&w, code, SV_NATIVE_EXCEPTIONS, false);
        assert_int_equal(call(w.inst, CATCH, 1, &v), 0);
        /* Left by a signal while one was passing. */
        w.inst->exn = sv_ref_i31(1);
        assert_int_equal(call(w.inst, FIB, 10, &v), 0);
        assert_int_equal(v, 55);
        close_world(&w);
    }
}

/* A fault where there is no frame must not lose the caller. */
static void test_frameless(void **state)
{
    static const uint8_t *const deep[] = {image_put_off, image_sp, image_turns};
    const uint8_t *code[FUNCS] = {[LOAD] = image_short};
    struct world w;
    uint32_t v;

    (void)state;
    for (unsigned i = 0; i < SV_COUNT(deep); i++) {
        const struct sv_trap *t;
        uint32_t step = deep[i] == image_turns ? 2 : 1; /* frames each */

        code[FAR] = i ? image_near : image_near_indirect;
        code[DEEP] = deep[i];
        open_world(&w, code, 0, false);
        t = &w.s->thread.trap;
        assert_int_equal(call(w.inst, FAR, 70000, &v), SV_ETRAP);
        assert_int_equal(t->nframes, 2);
        assert_int_equal(t->frames[0].func, LOAD);
        assert_int_equal(t->frames[1].func, FAR);
        assert_int_equal(t->frames[1].offset, 0x134);
        assert_int_equal(call(w.inst, LOAD, 70000, &v), SV_ETRAP);
        assert_int_equal(t->nframes, 1);
        for (uint32_t depth = 0; depth < 5; depth++) {
            assert_int_equal(call(w.inst, DEEP, depth, &v), SV_ETRAP);
            assert_int_equal(t->nframes, depth * step + 1);
            assert_int_equal(t->frames[0].offset, 0xc9);
            for (uint32_t k = 1; k < t->nframes; k++)
                assert_int_equal(t->frames[k].offset, 0xd0);
            assert_int_equal(call(w.inst, MID, depth, &v), SV_ETRAP);
            assert_int_equal(t->nframes, depth * step + 2);
        }
        close_world(&w);
    }
}

#define MS UINT64_C(1000000)

static void test_interrupt(void **state)
{
    struct world w;
    uint32_t v;

    (void)state;
    if (TSAN)
        return;
    open_world(&w, codes, SV_NATIVE_EXCEPTIONS, false);
    for (int i = 0; i < 10; i++) {
        uint64_t start = sv_clock_ns();

        sv_store_set_deadline(w.s, start + 5 * MS);
        assert_int_equal(call(w.inst, SPIN, 0, &v), SV_ETRAP);
        assert_int_equal(w.s->thread.trap.code, SV_TRAP_DEADLINE);
        assert_true(sv_clock_ns() - start < 60000 * MS);
        assert_int_equal(w.s->thread.trap.nframes, 1);
        assert_int_equal(w.s->thread.trap.frames[0].func, SPIN);
        assert_int_equal(w.s->thread.trap.frames[0].offset, 0xee);
    }
    sv_store_set_deadline(w.s, 0);
    sv_store_clear_interrupt(w.s);
    assert_int_equal(call(w.inst, FIB, 10, &v), 0);
    assert_int_equal(v, 55);
    close_world(&w);
}

/* Wherever a signal finds it, the backtrace leads from fib to fib, with each frame but the
 * innermost at a call. */
static void test_interrupted_anywhere(void **state)
{
    struct world w;
    uint32_t v;
    unsigned known = 0;

    (void)state;
    if (TSAN)
        return;
    open_world(&w, codes, SV_NATIVE_EXCEPTIONS, false);
    /* A busy machine may be late for a call before it has begun. */
    for (uint64_t i = 0; i < 300 || (known <= 250 && i < 6000); i++) {
        const struct sv_trap *t = &w.s->thread.trap;

        sv_store_set_deadline(w.s, sv_clock_ns() + 20000 + i % 300 * 997);
        assert_int_equal(call(w.inst, FIB, 45, &v), SV_ETRAP);
        assert_int_equal(t->code, SV_TRAP_DEADLINE);
        for (uint32_t k = 0; k < t->nframes; k++)
            assert_int_equal(t->frames[k].func, FIB);
        for (uint32_t k = 1; k < t->nframes; k++)
            assert_true(t->frames[k].offset == 0xae || t->frames[k].offset == 0xb5);
        known += t->nframes > 3;
    }
    assert_true(known > 250);
    close_world(&w);
}

static void test_gc_roots(void **state)
{
    const uint8_t *const code[1] = {image_gc};
    struct sv_engine *e = fake_engine();
    struct sv_store *s;
    struct sv_module *m;
    struct sv_native *n = make_image(code, 1, image_gc_thunk, 0);
    struct sv_global *i31;
    union sv_val v = {.ref = sv_ref_i31(5)};
    struct sv_extern import = {.kind = SV_EXTERN_GLOBAL}, f, root;
    union sv_slot args[8] = {{.i64 = 0}};

    (void)state;
    e->exec = &sv_interp_ops;
    e->gc_stress = true;
    s = fake_store(e, NULL);
    m = fake_module(e, module_gc, sizeof module_gc);
    i31 = sv_global_new(s, (struct sv_global_type){.type = SV_REFTYPE(SV_HEAP_I31, false)}, &v);
    import.global = i31;
    assert_true(sv_module_set_native(m, n));
    sv_native_unref(n);
    struct sv_instance *inst = fake_instance(s, m, &import);

    assert_true(sv_instance_export(inst, sv_str_of("f"), &f));
    assert_true(sv_instance_export(inst, sv_str_of("root"), &root));
    for (int i = 0; i < 3; i++) {
        const uint64_t *first, *second;

        assert_int_equal(sv_func_call(&s->thread, f.func, args), 0);
        first = (const uint64_t *)(uintptr_t)root.global->value.ref;
        assert_non_null(first);
        assert_int_equal(first[2], 111);
        second = (const uint64_t *)(uintptr_t)first[1];
        assert_non_null(second);
        assert_int_equal(second[2], 222);
        assert_true(((const struct sv_object *)second)->flags & SV_OBJECT_LIVE);
    }
    sv_store_delete(s);
    sv_module_unref(m);
    sv_engine_unref(e);
}

/* Whatever the unwind table says: what it leads to is looked at before it is believed. */
static void test_damaged_unwind(void **state)
{
    const uint8_t *code[FUNCS];
    uint32_t v, frames_met = 0;

    (void)state;
    memcpy(code, codes, sizeof code);
    for (damage = 1; damage <= 1500; damage++) {
        struct world w;
        const struct sv_trap *t;

        code[DEEP] = damage % 2 ? image_sp : image_turns;
        open_world(&w, code, SV_NATIVE_EXCEPTIONS, false);
        t = &w.s->thread.trap;
        assert_int_equal(call(w.inst, DEEP, 10, &v), SV_ETRAP);
        frames_met += t->nframes;
        assert_int_equal(call(w.inst, MID, 3, &v), SV_ETRAP);
        assert_int_equal(call(w.inst, HOST, 3, &v), SV_ETRAP);
        assert_int_equal(call(w.inst, FAR, 70000, &v), SV_ETRAP);
        assert_int_equal(call(w.inst, NEST, 5, &v), SV_EEXCEPTION);
        frames_met += t->nframes;
        if (damage % 16 == 0)
            assert_int_equal(call(w.inst, FOREVER, 5, &v), SV_ETRAP);
        if (damage % 4 == 0 && !TSAN) {
            sv_store_set_deadline(w.s, sv_clock_ns() + 20000 + damage);
            assert_int_equal(call(w.inst, FIB, 45, &v), SV_ETRAP);
        }
        close_world(&w);
    }
    damage = 0;
    assert_true(frames_met > 1500);
}

/* Images go to the instances that they fit. */
static void test_forms(void **state)
{
    struct world w;
    struct sv_native *n;
    uint32_t v;

    (void)state;
    open_world(&w, NULL, 0, false);
    assert_null(w.inst->native);
    assert_int_equal(call(w.inst, FIB, 10, &v), 0);
    n = make_image(codes, FUNCS, image_thunk, SV_NATIVE_METERED);
    assert_false(sv_native_attach(w.inst, n));
    sv_native_unref(n);
    n = make_image(codes, FUNCS, image_thunk, SV_NATIVE_EXCEPTIONS);
    assert_true(sv_native_attach(w.inst, n));
    assert_false(sv_native_attach(w.inst, n));
    sv_native_unref(n);
    /* A function that was bound before is native from its next call on. */
    assert_ptr_equal(sv_instance_func(w.inst, FIB)->entry, sv_native_entry);
    assert_int_equal(call(w.inst, FIB, 10, &v), 0);
    assert_int_equal(v, 55);
    assert_int_equal(call(w.inst, NEST, 10, &v), SV_EEXCEPTION);
    close_world(&w);

    /* A memory that may be full: guarded code does not fit it, checked code does. */
    open_world(&w, NULL, 0, false);
    w.inst->memory0->limit_pages = 65536;
    n = make_image(codes, FUNCS, image_thunk, 0);
    assert_false(sv_native_attach(w.inst, n));
    sv_native_unref(n);
    n = make_image(codes, FUNCS, image_thunk, SV_NATIVE_CHECKED);
    assert_true(sv_native_attach(w.inst, n));
    sv_native_unref(n);
    close_world(&w);
}

static void test_damaged(void **state)
{
    static const uint8_t bytes[8192];
    const struct sv_native_layout good = {.text = 0,
                                          .text_len = 4096,
                                          .entries = 4096,
                                          .thunks = 4100,
                                          .lines = 8184,
                                          .nlines = 1,
                                          .unwind = 8176,
                                          .nunwind = 2,
                                          .frames = 8176,
                                          .nframes = 1,
                                          .nfuncs = 1};
    struct sv_native_layout bad;
    struct sv_native *n;
    struct sv_err err = {0};

    (void)state;
    assert_int_equal(sv_native_from_memory(&err, bytes, sizeof bytes, &good, &n), 0);
    assert_null(sv_native_code(n, 0));
    sv_native_unref(n);
#define BAD(field, value)                                                                          \
    bad = good;                                                                                    \
    bad.field = (value);                                                                           \
    assert_int_equal(sv_native_from_memory(&err, bytes, sizeof bytes, &bad, &n), SV_EMALFORMED)
    BAD(text, 64);
    BAD(text, 8192);
    BAD(text_len, 0);
    BAD(text_len, 8193);
    BAD(text_len, UINT64_MAX);
    BAD(entries, 8190);
    BAD(entries, UINT64_MAX - 3);
    BAD(thunks, 4101);
    BAD(nfuncs, 2000);
    BAD(lines, 8188);
    BAD(nlines, UINT64_MAX);
    BAD(unwind, 8188);
    BAD(nunwind, UINT64_MAX);
    BAD(frames, 8178);
    BAD(frames, 8184);
    BAD(nframes, UINT64_C(1) << 32);
    assert_int_equal(sv_native_from_memory(&err, bytes, 0, &good, &n), SV_ENOMEM);
}

/* In a file: mapped at a page, copied elsewhere. */
static void test_file(void **state)
{
    static uint8_t bytes[3 * 4096];
    const struct sv_native_layout l = {
        .text = 4096, .text_len = 1, .entries = 0, .thunks = 4, .nfuncs = 1};
    struct sv_native *n;
    struct sv_err err = {0};
    FILE *f = tmpfile();

    (void)state;
    assert_non_null(f);
    for (unsigned at = 0; at <= 4096; at += 1024) {
        memset(bytes, 0xcc, sizeof bytes);
        memcpy(bytes + at, &(const uint32_t[2]){0, 0}, 8);
        bytes[at + 4096] = 0x90;
        rewind(f);
        assert_int_equal(fwrite(bytes, 1, sizeof bytes, f), sizeof bytes);
        assert_int_equal(fflush(f), 0);
        assert_int_equal(sv_native_map(&err, fileno(f), at, 8192, &l, &n), 0);
        assert_int_equal(n->text[0], 0x90);
        assert_int_equal(n->entry[0], 0);
        sv_native_unref(n);
    }
    assert_int_equal(sv_native_map(&err, fileno(f), 8192 + 1, 8192, &l, &n), SV_EIO);
    assert_int_equal(sv_native_map(&err, -1, 0, 8192, &l, &n), SV_EIO);
    fclose(f);
}

static int again(void **state)
{
    (void)state;
    fake_signals();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_tiers, again),
        cmocka_unit_test_setup(test_guards, again),
        cmocka_unit_test_setup(test_exceptions, again),
        cmocka_unit_test_setup(test_frameless, again),
        cmocka_unit_test_setup(test_interrupt, again),
        cmocka_unit_test_setup(test_interrupted_anywhere, again),
        cmocka_unit_test(test_gc_roots),
        cmocka_unit_test_setup(test_damaged_unwind, again),
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_file),
    };

    return cmocka_run_group_tests_name("runtime/native", tests, NULL, NULL);
}

#else

int main(void)
{
    return 0; /* no hand-written code for this CPU */
}

#endif
