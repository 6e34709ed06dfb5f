    .text
    .globl form_there
    nop
form_there:
    ret
    .space  20000
    .section .rodata.cst32, "aM", @progbits, 32
    .p2align 5
    .globl  form_data, form_far
form_data:
    .xword  1, 2, 3, 4
    .space  70000
form_far:
    .space  8000
