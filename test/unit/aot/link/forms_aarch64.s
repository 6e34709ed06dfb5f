// Each relocation of aarch64 that the linker knows, against names of forms_other_aarch64.s too.
    .text
    .globl form_start, form_here
form_start:
    bl      form_there
    b       form_there
    b.ne    form_there
    cbz     x3, form_there
    tbnz    x4, #37, form_there
    adr     x5, form_there
    adr     x6, form_here + 3
    adrp    x0, form_data
    add     x1, x0, :lo12:form_data
    ldrb    w2, [x0, :lo12:form_data + 3]
    ldrh    w2, [x0, :lo12:form_data + 6]
    ldr     w2, [x0, :lo12:form_data + 12]
    ldr     x2, [x0, :lo12:form_data + 8]
    ldr     d2, [x0, :lo12:form_data + 8]
    ldr     q2, [x0, :lo12:form_data + 16]
    adrp    x7, form_far + 5000
    add     x7, x7, :lo12:form_far + 5000
    .p2align 6
form_here:
    b       form_start
    .word   form_data - .
    .xword  form_data2 - .
    .section .text.cold, "ax", @progbits
    b       form_there
    tbz     w0, #3, form_here
    .section .rodata, "a", @progbits
    .byte   1
    .p2align 3
    .globl  form_data2
form_data2:
    .word   form_here - form_data2
    .word   form_there - .
    .xword  form_data - . + 5
    .section .data.rel.ro, "aw", @progbits
    .word   form_start - .
