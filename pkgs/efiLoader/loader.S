/*
 * Starts \linux, which lies beside it, with a command line: EFI passes none to what it finds on a medium.
 * What the line ends with depends on whether this is a CD or a disk, since one image may be either
 * (crates/image/src/efi.rs puts three texts at `lines`, each with a zero byte: the common beginning, the
 * end for a CD, the end for a disk).
 *
 * 2,048 bytes: PE header, code, texts. It is no program of a linker's: offsets in the file are offsets
 * in memory, and nothing needs to be relocated. The firmware's side is in the UEFI specification 2.10:
 * 4.4 (boot services), 7.3 and 7.4 (protocols, images), 9 (paths), 10.3.4 (loaded image), 13.9 (block I/O).
 * Calls are those of Microsoft's x64 convention: rcx, rdx, r8, r9, 32 bytes below the return address.
 */
	.intel_syntax noprefix
	.code64
	.text
	.globl _start

	.set LINES, 1280
	.set FILE_BYTES, 2048
	.set WIDE_BYTES, 1536		/* the command line in letters of two bytes */
	.set PATH_BYTES, 1024
	.set MEMORY_BYTES, FILE_BYTES + WIDE_BYTES + PATH_BYTES

	/* What is called, from the beginning of the boot services; and fields of protocols. */
	.set HANDLE_PROTOCOL, 152
	.set LOCATE_DEVICE_PATH, 184
	.set LOAD_IMAGE, 200
	.set START_IMAGE, 208
	.set TABLE_CONSOLE, 64
	.set TABLE_BOOT_SERVICES, 96
	.set CONSOLE_WRITE, 8
	.set IMAGE_DEVICE, 24
	.set IMAGE_OPTIONS_BYTES, 48
	.set IMAGE_OPTIONS, 56
	.set BLOCK_IO_MEDIA, 8
	.set MEDIA_BLOCK_BYTES, 12

	.set FILE_PART_BYTES, 4 + 7 * 2 + 4
	.set BUFFER_TOO_SMALL, 0x8000000000000005
	.set CD_SECTOR_BYTES, 2048
	/* The first two bytes of a path's parts. */
	.set PART_CD, 0x0204
	.set PART_FILE, 0x0404
	.set PART_END, 0xff7f

_start:
	.ascii	"MZ"
	.org	0x3c
	.long	pe_header

pe_header:
	.ascii	"PE\0\0"
	.word	0x8664			/* x86_64 */
	.word	2			/* sections */
	.long	0, 0, 0			/* neither a time nor symbols */
	.word	section_table - optional_header
	.word	0x206			/* a program, without line numbers and debugging */
optional_header:
	.word	0x20b			/* PE32+ */
	.byte	0, 0
	.long	FILE_BYTES - 512, MEMORY_BYTES - FILE_BYTES, 0
	.long	begin, begin		/* where it starts, and where code does */
	.quad	0			/* wherever there is room */
	.long	512, 512		/* the alignment of sections, in memory and in the file */
	.word	0, 0, 0, 0, 0, 0	/* versions */
	.long	0
	.long	(MEMORY_BYTES + 511) / 512 * 512
	.long	512, 0			/* the headers */
	.word	10, 0			/* an EFI application */
	.quad	0, 0, 0, 0		/* stack and heap */
	.long	0, 6			/* six directories */
	.quad	0, 0, 0, 0, 0, 0
section_table:
	/* Some firmware refuses what has no section of relocations; this one is empty. */
	.ascii	".reloc\0\0"
	.long	0, 0, 0, 0, 0, 0
	.word	0, 0
	.long	0x42100040
	.ascii	".text\0\0\0"
	.long	MEMORY_BYTES - 512, 512, FILE_BYTES - 512, 512
	.long	0, 0
	.word	0, 0
	.long	0xe0000020		/* code that is read, written and run */

	.org	512
begin:
	push	rbx
	push	rbp
	push	rsi
	push	rdi
	push	r12
	push	r13
	push	r14
	sub	rsp, 48
	mov	rbp, rcx		/* we */
	mov	r13, rdx
	mov	rbx, [rdx + TABLE_BOOT_SERVICES]
	xor	r12d, r12d		/* whether this is a CD */

	/* The path of the medium. */
	lea	rdx, [rip + loaded_image]
	call	protocol
	jnz	fail
	mov	rcx, [rax + IMAGE_DEVICE]
	lea	rdx, [rip + device_path]
	call	protocol
	jnz	fail
	mov	rsi, rax
	lea	rdi, [rip + path]
