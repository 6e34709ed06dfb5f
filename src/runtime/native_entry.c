/* The way into native code and out of it: the switch between the C stack and the guest's, and the
 * stubs through which code calls C, by hand for each CPU. What the helpers do is native_helper.c's;
 * frames are walked in native_walk.c. */
#include "runtime/native.h"
#include "runtime/signal.h"

/* Left of the guest's stack at an entry at least: what is written there before the guest's own code
 * finds the guard. */
#define ENTRY_ROOM 4096

/* Offsets that the assembly knows. */
#define INST_STORE 112
#define STORE_GC 64
#define STORE_THREAD 72
#define METERED_BEFORE 16 /* bytes before the thread */
#define TRAP_GAS 23
#define HOST_PUSHED_IP 1 /* words from the SP of a waiting host stub to the return address */
#define TH_GAS 16
#define TH_INTERRUPT 24
#define TH_IP 32
#define TH_FP 40
#define TH_INST 48
#define TH_HOST_SP 64
#define TH_NATIVE_SP 72
#define TH_NATIVE_RET 80
#define TH_THREADS 152
#define TH_TRAP_CODE 176
#define FUNC_COST 52
#define FUNC_FN 64
#define FUNC_DATA 72
#define FUNC_CALLS 80
#define DIRECT_FN 0
#define DIRECT_DATA 8
_Static_assert(offsetof(struct sv_instance, store) == INST_STORE, "known to the assembly");
_Static_assert(offsetof(struct sv_store, metered) == STORE_THREAD - METERED_BEFORE,
               "known to the assembly");
_Static_assert(offsetof(struct sv_store, gc) == STORE_GC, "known to the assembly");
_Static_assert(SV_TRAP_GAS == TRAP_GAS, "known to the assembly");
_Static_assert(offsetof(struct sv_store, thread) == STORE_THREAD, "known to the assembly");
_Static_assert(offsetof(struct sv_thread, interrupt) == TH_INTERRUPT, "known to the assembly");
_Static_assert(offsetof(struct sv_thread, ip) == TH_IP, "known to the assembly");
_Static_assert(offsetof(struct sv_thread, fp) == TH_FP, "known to the assembly");
_Static_assert(offsetof(struct sv_thread, inst) == TH_INST, "known to the assembly");
_Static_assert(offsetof(struct sv_thread, host_sp) == TH_HOST_SP, "known to the assembly");
_Static_assert(offsetof(struct sv_thread, native_sp) == TH_NATIVE_SP, "known to the assembly");
_Static_assert(offsetof(struct sv_thread, native_ret) == TH_NATIVE_RET, "known to the assembly");
_Static_assert(offsetof(struct sv_thread, gas) == TH_GAS, "known to the assembly");
_Static_assert(offsetof(struct sv_thread, threads) == TH_THREADS, "known to the assembly");
_Static_assert(offsetof(struct sv_thread, trap.code) == TH_TRAP_CODE, "known to the assembly");
_Static_assert(offsetof(struct sv_func, cost) == FUNC_COST, "known to the assembly");
_Static_assert(offsetof(struct sv_func, host.fn) == FUNC_FN, "known to the assembly");
_Static_assert(offsetof(struct sv_func, host.data) == FUNC_DATA, "known to the assembly");
_Static_assert(offsetof(struct sv_func, host.calls) == FUNC_CALLS, "known to the assembly");
_Static_assert(offsetof(struct sv_host_direct, fn) == DIRECT_FN &&
                   offsetof(struct sv_host_direct, data) == DIRECT_DATA,
               "known to the assembly");
_Static_assert(offsetof(struct sv_call, th) == 0 && offsetof(struct sv_call, inst) == 8 &&
                   offsetof(struct sv_call, func) == 16 && offsetof(struct sv_call, data) == 24 &&
                   sizeof(struct sv_call) == 32,
               "known to the assembly");

