// SPDX-License-Identifier: Apache-2.0
//
// The variables, the same for every architecture; included by the sources.

        .set MAX_CORES, 8

        .globl slot_stride
        .set slot_stride, 64

        .macro label name
        .globl \name
\name:
        .endm

        .section .data, "aw", %progbits
        .balign 64
label counter                           // slot of core 0; core N has counter + N * slot_stride
        .type counter, %object
        .size counter, 4
        .4byte 0
label untouched                         // between two slots: never read, never written
        .type untouched, %object
        .size untouched, 4
        .4byte 0
        .balign 64
        .zero (MAX_CORES - 1) * slot_stride
label counter_end

label pattern                           // 0x00 to 0xff, never read, never written
        .type pattern, %object
        .set i, 0
        .rept 256
        .byte i
        .set i, i + 1
        .endr
        .size pattern, . - pattern
label pattern_end

        .section .scratch, "aw", %nobits
label scratch                           // two pages that the program never touches
        .type scratch, %object
        .size scratch, 8192
        .zero 4096
label scratch_second                    // the second of them
        .zero 4096
label scratch_end
