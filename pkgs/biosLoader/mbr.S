/*
 * The first sector of an image that is a CD and a disk at once, where a PC's BIOS starts it as a disk:
 * loads the loader (loader.S) from the sector that whoever writes the image says (crates/image/src/iso.rs
 * patches the field at `loader_lba`).
 *
 * The bytes up to 96 are the superblock of a squashfs, which the BIOS runs as it is. As code it is
 *
 *	0	push 0x7173		"hsqs", its first three letters
 *	3	jnc 9			the fourth; then the number of files, which must end with 4
 *	5	add [bx + si], al	or the like: the rest of that number
 *	7	add al, al		and the first byte of its time, 0xc0
 *	9	jmp 96			the rest of its time, 0xeb 0x55
 *
 * whether or not the BIOS has left the carry flag. Without a squashfs a jump is put there. Sectors are
 * read by number only: what is written to a stick is larger than the BIOSes that cannot.
 */
	.intel_syntax noprefix
	.code16
	.text
	.globl _start

	.set LOADER, 0x7c00
	.set HERE, 0x600		/* where we move out of its way; we are linked for this */

_start:
	jmp	begin
	.org	96
begin:
	cli
	xor	ax, ax
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	mov	sp, LOADER
	sti
	cld
	mov	si, LOADER
	mov	di, HERE
	mov	cx, 256
	rep movsw
	.byte	0xea			/* a far jump: some firmware starts us at 07c0:0000 */
	.word	moved, 0
moved:
	mov	si, offset packet
	mov	ah, 0x42		/* the drive is in dl, where the loader expects it, too */
	int	0x13
	jc	fail
	.byte	0xea
	.word	LOADER, 0
fail:
	mov	si, offset message
1:	lodsb
	test	al, al
	jz	2f
	mov	ah, 0x0e
	mov	bx, 7
	int	0x10
	jmp	1b
2:	int	0x18			/* the next thing that can be booted */
3:	hlt
	jmp	3b
message:
	.asciz	"picnix: cannot read the loader\r\n"

	.org	400
	.ascii	"picnixm1"
packet:
		.byte 16, 0
		.word 1, LOADER, 0
loader_lba:	.long 0, 0
	.org	440			/* an error where the above is longer than this */
	.org	510
	.byte	0x55, 0xaa
