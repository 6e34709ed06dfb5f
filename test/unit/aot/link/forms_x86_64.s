# Each relocation of x86-64 that the linker knows, against names of forms_other_x86_64.s too.
    .text
    .globl form_start, form_here
form_start:
    call    form_there
    jmp     form_there + 1
    movq    form_data(%rip), %xmm0
    leaq    form_there(%rip), %rax
    movq    form_data@GOTPCREL(%rip), %rax
    movq    form_there@GOTPCREL(%rip), %r15
    cmpl    $7, form_data(%rip)
    movw    $7, form_data + 2(%rip)
    .p2align 6
form_here:
    .quad   form_data - .
    .quad   form_data2 - .
    .long   form_there - .
    .section .text.cold, "ax", @progbits
    jne     form_there
    jmp     form_here
    .section .rodata, "a", @progbits
    .byte   1
    .p2align 3
    .globl  form_data2
form_data2:
    .long   form_here - form_data2
    .long   form_there - .
    .quad   form_data - . + 5
    .section .data.rel.ro, "aw", @progbits
    .long   form_start - .