copy_part:
	mov	eax, [rsi]
	cmp	ax, PART_END
	je	append_file
	cmp	ax, PART_CD
	jne	1f
	call	look_at_medium
	mov	eax, [rsi]
1:	shr	eax, 16
	mov	ecx, eax		/* its length */
	lea	rax, [rdi + rcx]
	lea	rdx, [rip + path + PATH_BYTES - FILE_PART_BYTES]
	cmp	rax, rdx
	mov	rax, BUFFER_TOO_SMALL
	ja	fail
	rep movsb
	jmp	copy_part
append_file:
	lea	rsi, [rip + file_part]
	mov	ecx, FILE_PART_BYTES
	rep movsb

	xor	ecx, ecx
	mov	rdx, rbp
	lea	r8, [rip + path]
	xor	r9d, r9d
	mov	[rsp + 32], r9
	lea	rax, [rip + kernel]
	mov	[rsp + 40], rax
	call	[rbx + LOAD_IMAGE]
	test	rax, rax
	jnz	fail
	mov	rcx, [rip + kernel]
	lea	rdx, [rip + loaded_image]
	call	protocol
	jnz	fail

	/* The command line. */
	lea	rsi, [rip + lines]
	lea	rdi, [rip + wide]
	mov	[rax + IMAGE_OPTIONS], rdi
	mov	rdx, rax
	call	widen
	mov	word ptr [rdi - 2], ' '
	test	r12d, r12d
	jnz	2f
1:	lodsb
	test	al, al
	jnz	1b
2:	call	widen
	lea	rax, [rip + wide]
	sub	rdi, rax
	mov	[rdx + IMAGE_OPTIONS_BYTES], edi

	mov	rcx, [rip + kernel]
	xor	edx, edx
	xor	r8d, r8d
	call	[rbx + START_IMAGE]
fail:
	mov	r14, rax
	mov	rcx, [r13 + TABLE_CONSOLE]
	lea	rdx, [rip + message]
	call	[rcx + CONSOLE_WRITE]
	mov	rax, r14
	add	rsp, 48
	pop	r14
	pop	r13
	pop	r12
	pop	rdi
	pop	rsi
	pop	rbp
	pop	rbx
	ret

/* rax: the protocol rdx of the handle rcx; zero is set where there is one, and else rax says why not. */
protocol:
	sub	rsp, 40
	lea	r8, [rip + interface]
	call	[rbx + HANDLE_PROTOCOL]
	test	rax, rax
	jnz	1f
	mov	rax, [rip + interface]
	cmp	eax, eax		/* sets zero, whatever it is */
1:	lea	rsp, [rsp + 40]
	ret

/*
 * The path so far is that of the medium. Firmware may take a disk for a CD where an image is both, so
 * the sectors decide.
 */
look_at_medium:
	sub	rsp, 40
	mov	dword ptr [rdi], 0x40000 + PART_END
	lea	rax, [rip + path]
	mov	[rip + interface], rax
	lea	rcx, [rip + block_io]
	lea	rdx, [rip + interface]
	lea	r8, [rip + kernel]
	call	[rbx + LOCATE_DEVICE_PATH]
	test	rax, rax
	jnz	1f
	mov	rcx, [rip + kernel]
	lea	rdx, [rip + block_io]
	call	protocol
	jnz	1f
	mov	rax, [rax + BLOCK_IO_MEDIA]
	cmp	dword ptr [rax + MEDIA_BLOCK_BYTES], CD_SECTOR_BYTES
	jne	1f
	inc	r12d
1:	add	rsp, 40
	ret

/* Writes the text at rsi to rdi in letters of two bytes, with its zero. */
widen:
	xor	eax, eax
1:	lodsb
	stosw
	test	al, al
	jnz	1b
	ret

	.balign	8
interface:	.quad 0
kernel:		.quad 0
loaded_image:
	.long	0x5b1b31a1
	.word	0x9562, 0x11d2
	.byte	0x8e, 0x3f, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b
device_path:
	.long	0x09576e91
	.word	0x6d3f, 0x11d2
	.byte	0x8e, 0x39, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b
block_io:
	.long	0x964e5b21
	.word	0x6459, 0x11d2
	.byte	0x8e, 0x39, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b
file_part:
	.word	PART_FILE, FILE_PART_BYTES - 4
	.string16 "\\linux"
	.word	PART_END, 4
message:
	.string16 "picnix: cannot start the kernel\r\n"

	.org	LINES - 8
	.ascii	"picnixe1"
lines:
	.org	FILE_BYTES
	.set wide, lines + FILE_BYTES - LINES
	.set path, wide + WIDE_BYTES
