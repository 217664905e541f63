// SPDX-License-Identifier: Apache-2.0
//
// 64-bit x86, long mode; -M pc and any other machine that starts a PVH kernel. See ../README.md.
//
//   eax value   rbx address of this core's slot   ecx passes   edx number of this core (its APIC ID)

        .include "data.s"

        .globl phys, window, scratch_swap, unmapped, unmapped_phys
        .set phys, 0x100000
        .set unmapped_phys, 0x40000000          // above RAM, below the devices
        .ifdef MMU
        .set window, 0xffffffff80000000         // the upper half: negative, if it is read as signed
        .set unmapped, window + 0x4000          // right behind scratch
        .set scratch_swap, 0x1000
        .else
        .set window, phys + 0x1000
        .set unmapped, unmapped_phys            // also the first address that the tables leave out
        .set scratch_swap, 0
        .endif

        .section .note, "a", %note
        .balign 4
        .4byte 4, 8, 18                         // XEN_ELFNOTE_PHYS32_ENTRY: start here, in 32-bit protected mode
        .asciz "Xen"
        .8byte start

        .section .data
label patch_nop                                 // what patch_site holds
        .type patch_nop, %object
        nopl (%rax)
        .size patch_nop, . - patch_nop
label patch_increment_by_two                    // written to patch_site, each pass adds two instead of one
        .type patch_increment_by_two, %object
        add $1, %eax
        .size patch_increment_by_two, . - patch_increment_by_two

        .section .start, "ax", %progbits
        .code32
label start
        cli
        cld
        mov $entries, %esi                      // write the translation tables
1:      lodsl
        mov %eax, %edi
        lodsl
        test %edi, %edi
        jz 2f
        mov %eax, (%edi)
        jmp 1b
2:
        .ifndef MMU
        mov $tables_phys + 0x2000, %edi         // the first GiB, in pages of 2 MiB
        mov $0x80 | PAGE, %eax
        mov $512, %ecx
1:      mov %eax, (%edi)
        add $0x200000, %eax
        add $8, %edi
        loop 1b
        .endif

        .ifdef SMP
        mov $trampoline, %esi
        mov $TRAMPOLINE, %edi
        mov $trampoline_end - trampoline, %ecx
        rep movsb
        movl $0xc4500, 0xfee00300               // local APIC: INIT for all but this one
        movl $0xc4600 | TRAMPOLINE >> 12, 0xfee00300    // and the start-up interrupt
        .endif

label enter
        lgdtl gdtr
        mov %cr4, %eax
        or $0x20, %eax
        mov %eax, %cr4                          // PAE
        mov $tables, %eax
        mov %eax, %cr3
        mov $0xc0000080, %ecx
        rdmsr
        or $0x100, %eax
        wrmsr                                   // EFER.LME
        mov %cr0, %eax
        or $0x80000000, %eax
        mov %eax, %cr0                          // PG
        ljmp $0x8, $long

        .code64
long:
        mov $0x10, %eax
        mov %eax, %ds
        mov %eax, %es
        mov %eax, %ss
        mov $1, %eax
        cpuid
        shr $24, %ebx                           // APIC ID
        mov %ebx, %edx
        cmp $MAX_CORES, %ebx
        jae park
        shl $6, %ebx
        movabs $counter, %rax
        add %rax, %rbx
        xor %ecx, %ecx
        movabs $loop, %rax
        jmp *%rax

label park                                      // cores that have nothing to do
        hlt
        jmp park

        .ifdef SMP
        .set TRAMPOLINE, 0x8000                 // where a started core begins, in real mode
        .code16
trampoline:
        cli
        lgdtl %cs:near_gdtr - trampoline
        mov %cr0, %eax
        or $1, %al
        mov %eax, %cr0
        ljmpl $0x18, $started
near_gdtr:
        .2byte gdt_end - gdt - 1
        .4byte gdt
trampoline_end:
        .code32
started:
        mov $0x10, %eax
        mov %eax, %ds
        mov %eax, %ss
        jmp enter
        .endif

        .balign 8
gdt:
        .8byte 0
        .8byte 0x00af9b000000ffff               // 0x08: code, 64 bits
        .8byte 0x00cf93000000ffff               // 0x10: data
        .8byte 0x00cf9b000000ffff               // 0x18: code, 32 bits
gdt_end:
gdtr:
        .2byte gdt_end - gdt - 1
        .4byte gdt

        .set tables_phys, phys + 0x8000
        .set PAGE, 0x3                          // present, writable
        .balign 4
entries:                                        // address of an entry, its value; the upper half of each is zero
        .4byte tables_phys, tables_phys + 0x1000 + PAGE
        .4byte tables_phys + 0x1000, tables_phys + 0x2000 + PAGE
        .ifdef MMU
        .4byte tables_phys + 0x2000, tables_phys + 0x3000 + PAGE
        .4byte tables_phys + 0x3000 + 8 * (phys >> 12), phys + PAGE
        .4byte tables_phys + 8 * (window >> 39 & 0x1ff), tables_phys + 0x4000 + PAGE
        .4byte tables_phys + 0x4000 + 8 * (window >> 30 & 0x1ff), tables_phys + 0x5000 + PAGE
        .4byte tables_phys + 0x5000, tables_phys + 0x6000 + PAGE
        .4byte tables_phys + 0x6000, phys + 0x1000 + PAGE
        .4byte tables_phys + 0x6008, phys + 0x2000 + PAGE
        .4byte tables_phys + 0x6010, phys + 0x4000 + PAGE       // the pages of scratch are exchanged
        .4byte tables_phys + 0x6018, phys + 0x3000 + PAGE
        .endif
        .4byte 0, 0

        .section .tables, "aw", %nobits
label tables                                    // levels 4 to 1 for start, levels 3 to 1 for the window
        .zero 0x7000

        .section .loop, "ax", %progbits
        .code64
label loop
label load
        mov (%rbx), %eax
label after_load
label patch_site
        nopl (%rax)                             // as long as the increment
label increment
        add $1, %eax
label store
        mov %eax, (%rbx)
label after_store
        add $1, %ecx
label branch
        jmp loop
label loop_end
