    .text
    .globl form_there
    nop
form_there:
    ret
    .section .rodata.cst16, "aM", @progbits, 16
    .p2align 4
    .globl  form_data
form_data:
    .quad   1, 2
