// SPDX-License-Identifier: Apache-2.0
//
// 32-bit x86, protected mode with flat segments; -M pc and any other machine that starts a PVH kernel. See ../README.md.
//
//   eax value   ebx address of this core's slot   ecx passes   edx number of this core (its APIC ID)

        .include "data.s"

        .globl phys, window, scratch_swap, unmapped, unmapped_phys
        .set phys, 0x100000
        .set unmapped_phys, 0x40000000          // above RAM, below the devices
        .ifdef MMU
        .set window, 0xc0000000
        .set unmapped, window + 0x4000          // right behind scratch
        .set scratch_swap, 0x1000
        .else
        .set window, phys + 0x1000
        .set unmapped, unmapped_phys
        .set scratch_swap, 0
        .endif

        .section .note, "a", %note
        .balign 4
        .4byte 4, 4, 18                         // XEN_ELFNOTE_PHYS32_ENTRY: start here, in 32-bit protected mode
        .asciz "Xen"
        .4byte start, 0                         // QEMU reads eight bytes of the four

        .section .data
label patch_nop                                 // what patch_site holds
        .type patch_nop, %object
        nopl (%eax)
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
        .ifdef SMP
        mov $trampoline, %esi
        mov $TRAMPOLINE, %edi
        mov $trampoline_end - trampoline, %ecx
        rep movsb
        movl $0xc4500, 0xfee00300               // local APIC: INIT for all but this one
        movl $0xc4600 | TRAMPOLINE >> 12, 0xfee00300    // and the start-up interrupt
        .endif

        .ifdef MMU
        mov $entries, %esi
1:      lodsl
        mov %eax, %edi
        lodsl
        test %edi, %edi
        jz 2f
        mov %eax, (%edi)
        jmp 1b
2:      mov $tables, %eax
        mov %eax, %cr3
        mov %cr0, %eax
        or $0x80000000, %eax
        mov %eax, %cr0                          // PG
        .endif

label enter
        mov $1, %eax
        cpuid
        shr $24, %ebx                           // APIC ID
        mov %ebx, %edx
        cmp $MAX_CORES, %ebx
        jae park
        shl $6, %ebx
        add $counter, %ebx
        xor %ecx, %ecx
        mov $loop, %eax
        jmp *%eax

label park                                      // cores that have nothing to do
        hlt
        jmp park

        .ifdef SMP
        .set TRAMPOLINE, 0x8000                 // where a started core begins, in real mode
        .code16
trampoline:
        cli
        lgdtl %cs:gdtr - trampoline
        mov %cr0, %eax
        or $1, %al
        mov %eax, %cr0
        ljmpl $0x8, $started
gdtr:
        .2byte gdt_end - gdt - 1
        .4byte gdt
trampoline_end:
        .code32
started:
        mov $0x10, %eax
        mov %eax, %ds
        mov %eax, %es
        mov %eax, %ss
        jmp enter

        .balign 8
gdt:
        .8byte 0
        .8byte 0x00cf9b000000ffff               // 0x08: code, 32 bits
        .8byte 0x00cf93000000ffff               // 0x10: data
gdt_end:
        .endif

        .ifdef MMU
        .set tables_phys, phys + 0x8000
        .set PAGE, 0x3                          // present, writable
        .balign 4
entries:                                        // address of an entry, its value
        .4byte tables_phys + 4 * (phys >> 22), tables_phys + 0x1000 + PAGE
        .4byte tables_phys + 0x1000 + 4 * (phys >> 12 & 0x3ff), phys + PAGE
        .4byte tables_phys + 4 * (window >> 22), tables_phys + 0x2000 + PAGE
        .4byte tables_phys + 0x2000, phys + 0x1000 + PAGE
        .4byte tables_phys + 0x2004, phys + 0x2000 + PAGE
        .4byte tables_phys + 0x2008, phys + 0x4000 + PAGE       // the pages of scratch are exchanged
        .4byte tables_phys + 0x200c, phys + 0x3000 + PAGE
        .4byte 0, 0

        .section .tables, "aw", %nobits
label tables                                    // directory; table for start; table for the window
        .zero 0x3000
        .endif

        .section .loop, "ax", %progbits
label loop
label load
        mov (%ebx), %eax
label after_load
label patch_site
        nopl (%eax)                             // as long as the increment
label increment
        add $1, %eax
label store
        mov %eax, (%ebx)
label after_store
        add $1, %ecx
label branch
        jmp loop
label loop_end