#define TEXT_OF(n) #n
#define NUMBER(n) TEXT_OF(n)

/* Call thunk(inst, mem0, code, slots) on the guest's stack: 0, or the code with which a helper
 * left.
 */
int sv_native_enter(struct sv_thread *th, const void *thunk, struct sv_instance *inst,
                    uint8_t *mem0, const void *code, union sv_slot *slots);

#define FUNCTION(name, type)                                                                       \
    ".globl " #name "\n.hidden " #name "\n.type " #name ", " type "function\n" #name ":\n"
#define LABEL(name) ".globl " #name "\n.hidden " #name "\n" #name ":\n"

/* sv_native_enter keeps a frame pointer: guests preserve it, while SP is theirs. sv_native_leave: C
 * code has returned the code to leave with, so SP is what it was at host_sp.
 *
 * A stub notes the place, pushes the registers that the guest may hold references in, and goes on
 * on the C stack. Up to sv_native_stub_end a fault of the guest's stack is the guest's, and the
 * place is noted before. The guest's SP waits in a callee-saved register: th->native_sp may have
 * changed.
 *
 * sv_native_stub_CALL_HOST and CALL_DIRECT: a shorter way for host functions, which are called at
 * once. It is not taken where there are objects, which the collector looks for in all of the
 * registers, nor by guests with several threads. The guest's SP waits in rbp, which guests seldom
 * use: what is kept in a register across calls is not to go through memory at each of them. */
/* clang-format off */
#if defined(__x86_64__)
#define NOTE \
    "  add $" NUMBER(STORE_THREAD) ", %r10\n" \
    "  mov (%rsp), %rax\n" \
    "  mov %rax, " NUMBER(TH_IP) "(%r10)\n" \
    "  lea 8(%rsp), %rax\n" \
    "  mov %rax, " NUMBER(TH_FP) "(%r10)\n" \
    "  mov %rdi, " NUMBER(TH_INST) "(%r10)\n"
#define NOTE_AND_PUSH \
    "  mov " NUMBER(INST_STORE) "(%rdi), %r10\n" \
    NOTE \
    "  push %rbp\n" \
    "  .cfi_adjust_cfa_offset 8\n" \
    "  .cfi_rel_offset %rbp, 0\n" \
    "  push %rbx\n" \
    "  .cfi_adjust_cfa_offset 8\n" \
    "  .cfi_rel_offset %rbx, 0\n" \
    "  push %r12\n" \
    "  .cfi_adjust_cfa_offset 8\n" \
    "  .cfi_rel_offset %r12, 0\n" \
    "  push %r13\n" \
    "  .cfi_adjust_cfa_offset 8\n" \
    "  .cfi_rel_offset %r13, 0\n" \
    "  push %r14\n" \
    "  .cfi_adjust_cfa_offset 8\n" \
    "  .cfi_rel_offset %r14, 0\n" \
    "  push %r15\n" \
    "  .cfi_adjust_cfa_offset 8\n" \
    "  .cfi_rel_offset %r15, 0\n"
/* The stubs of host functions, in two parts: the function is in rsi, the slots in rdx, and between the
 * parts the struct sv_call is at rsp. The gas is in r12, as between the guest's functions, and for C in
 * th->gas. Without metering r12 is the guest's: nothing is charged, what th->gas holds means nothing, and
 * it is not taken back. */
