// SPDX-License-Identifier: Apache-2.0
//
// 32-bit ARM, -M virt, any CPU of ARMv7-A; SMP is for at most 8 cores of one cluster. See ../README.md.
//
//   r0 value   r1 address of this core's slot   r2 passes   r3 number of this core

        .syntax unified
        .arch armv7-a
        .arch_extension virt
        .include "data.s"

        .globl phys, window, scratch_swap, unmapped, unmapped_phys
        .set phys, 0x40200000
        .set unmapped_phys, 0x0b000000          // between virtio-mmio and the platform bus
        .ifdef MMU
        .set window, 0x80000000
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
        add r0, r0, #1
        .size patch_increment_by_two, . - patch_increment_by_two

        .section .start, "ax", %progbits
label start
        mrc p15, 0, r3, c0, c0, 5               // MPIDR: Aff0 is the number of the core
        and r3, r3, #0xff
        .ifdef SMP
        cmp r3, #0
        bne enter
        mrc p15, 0, r4, c0, c1, 1               // ID_PFR1: with EL3 (-M virt,secure=on) there is no PSCI,
        tst r4, #0xf0                           // and every core starts here by itself
        bne enter
        mov r4, #1
1:      ldr r0, =0x84000003                     // PSCI CPU_ON, an error for a core that does not exist
        mov r1, r4
        adr r2, start
        mov r3, #0
        hvc #0
        add r4, r4, #1
        cmp r4, #MAX_CORES
        blo 1b
        mov r3, #0
        .else
        cmp r3, #0
        bne park
        .endif

        .ifdef MMU
        adr r4, entries
1:      ldm r4!, {r5, r6}
        cmp r5, #0
        strne r6, [r5]
        bne 1b
        mcr p15, 0, r5, c2, c0, 2               // TTBCR: 0, short descriptors, TTBR0 alone
        mov r5, #1
        mcr p15, 0, r5, c3, c0, 0               // DACR: domain 0 is a client
        ldr r5, =tables
        mcr p15, 0, r5, c2, c0, 0               // TTBR0
        mcr p15, 0, r5, c8, c7, 0               // TLBIALL
        dsb
        isb
        mrc p15, 0, r5, c1, c0, 0
        orr r5, r5, #1
        mcr p15, 0, r5, c1, c0, 0               // SCTLR.M
        isb
        .endif

label enter
        cmp r3, #MAX_CORES
        bhs park
        ldr r1, =counter
        add r1, r1, r3, lsl #6
        mov r2, #0
        ldr pc, =loop

label park                                      // cores that have nothing to do
        wfi
        b park

        .ifdef MMU
        .set tables_phys, phys + 0x8000
        .set PAGE, 0x3e                         // small page, cached, read-write
        .balign 4
entries:                                        // address of an entry, its value
        .4byte tables_phys + 4 * (phys >> 20), tables_phys + 0x4000 + 1
        .4byte tables_phys + 0x4000 + 4 * (phys >> 12 & 0xff), phys + PAGE
        .4byte tables_phys + 4 * (window >> 20), tables_phys + 0x4400 + 1
        .4byte tables_phys + 0x4400, phys + 0x1000 + PAGE
        .4byte tables_phys + 0x4404, phys + 0x2000 + PAGE
        .4byte tables_phys + 0x4408, phys + 0x4000 + PAGE       // the pages of scratch are exchanged
        .4byte tables_phys + 0x440c, phys + 0x3000 + PAGE
        .4byte 0, 0

        .section .tables, "aw", %nobits
label tables                                    // one first-level table, two second-level tables of 1 KiB
        .zero 0x4800
        .endif

        .section .loop, "ax", %progbits
label loop
label load
        ldr r0, [r1]
label after_load
label patch_site
        nop
label increment
        add r0, r0, #1
label store
        str r0, [r1]
label after_store
        add r2, r2, #1
label branch
        b loop
label loop_end
