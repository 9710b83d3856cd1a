/*
 * What an x86_64 kernel begins with that is not packed: it takes the place of the kernel's own unpacker
 * (arch/x86/boot/compressed), behind the same real-mode part, and only moves the kernel to where it was
 * linked for.
 *
 * unpacked.py puts four numbers of 32 bits at `params`: where the kernel lies behind this, where it
 * belongs, its length in words of 8 bytes, and its first instruction. Both sides are in the kernel's
 * Documentation/x86/boot.rst (sections "32-bit boot protocol" and "64-bit boot protocol").
 */
	.intel_syntax noprefix
	.text
	.globl _start

	.set TABLES, 0x1000		/* below the real-mode part; the BIOS has done its work */
	.set TABLE_BYTES, 4096
	.set PRESENT, 3			/* and can be written */
	.set LARGE, 0x80		/* 2 MiB */
	.set LARGE_BYTES, 0x200000

	.code32
_start:
	jmp	begin
	.balign	8
params:
from:	.long	0
to:	.long	0
words:	.long	0
entry:	.long	0

begin:
	cli
	cld
	/* esi, which says where boot_params are, stays as it is: the kernel wants it in rsi. */

	/* The first GiB, where it is. */
	mov	edi, TABLES
	xor	eax, eax
	mov	ecx, 3 * TABLE_BYTES / 4
	rep stosd
	mov	dword ptr [TABLES], TABLES + TABLE_BYTES + PRESENT
	mov	dword ptr [TABLES + TABLE_BYTES], TABLES + 2 * TABLE_BYTES + PRESENT
	mov	edi, TABLES + 2 * TABLE_BYTES
	mov	eax, LARGE + PRESENT
	mov	ecx, TABLE_BYTES / 8
1:	mov	[edi], eax
	add	eax, LARGE_BYTES
	add	edi, 8
	loop	1b

	mov	eax, cr4
	or	eax, 1 << 5		/* long tables */
	mov	cr4, eax
	mov	eax, TABLES
	mov	cr3, eax
	mov	ecx, 0xc0000080
	rdmsr
	or	eax, 1 << 8		/* long mode */
	wrmsr
	lgdt	[gdt_pointer]
	mov	eax, 0x80000001		/* paging, protected */
	mov	cr0, eax
	.byte	0xea
	.long	in_long_mode
	.word	0x10

	.code64
in_long_mode:
	mov	eax, 0x18
	mov	ds, eax
	mov	es, eax
	mov	ss, eax
	mov	rdx, rsi
	/* Its end first, since it moves upwards into its own way. */
	mov	ecx, [words]
	mov	esi, [from]
	mov	edi, [to]
	lea	rsi, [rsi + rcx * 8 - 8]
	lea	rdi, [rdi + rcx * 8 - 8]
	std
	rep movsq
	cld
	mov	rsi, rdx
	mov	eax, [entry]
	jmp	rax

	.balign	8
gdt:
	.quad	0
	.quad	0
	.quad	0x00af9a000000ffff	/* 0x10: code of 64 bits */
	.quad	0x00cf92000000ffff	/* 0x18: data */
gdt_pointer:
	.word	gdt_pointer - gdt - 1
	.long	gdt
