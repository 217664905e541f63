// SPDX-License-Identifier: Apache-2.0
//
// 64-bit ARM, -M virt, any CPU of ARMv8-A; SMP is for at most 8 cores of one cluster. See ../README.md.
//
//   w0 value   x1 address of this core's slot   w2 passes   w3 number of this core

        .include "data.s"

        .globl phys, window, scratch_swap, unmapped, unmapped_phys
        .set phys, 0x40200000
        .set unmapped_phys, 0x0b000000          // between virtio-mmio and the platform bus
        .ifdef MMU
        .set window, 0x1280000000               // needs more than 32 bits
        .set unmapped, window + 0x4000          // right behind scratch
        .set scratch_swap, 0x1000
        .else
        .set window, phys + 0x1000
        .set unmapped, unmapped_phys
        .set scratch_swap, 0
        .endif

        .section .data
label patch_nop                                 // what patch_site holds
        .type patch_nop, %object
        nop
        .size patch_nop, . - patch_nop
label patch_increment_by_two                    // written to patch_site, each pass adds two instead of one
        .type patch_increment_by_two, %object
        add w0, w0, #1
        .size patch_increment_by_two, . - patch_increment_by_two

        .section .start, "ax", %progbits
label start
        mrs x3, mpidr_el1                       // Aff0 is the number of the core
        and x3, x3, #0xff
        .ifdef SMP
        cbnz x3, enter
        mrs x4, currentel
        cmp x4, #3 << 2                         // in EL3 (-M virt,secure=on) there is no PSCI, and every core
        b.eq enter                              // starts here by itself
        mov x4, #1
1:      ldr x0, =0xc4000003                     // PSCI CPU_ON, an error for a core that does not exist
        mov x1, x4
        adr x2, start
        mov x3, #0
        hvc #0
        add x4, x4, #1
        cmp x4, #MAX_CORES
        b.lo 1b
        mov x3, #0
        .else
        cbnz x3, park
        .endif

        .ifdef MMU
        mrs x4, currentel
        cmp x4, #3 << 2
        b.ne 1f
        mov x4, #1 << 10                        // EL3 (secure=on): go on in EL1, 64 bits, secure
        msr scr_el3, x4
        mov x4, #0x3c5
        msr spsr_el3, x4
        adr x4, 1f
        msr elr_el3, x4
        eret
1:      adr x4, entries
1:      ldp x5, x6, [x4], #16
        cbz x5, 2f
        str x6, [x5]
        b 1b
2:      mov x5, #0xff
        msr mair_el1, x5                        // attribute 0: normal memory, cached
        ldr x5, =tables
        msr ttbr0_el1, x5
        ldr x5, =0x803519                       // 39 bits by TTBR0, 4 KiB pages, cached; nothing by TTBR1
        msr tcr_el1, x5
        tlbi vmalle1
        dsb sy
        isb
        mrs x5, sctlr_el1
        orr x5, x5, #1
        msr sctlr_el1, x5                       // M
        isb
        .endif

label enter
        cmp x3, #MAX_CORES
        b.hs park
        ldr x1, =counter
        add x1, x1, x3, lsl #6
        mov x2, #0
        ldr x4, =loop
        br x4

label park                                      // cores that have nothing to do
        wfi
        b park

        .ifdef MMU
        .set tables_phys, phys + 0x8000
        .set TABLE, 0x3
        .set PAGE, 0x703                        // accessed, inner shareable, attribute 0, read-write at EL1
        .balign 8
entries:                                        // address of an entry, its value
        .8byte tables_phys + 8 * (phys >> 30), tables_phys + 0x1000 + TABLE
        .8byte tables_phys + 0x1000 + 8 * (phys >> 21 & 0x1ff), tables_phys + 0x2000 + TABLE
        .8byte tables_phys + 0x2000 + 8 * (phys >> 12 & 0x1ff), phys + PAGE
        .8byte tables_phys + 8 * (window >> 30), tables_phys + 0x3000 + TABLE
        .8byte tables_phys + 0x3000 + 8 * (window >> 21 & 0x1ff), tables_phys + 0x4000 + TABLE
        .8byte tables_phys + 0x4000, phys + 0x1000 + PAGE
        .8byte tables_phys + 0x4008, phys + 0x2000 + PAGE
        .8byte tables_phys + 0x4010, phys + 0x4000 + PAGE       // the pages of scratch are exchanged
        .8byte tables_phys + 0x4018, phys + 0x3000 + PAGE
        .8byte 0, 0

        .section .tables, "aw", %nobits
label tables                                    // level 1; levels 2 and 3 for start; levels 2 and 3 for the window
        .zero 0x5000
        .endif

        .section .loop, "ax", %progbits
label loop
label load
        ldr w0, [x1]
label after_load
label patch_site
        nop
label increment
        add w0, w0, #1
label store
        str w0, [x1]
label after_store
        add w2, w2, #1
label branch
        b loop
label loop_end
