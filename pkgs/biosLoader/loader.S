/*
 * Starts Linux from a floppy, a disk or a CD by the PC's BIOS, knowing no file system: whoever writes
 * the image says at which sectors kernel and initramfs lie (crates/image/src/bios.rs patches the
 * fields at `params` and the command line). Both must lie in one piece.
 *
 * 2,048 bytes: what a CD's boot record makes the BIOS load at once. On other media it loads the first
 * 512 of them, and those load the rest. The bytes from 3 to 62 are left to FAT, those from 440 to
 * 510 to a partition table.
 *
 * Memory: 0x7c00 loader, 0x20000 what was read last, 0x90000 the kernel's real-mode part with its
 * stack and command line at its end, 1 MiB the kernel, the initramfs at the end of memory. The
 * kernel's side is in its Documentation/x86/boot.rst; BIOS calls are those of 1990's PCs.
 */
	.intel_syntax noprefix
	.code16
	.text
	.globl _start

	.set BOUNCE_SEGMENT, 0x2000
	.set BOUNCE, 0x20000
	.set CHUNK_BYTES, 0x8000	/* read at once; the kernel's real-mode part must fit */
	.set SETUP_SEGMENT, 0x9000
	.set SETUP_STACK, 0xe000	/* and from there on the command line */
	.set COMMAND_LINE, 0x9e000
	.set COMMAND_LINE_BYTES, 512
	.set KERNEL, 0x100000
	.set FIRMWARE_BYTES, 0x80000	/* tables that some firmware keeps at the end of memory */
	.set READ_ATTEMPTS, 5		/* a floppy's motor needs time */

_start:
	jmp	begin
	nop
	.org	64
params:
	.ascii	"picnix01"
sector_shift:	.byte 9		/* 9 for sectors of 512 bytes, 11 for a CD's */
		.byte 0, 0, 0
kernel_lba:	.long 0
kernel_bytes:	.long 0
initramfs_lba:	.long 0
initramfs_bytes: .long 0
loader_lba:	.long 0

begin:
	cli
	xor	ax, ax
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	mov	sp, 0x7c00
	sti
	cld
	.byte	0xea			/* a far jump: some firmware starts us at 07c0:0000 */
	.word	normalized, 0
normalized:
	mov	drive, dl
	mov	ah, 0x41		/* can it read by sector number? */
	mov	bx, 0x55aa
	int	0x13
	jc	ask_geometry
	cmp	bx, 0xaa55
	jne	ask_geometry
	test	cl, 1
	jz	ask_geometry
	inc	byte ptr by_number
	jmp	load_rest
ask_geometry:
	mov	ah, 8
	mov	dl, drive
	int	0x13
	jc	fail
	and	cx, 0x3f
	mov	sectors, cx
	movzx	dx, dh
	inc	dx
	mov	heads, dx
	xor	ax, ax
	mov	es, ax			/* it pointed to a table */
load_rest:
	cmp	byte ptr sector_shift, 9
	jne	stage2			/* a CD: all is here */
	mov	eax, loader_lba
	inc	eax
	mov	cx, 3
	mov	bx, offset stage2
	call	read
	jmp	stage2

/* Reads cx sectors from number eax to es:bx. */
read:
	cmp	byte ptr by_number, 0
	je	read_by_geometry
	mov	packet_count, cx
	mov	packet_offset, bx
	mov	packet_segment, es
	mov	packet_lba, eax
	mov	si, offset packet
	mov	ah, 0x42
	mov	dl, drive
	int	0x13
	jc	fail
	ret

/* As far as the track goes, and again. */
read_by_geometry:
	test	cx, cx
	jz	read_done
	push	eax
	push	cx
	xor	edx, edx
	movzx	esi, word ptr sectors
	div	esi			/* eax: track, edx: sector from 0 */
	mov	di, si
	sub	di, dx			/* left on the track */
	cmp	di, cx
	jbe	1f
	mov	di, cx
1:	push	dx
	xor	edx, edx
	movzx	esi, word ptr heads
	div	esi			/* eax: cylinder, edx: head */
	pop	cx
	inc	cx			/* cl: sector from 1 */
	mov	ch, al
	shl	ah, 6
	or	cl, ah
	mov	dh, dl
	mov	dl, drive
	mov	bp, READ_ATTEMPTS
2:	mov	ax, di
	mov	ah, 2
	push	di
	int	0x13
	pop	di
	jnc	3f
	xor	ax, ax			/* reset, and try again */
	int	0x13
	dec	bp
	jnz	2b
	jmp	fail
3:	pop	cx
	pop	eax
	sub	cx, di
	movzx	edi, di
	add	eax, edi
	shl	di, 9
	add	bx, di
	jmp	read_by_geometry
read_done:
	ret

fail:
	xor	ax, ax
	mov	ds, ax
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
	.asciz	"picnix: cannot read the kernel\r\n"

drive:		.byte 0
by_number:	.byte 0
sectors:	.word 0
heads:		.word 0
	.balign	4
packet:
		.byte 16, 0
packet_count:	.word 0
packet_offset:	.word 0
packet_segment:	.word 0
packet_lba:	.long 0, 0
	.org	440			/* an error where the first part is longer than this */
	.org	510
	.byte	0x55, 0xaa