#define HOST_BEGIN(name) \
    ".p2align 5\n" \
    FUNCTION(sv_native_stub_##name, "@") \
    "  .cfi_startproc\n" \
    "  endbr64\n" \
    "  mov " NUMBER(INST_STORE) "(%rdi), %r10\n" \
    "  mov " NUMBER(STORE_GC) "(%r10), %rax\n" \
    "  or " NUMBER(STORE_THREAD) "+" NUMBER(TH_THREADS) "(%r10), %rax\n" \
    "  jne sv_native_host_objects\n" \
    NOTE \
    "  push %rbp\n" \
    "  .cfi_adjust_cfa_offset 8\n" \
    "  .cfi_rel_offset %rbp, 0\n" \
    LABEL(sv_native_pushed_##name) \
    "  mov %rsp, %rbp\n" \
    "  .cfi_def_cfa_register %rbp\n" \
    "  mov %rsp, " NUMBER(TH_NATIVE_SP) "(%r10)\n" \
    "  mov " NUMBER(TH_HOST_SP) "(%r10), %rsp\n" \
    "  pushq " NUMBER(FUNC_DATA) "(%rsi)\n" \
    "  push %rsi\n" \
    "  push %rdi\n" \
    "  push %r10\n" \
    "  movzbl -" NUMBER(METERED_BEFORE) "(%r10), %eax\n" \
    "  imul " NUMBER(FUNC_COST) "(%rsi), %eax\n" \
    "  sub %rax, %r12\n" \
    "  jb sv_native_host_gas\n" \
    "  mov %r12, " NUMBER(TH_GAS) "(%r10)\n" \
    "  incq " NUMBER(FUNC_CALLS) "(%rsi)\n"
#define HOST_CALL(name) \
    "  call *%r11\n" \
    "  mov (%rsp), %rcx\n" \
    "  mov " NUMBER(TH_INTERRUPT) "(%rcx), %edx\n" \
    "  or " NUMBER(TH_TRAP_CODE) "(%rcx), %edx\n" \
    "  or %rax, %rdx\n" \
    "  jne sv_native_host_rest\n" \
    "  cmp " NUMBER(TH_GAS) "(%rcx), %r12\n" \
    "  jne sv_native_host_other_gas\n" \
    "  mov %rbp, %rsp\n" \
    "  .cfi_def_cfa_register %rsp\n" \
    "  pop %rbp\n" \
    "  .cfi_adjust_cfa_offset -8\n" \
    "  .cfi_restore %rbp\n" \
    "  ret\n" \
    "  .cfi_endproc\n" \
    ".size sv_native_stub_" #name ", .-sv_native_stub_" #name "\n"
#define POP \
    "  pop %r15\n" \
    "  .cfi_adjust_cfa_offset -8\n" \
    "  .cfi_restore %r15\n" \
    "  pop %r14\n" \
    "  .cfi_adjust_cfa_offset -8\n" \
    "  .cfi_restore %r14\n" \
    "  pop %r13\n" \
    "  .cfi_adjust_cfa_offset -8\n" \
    "  .cfi_restore %r13\n" \
    "  pop %r12\n" \
    "  .cfi_adjust_cfa_offset -8\n" \
    "  .cfi_restore %r12\n" \
    "  pop %rbx\n" \
    "  .cfi_adjust_cfa_offset -8\n" \
    "  .cfi_restore %rbx\n" \
    "  pop %rbp\n" \
    "  .cfi_adjust_cfa_offset -8\n" \
    "  .cfi_restore %rbp\n"
__asm__(
    ".text\n"
    ".p2align 4\n"
    FUNCTION(sv_native_enter, "@")
    "  .cfi_startproc\n"
    "  endbr64\n"
    "  push %rbp\n"
    "  .cfi_def_cfa_offset 16\n"
    "  .cfi_offset %rbp, -16\n"
    "  mov %rsp, %rbp\n"
    "  .cfi_def_cfa_register %rbp\n"
    "  push %rbx\n"
    "  push %r12\n"
    "  push %r13\n"
    "  push %r14\n"
    "  push %r15\n"
    "  .cfi_offset %rbx, -24\n"
    "  .cfi_offset %r12, -32\n"
    "  .cfi_offset %r13, -40\n"
    "  .cfi_offset %r14, -48\n"
    "  .cfi_offset %r15, -56\n"
    "  sub $8, %rsp\n"
    "  mov %rsp, " NUMBER(TH_HOST_SP) "(%rdi)\n"
    "  mov " NUMBER(TH_NATIVE_SP) "(%rdi), %rsp\n"
    "  mov %rsi, %rax\n"
    "  mov %rdx, %rdi\n"
    "  mov %rcx, %rsi\n"
    "  mov %r8, %rdx\n"
    "  mov %r9, %rcx\n"
    "  call *%rax\n"
    LABEL(sv_native_returned)
    "  lea -48(%rbp), %rsp\n"
    "  xor %eax, %eax\n"
    "sv_native_leave:\n"
    "  add $8, %rsp\n"
    "  pop %r15\n"
    "  pop %r14\n"
    "  pop %r13\n"
    "  pop %r12\n"
    "  pop %rbx\n"
    "  pop %rbp\n"
    "  .cfi_def_cfa %rsp, 8\n"
    "  ret\n"
    "  .cfi_endproc\n"
    ".size sv_native_enter, .-sv_native_enter\n"
    ".p2align 4\n"
    FUNCTION(sv_native_stub, "@")
    "  .cfi_startproc\n"
    NOTE_AND_PUSH
    LABEL(sv_native_stub_end)
    "  mov %r10, %rbx\n"
    "  mov %rsp, %r12\n"
    "  .cfi_def_cfa_register %r12\n"
    "  mov %rsp, " NUMBER(TH_NATIVE_SP) "(%rbx)\n"
    "  mov " NUMBER(TH_HOST_SP) "(%rbx), %rsp\n"
    "  call *%r11\n"
    "  test %eax, %eax\n"
    "  jne sv_native_leave\n"
    "  cmpl $0, " NUMBER(TH_INTERRUPT) "(%rbx)\n"
    "  jne 1f\n"
    "  mov " NUMBER(TH_NATIVE_RET) "(%rbx), %rax\n"
    "  mov %r12, %rsp\n"
    "  .cfi_remember_state\n"
    "  .cfi_def_cfa_register %rsp\n"
    POP
    "  ret\n"
    "1:\n"
    "  .cfi_restore_state\n"
    "  mov %rbx, %rdi\n"
    "  call sv_thread_interrupted\n"
    "  jmp sv_native_leave\n"
    "  .cfi_endproc\n"
    ".size sv_native_stub, .-sv_native_stub\n"
    HOST_BEGIN(CALL_HOST)
    "  mov " NUMBER(FUNC_FN) "(%rsi), %r11\n"
    "  mov %rsp, %rdi\n"
    "  mov %rdx, %rsi\n"
    HOST_CALL(CALL_HOST)
    HOST_BEGIN(CALL_DIRECT)
    "  mov " NUMBER(FUNC_DATA) "(%rsi), %rax\n"
    "  mov " NUMBER(DIRECT_FN) "(%rax), %r11\n"
    "  mov " NUMBER(DIRECT_DATA) "(%rax), %rdi\n"
    "  mov %rsp, %rsi\n"
    "  mov %rdx, %rcx\n" /* values: none, but somewhere */
    HOST_CALL(CALL_DIRECT)
    "sv_native_host_rest:\n"
    "  .cfi_startproc\n"
    "  .cfi_def_cfa %rbp, 16\n"
    "  .cfi_offset %rbp, -16\n"
    "  mov %rsp, %rdi\n"
    "  mov %rax, %rsi\n"
    "  mov $" NUMBER(HOST_PUSHED_IP) ", %edx\n"
    "  call sv_native_host_end\n"
    "1:\n"
    "  test %eax, %eax\n"
    "  jne 3f\n"
    "  mov (%rsp), %rcx\n"
    "sv_native_host_other_gas:\n"
    "  cmpb $0, -" NUMBER(METERED_BEFORE) "(%rcx)\n"
    "  je 2f\n"
    "  mov " NUMBER(TH_GAS) "(%rcx), %r12\n"
    "2:\n"
    "  mov %rbp, %rsp\n"
    "  pop %rbp\n"
    "  .cfi_def_cfa %rsp, 8\n"
    "  ret\n"
    "3:\n"
    "  .cfi_def_cfa %rbp, 16\n"
    "  add $32, %rsp\n"
    "  jmp sv_native_leave\n"
    "sv_native_host_gas:\n"
    "  add %rax, %r12\n"
    "  mov %r12, " NUMBER(TH_GAS) "(%r10)\n"
    "  mov $" NUMBER(TRAP_GAS) ", %esi\n"
    "  mov %r10, %rdi\n"
    "  call sv_trap_raise\n"
    "  jmp 1b\n"
    "sv_native_host_objects:\n"
    "  .cfi_def_cfa %rsp, 8\n"
    "  lea sv_native_call_out(%rip), %r11\n"
    "  jmp sv_native_stub\n"
    "  .cfi_endproc\n");
#define STUB_HOST(name, fn)
#define STUB(name, fn) \
    ".p2align 4\n" LABEL(sv_native_stub_##name) "  endbr64\n" \
    "  lea " #fn "(%rip), %r11\n" \
    "  jmp sv_native_stub\n"
#elif defined(__aarch64__)
#define TH(field) "#" NUMBER(STORE_THREAD) " + " NUMBER(field)
__asm__(
    ".text\n"
    ".p2align 4\n"
    FUNCTION(sv_native_enter, "%")
    "  .cfi_startproc\n"
    "  hint #34\n" /* bti c */
    "  stp x29, x30, [sp, #-160]!\n"
    "  .cfi_def_cfa_offset 160\n"
    "  .cfi_offset x29, -160\n"
    "  .cfi_offset x30, -152\n"
    "  mov x29, sp\n"
    "  .cfi_def_cfa_register x29\n"
    "  stp x19, x20, [sp, #16]\n"
    "  stp x21, x22, [sp, #32]\n"
    "  stp x23, x24, [sp, #48]\n"
    "  stp x25, x26, [sp, #64]\n"
    "  stp x27, x28, [sp, #80]\n"
    "  stp d8, d9, [sp, #96]\n"
    "  stp d10, d11, [sp, #112]\n"
    "  stp d12, d13, [sp, #128]\n"
    "  stp d14, d15, [sp, #144]\n"
    "  .cfi_offset x19, -144\n"
    "  .cfi_offset x20, -136\n"
    "  .cfi_offset x21, -128\n"
    "  .cfi_offset x22, -120\n"
    "  .cfi_offset x23, -112\n"
    "  .cfi_offset x24, -104\n"
    "  .cfi_offset x25, -96\n"
    "  .cfi_offset x26, -88\n"
    "  .cfi_offset x27, -80\n"
    "  .cfi_offset x28, -72\n"
    "  mov x9, sp\n"
    "  str x9, [x0, #" NUMBER(TH_HOST_SP) "]\n"
    "  ldr x9, [x0, #" NUMBER(TH_NATIVE_SP) "]\n"
    "  mov sp, x9\n"
    "  mov x10, x1\n"
    "  mov x0, x2\n"
    "  mov x1, x3\n"
    "  mov x2, x4\n"
    "  mov x3, x5\n"
    "  blr x10\n"
    LABEL(sv_native_returned)
    "  mov sp, x29\n"
    "  mov w0, #0\n"
    "sv_native_leave:\n"
    "  ldp x19, x20, [sp, #16]\n"
    "  ldp x21, x22, [sp, #32]\n"
    "  ldp x23, x24, [sp, #48]\n"
    "  ldp x25, x26, [sp, #64]\n"
    "  ldp x27, x28, [sp, #80]\n"
    "  ldp d8, d9, [sp, #96]\n"
    "  ldp d10, d11, [sp, #112]\n"
    "  ldp d12, d13, [sp, #128]\n"
    "  ldp d14, d15, [sp, #144]\n"
    "  ldp x29, x30, [sp], #160\n"
    "  .cfi_def_cfa sp, 0\n"
    "  ret\n"
    "  .cfi_endproc\n"
    ".size sv_native_enter, .-sv_native_enter\n"
    ".p2align 4\n"
    FUNCTION(sv_native_stub, "%")
    "  .cfi_startproc\n"
    "  ldr x9, [x0, #" NUMBER(INST_STORE) "]\n"
    "  str x30, [x9, " TH(TH_IP) "]\n"
    "  mov x10, sp\n"
    "  str x10, [x9, " TH(TH_FP) "]\n"
    "  str x0, [x9, " TH(TH_INST) "]\n"
    "  stp x29, x30, [sp, #-96]!\n"
    "  .cfi_def_cfa_offset 96\n"
    "  .cfi_offset x29, -96\n"
    "  .cfi_offset x30, -88\n"
    "  stp x19, x20, [sp, #16]\n"
    "  stp x21, x22, [sp, #32]\n"
    "  stp x23, x24, [sp, #48]\n"
    "  stp x25, x26, [sp, #64]\n"
    "  stp x27, x28, [sp, #80]\n"
    "  .cfi_offset x19, -80\n"
    "  .cfi_offset x20, -72\n"
    "  .cfi_offset x21, -64\n"
    "  .cfi_offset x22, -56\n"
    "  .cfi_offset x23, -48\n"
    "  .cfi_offset x24, -40\n"
    "  .cfi_offset x25, -32\n"
    "  .cfi_offset x26, -24\n"
    "  .cfi_offset x27, -16\n"
    "  .cfi_offset x28, -8\n"
    LABEL(sv_native_stub_end)
    "  mov x19, x9\n"
    "  mov x20, sp\n"
    "  .cfi_def_cfa_register x20\n"
    "  str x20, [x19, " TH(TH_NATIVE_SP) "]\n"
    "  ldr x9, [x19, " TH(TH_HOST_SP) "]\n"
    "  mov sp, x9\n"
    "  blr x16\n"
    "  cbnz w0, sv_native_leave\n"
    "  ldr w9, [x19, " TH(TH_INTERRUPT) "]\n"
    "  cbnz w9, 1f\n"
    "  ldr x0, [x19, " TH(TH_NATIVE_RET) "]\n"
    "  mov sp, x20\n"
    "  .cfi_remember_state\n"
    "  .cfi_def_cfa_register sp\n"
    "  ldp x19, x20, [sp, #16]\n"
    "  ldp x21, x22, [sp, #32]\n"
    "  ldp x23, x24, [sp, #48]\n"
    "  ldp x25, x26, [sp, #64]\n"
    "  ldp x27, x28, [sp, #80]\n"
    "  ldp x29, x30, [sp], #96\n"
    "  .cfi_def_cfa_offset 0\n"
    "  ret\n"
    "1:\n"
    "  .cfi_restore_state\n"
    "  add x0, x19, #" NUMBER(STORE_THREAD) "\n"
    "  bl sv_thread_interrupted\n"
    "  b sv_native_leave\n"
    "  .cfi_endproc\n"
    ".size sv_native_stub, .-sv_native_stub\n");
#define STUB(name, fn) \
    ".p2align 4\n" LABEL(sv_native_stub_##name) "  hint #34\n" \
    "  adrp x16, " #fn "\n" \
    "  add x16, x16, #:lo12:" #fn "\n" \
    "  b sv_native_stub\n"
#define STUB_HOST STUB
#else
#error "no native code for this CPU: x86-64 and aarch64 only"
#endif
/* clang-format on */

#define STUB_INT STUB
#define STUB_VALUE STUB
#define HELPER(name, kind, fn) STUB_##kind(name, fn)
__asm__(LABEL(sv_native_stubs)
#include "runtime/native.def"
            LABEL(sv_native_stubs_end));
#undef HELPER

#define HELPER(name, kind, fn) extern const char sv_native_stub_##name[];
#include "runtime/native.def"
#undef HELPER
const void *const sv_native_helpers[SV_NATIVE_HELPERS] = {
#define HELPER(name, kind, fn) [SV_NATIVE_##name] = sv_native_stub_##name,
#include "runtime/native.def"
#undef HELPER
};

/* Words from the SP of a waiting stub to r12 or x21, to the return address, and to where SP was
 * before the call. */
#if defined(__x86_64__)
enum { PUSHED_GAS = 3, PUSHED_IP = 6, PUSHED_END = 7 };
#else
enum { PUSHED_IP = 1, PUSHED_GAS = 4, PUSHED_END = 12 };
#endif

void sv_native_note_again(struct sv_thread *th, unsigned pushed_ip)
{
    void **sp = th->native_sp;

    th->ip = sp[pushed_ip ? pushed_ip : PUSHED_IP];
    th->fp = (union sv_slot *)(sp + (pushed_ip ? pushed_ip + 1 : PUSHED_END));
}

int64_t *sv_native_pushed_gas(struct sv_thread *th)
{
    return (int64_t *)th->native_sp + PUSHED_GAS;
}

/* The guest's stack, made at the store's first entry. */
static bool find_stack(struct sv_thread *th)
{
    struct sv_store *s = th->store;

    if (!s->native_region) {
        s->native_region = sv_region_new_stack(s->limits.stack_bytes);
        if (!s->native_region)
            return false;
        sv_region_start(s->native_region);
    }
    th->native_sp = s->native_region->base + s->native_region->committed;
    return true;
}

static int take_exception(struct sv_thread *th, struct sv_instance *inst)
{
    th->exn = inst->exn;
    inst->exn = SV_REF_NULL;
    /* The place where it was thrown is what a backtrace should begin with. The frames have been
     * left, but nothing has been called on their stack since. */
    if (th->thrown.outer)
        sv_entry_pop(th, &th->thrown);
    return SV_EEXCEPTION;
}

/* An activation that begins in code of the image. */
static int activate(struct sv_thread *th, struct sv_instance *inst, const struct sv_native *native,
                    const void *thunk, const void *code, union sv_slot *slots)
{
    struct sv_native_activation *a;
    void *host_sp = th->host_sp;
    int r;

    if (!th->native_sp && !find_stack(th))
        return SV_ENOMEM;
    if ((uint8_t *)th->native_sp - th->store->native_region->base < ENTRY_ROOM ||
        sv_host_stack_low(th))
        return sv_trap_raise(th, SV_TRAP_STACK);
    a = (struct sv_native_activation *)(((uintptr_t)th->native_sp - sizeof *a) & ~(uintptr_t)15);
    a->inst = inst;
    SV_ALONE(host_sp);
    a->host_sp = host_sp;
    a->native_sp = th->native_sp;
    sv_entry_push(th, &a->entry, native);
    th->native_sp = a;
    inst->gas = th->gas;
    inst->exn = SV_REF_NULL; /* of an activation that was left while it was passing */
    r = sv_native_enter(th, thunk, inst, inst->mem0, code, slots);
    th->host_sp = a->host_sp;
    th->native_sp = a->native_sp;
    if (r == 0 && inst->exn)
        return take_exception(th, inst);
    if (r == 0 || r == SV_EEXIT)
        sv_entry_pop(th, &a->entry);
    return r;
}

int sv_native_entry(struct sv_thread *th, struct sv_func *f, union sv_slot *args)
{
    const struct sv_native *native = f->inst->native;

    return activate(th, f->inst, native, native->text + native->thunk[f->index], f->native, args);
}

int sv_native_enter_loop(struct sv_thread *th, struct sv_instance *inst,
                         const struct sv_native *osr, uint32_t index, union sv_slot *slots)
{
    return activate(th, inst, osr, osr->text + osr->entry[index], NULL, slots);
}
