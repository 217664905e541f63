// SPDX-License-Identifier: Apache-2.0
//
// 32-bit RISC-V, -M virt -bios none: every hart starts here, in machine mode. See ../README.md.
//
//   a0 value   a1 address of this hart's slot   a2 passes   a3 number of this hart

        .option norvc
        .option norelax                         // so that every linker gives the same bytes
        .include "data.s"

        .globl phys, window, scratch_swap, unmapped, unmapped_phys
        .set phys, 0x80000000
        .set unmapped_phys, 0x08000000          // between the platform bus and the interrupt controller
        .ifdef MMU
        .set window, 0xc0000000
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
        addi a0, a0, 1
        .size patch_increment_by_two, . - patch_increment_by_two

        .section .start, "ax", %progbits
label start
        csrr a3, mhartid
        .ifndef SMP
        bnez a3, park
        .endif
        li t0, MAX_CORES
        bgeu a3, t0, park

        .ifdef MMU
        la t0, entries
1:      lw t1, 0(t0)
        lw t2, 4(t0)
        beqz t1, 2f
        sw t2, 0(t1)
        addi t0, t0, 8
        j 1b
2:      li t0, -1
        csrw pmpaddr0, t0                       // supervisor mode may use all of memory
        li t0, 0x1f
        csrw pmpcfg0, t0
        la t0, root
        lw t0, 0(t0)
        csrw satp, t0
        sfence.vma
        li t0, 0x1800
        csrc mstatus, t0                        // MPP: supervisor mode
        li t0, 0x0800
        csrs mstatus, t0
        .endif

        la t0, variables
        lw a1, 0(t0)
        slli t1, a3, 6
        add a1, a1, t1
        li a2, 0
        lw t0, 4(t0)
        .ifdef MMU
        csrw mepc, t0
        mret
        .else
        jr t0
        .endif

label park                                      // harts that have nothing to do
        wfi
        j park

        .balign 8
variables:
        .4byte counter, loop

        .ifdef MMU
        .set tables_phys, phys + 0x8000
        .set TABLE, 0x1
        .set PAGE, 0xcf                         // dirty, accessed, executable, writable, readable, valid
root:
        .4byte 1 << 31 | tables_phys >> 12      // satp: Sv32
entries:                                        // address of an entry, its value
        .4byte tables_phys + 4 * (phys >> 22), (tables_phys + 0x1000) >> 2 | TABLE
        .4byte tables_phys + 0x1000 + 4 * (phys >> 12 & 0x3ff), phys >> 2 | PAGE
        .4byte tables_phys + 4 * (window >> 22), (tables_phys + 0x2000) >> 2 | TABLE
        .4byte tables_phys + 0x2000, (phys + 0x1000) >> 2 | PAGE
        .4byte tables_phys + 0x2004, (phys + 0x2000) >> 2 | PAGE
        .4byte tables_phys + 0x2008, (phys + 0x4000) >> 2 | PAGE        // the pages of scratch are exchanged
        .4byte tables_phys + 0x200c, (phys + 0x3000) >> 2 | PAGE
        .4byte 0, 0

        .section .tables, "aw", %nobits
label tables                                    // level 1; level 0 for start; level 0 for the window
        .zero 0x3000
        .endif

        .section .loop, "ax", %progbits
label loop
label load
        lw a0, 0(a1)
label after_load
label patch_site
        nop
label increment
        addi a0, a0, 1
label store
        sw a0, 0(a1)
label after_store
        addi a2, a2, 1
label branch
        j loop
label loop_end