stage2:
	mov	ax, 0x2401		/* addresses beyond 1 MiB */
	int	0x15

	/* The kernel's beginning says where its two parts meet. */
	mov	eax, kernel_lba
	mov	next_lba, eax
	mov	eax, kernel_bytes
	mov	left_bytes, eax
	call	read_chunk
	mov	ax, BOUNCE_SEGMENT
	mov	es, ax
	cmp	dword ptr es:[0x202], 0x53726448	/* "HdrS" */
	jne	fail
	movzx	eax, byte ptr es:[0x1f1]
	test	al, al
	jnz	1f
	mov	al, 4
1:	inc	eax
	shl	eax, 9
	cmp	eax, CHUNK_BYTES
	ja	fail
	push	ecx
	push	eax
	mov	cx, ax
	shr	cx, 2
	mov	ax, SETUP_SEGMENT
	mov	es, ax
	mov	ax, BOUNCE_SEGMENT
	mov	ds, ax
	xor	si, si
	xor	di, di
	rep movsd
	xor	ax, ax
	mov	ds, ax
	pop	eax
	pop	ecx
	sub	ecx, eax
	lea	esi, [eax + BOUNCE]
	mov	dword ptr target, KERNEL
2:	call	move
	call	read_chunk
	jnz	2b

	/* The initramfs ends where memory does. */
	mov	eax, initramfs_bytes
	test	eax, eax
	jz	start_kernel
	mov	left_bytes, eax
	mov	eax, initramfs_lba
	mov	next_lba, eax
	call	memory_end
	sub	eax, FIRMWARE_BYTES
	sub	eax, initramfs_bytes
	and	ax, 0xf000
	mov	target, eax
	mov	bx, SETUP_SEGMENT
	mov	es, bx
	mov	es:[0x218], eax
	mov	eax, initramfs_bytes
	mov	es:[0x21c], eax
3:	call	read_chunk
	jz	start_kernel
	call	move
	jmp	3b

start_kernel:
	mov	ax, SETUP_SEGMENT
	mov	es, ax
	mov	byte ptr es:[0x210], 0xff		/* a loader without a number */
	or	byte ptr es:[0x211], 0x80		/* there is a heap */
	mov	word ptr es:[0x224], SETUP_STACK - 0x200
	mov	dword ptr es:[0x228], COMMAND_LINE
	mov	si, offset command_line
	mov	di, SETUP_STACK
	mov	cx, COMMAND_LINE_BYTES / 4
	rep movsd
	cli
	mov	ds, ax
	mov	fs, ax
	mov	gs, ax
	mov	ss, ax
	mov	sp, SETUP_STACK
	.byte	0xea
	.word	0, SETUP_SEGMENT + 0x20

/* eax: the end of memory, but not beyond 2 GiB. */
memory_end:
	xor	cx, cx
	xor	dx, dx
	mov	ax, 0xe801
	int	0x15
	jc	fail
	test	cx, cx
	jz	1f
	mov	ax, cx			/* KiB from 1 MiB to 16 MiB */
	mov	bx, dx			/* 64 KiB from there on */
1:	test	bx, bx
	jz	3f
	cmp	bx, 0x7f00
	jbe	2f
	mov	bx, 0x7f00
2:	movzx	eax, bx
	shl	eax, 16
	add	eax, 0x1000000
	ret
3:	movzx	eax, ax
	shl	eax, 10
	add	eax, 0x100000
	ret

/* Reads on: ecx bytes lie at BOUNCE, esi; zero is set where nothing is left. */
read_chunk:
	mov	edx, left_bytes
	test	edx, edx
	jz	2f
	cmp	edx, CHUNK_BYTES
	jbe	1f
	mov	edx, CHUNK_BYTES
1:	sub	left_bytes, edx
	push	edx
	mov	cl, sector_shift
	mov	eax, 1
	shl	eax, cl
	dec	eax
	add	edx, eax
	shr	edx, cl
	mov	eax, next_lba
	add	next_lba, edx
	mov	cx, BOUNCE_SEGMENT
	mov	es, cx
	mov	cx, dx
	xor	bx, bx
	call	read
	pop	ecx
	mov	esi, BOUNCE
	test	ecx, ecx		/* not zero */
2:	ret

/* Moves ecx bytes from esi to where `target` points, which moves on. */
move:
	mov	source_low, si
	mov	eax, esi
	shr	eax, 16
	mov	source_middle, al
	mov	eax, target
	add	target, ecx
	mov	target_low, ax
	shr	eax, 16
	mov	target_middle, al
	mov	target_high, ah
	inc	cx
	shr	cx, 1			/* words */
	xor	ax, ax
	mov	es, ax
	mov	si, offset descriptors
	mov	ah, 0x87
	int	0x15
	jc	fail
	ret

	.balign	8
descriptors:
	.quad	0, 0
		.word 0xffff		/* from */
source_low:	.word 0
source_middle:	.byte 0, 0x93, 0, 0
		.word 0xffff		/* to */
target_low:	.word 0
target_middle:	.byte 0, 0x93, 0
target_high:	.byte 0
	.quad	0, 0
next_lba:	.long 0
left_bytes:	.long 0
target:		.long 0

	.org	2048 - COMMAND_LINE_BYTES
command_line:
	.org	2048
