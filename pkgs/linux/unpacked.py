"""Makes an x86_64 bzImage whose kernel is not packed: unpacked.py BZIMAGE STUB OUTPUT.

The kernel is the very one that is packed in BZIMAGE, and so is the part that runs first, in real mode;
STUB (unpacked.S) replaces what would unpack it. Fields are those of Documentation/x86/boot.rst.
"""

import struct
import subprocess
import sys

SECTOR_BYTES = 512
# Where a bootloader puts what follows the real-mode part.
LOAD_ADDRESS = 0x100000
PAGE_BYTES = 4096
# In the stub.
PARAMS = 8
# In the real-mode part: its own length, the length of the rest, a mark, and what was packed.
SETUP_SECTORS, SYSTEM_SIZE, MARK = 0x1F1, 0x1F4, 0x202
LOAD_FLAGS_EXTENDED, PAYLOAD_OFFSET, PAYLOAD_LENGTH, INIT_SIZE = 0x236, 0x248, 0x24C, 0x260
# In an ELF file of 64 bits.
ELF_LOAD = 1


def number(data, at, kind="<I"):
    return struct.unpack_from(kind, data, at)[0]


def flatten(elf):
    """The kernel as it lies in memory: where, its bytes, and where it begins."""
    if elf[:5] != b"\x7fELF\x02":
        sys.exit("unpacked: what is packed is no ELF file of 64 bits")
    entry, headers = struct.unpack_from("<QQ", elf, 24)
    size, count = struct.unpack_from("<HH", elf, 54)
    parts = []
    for index in range(count):
        kind, _, offset, _, address, length, _, _ = struct.unpack_from(
            "<IIQQQQQQ", elf, headers + index * size
        )
        if kind == ELF_LOAD:
            parts.append((address, elf[offset : offset + length]))
    first = min(address for address, _ in parts)
    image = bytearray(max(address + len(data) for address, data in parts) - first)
    for address, data in parts:
        image[address - first : address - first + len(data)] = data
    image.extend(bytes(-len(image) % 8))
    return first, bytes(image), entry


def main(packed_file, stub_file, output):
    with open(packed_file, "rb") as file:
        packed = file.read()
    with open(stub_file, "rb") as file:
        stub = bytearray(file.read())
    if packed[MARK : MARK + 4] != b"HdrS":
        sys.exit("unpacked: not a bzImage")
    setup_bytes = ((packed[SETUP_SECTORS] or 4) + 1) * SECTOR_BYTES
    start = setup_bytes + number(packed, PAYLOAD_OFFSET)
    payload = packed[start : start + number(packed, PAYLOAD_LENGTH)]
    if payload[:6] != b"\xfd7zXZ\0":
        sys.exit("unpacked: the kernel is not packed by xz")
    # Behind it is its length.
    unpack = ["xz", "-dc", "--single-stream"]
    elf = subprocess.run(unpack, input=payload, stdout=subprocess.PIPE, check=True).stdout
    address, image, entry = flatten(elf)

    stub.extend(bytes(PAGE_BYTES - len(stub)))
    source = LOAD_ADDRESS + len(stub)
    if address < source:
        sys.exit(f"unpacked: the kernel is linked for {address:#x}, where the loader puts it")
    struct.pack_into("<IIII", stub, PARAMS, source, address, len(image) // 8, entry)

    setup = bytearray(packed[:setup_bytes])
    rest = bytes(stub) + image
    rest += bytes(-len(rest) % 16)
    # It has no entry for bootloaders in long mode or of EFI.
    struct.pack_into("<H", setup, LOAD_FLAGS_EXTENDED, 0)
    struct.pack_into("<II", setup, PAYLOAD_OFFSET, 0, 0)
    struct.pack_into("<I", setup, SYSTEM_SIZE, len(rest) // 16)
    # Both copies of it.
    needed = max(number(packed, INIT_SIZE), address + len(image) - LOAD_ADDRESS)
    struct.pack_into("<I", setup, INIT_SIZE, needed)
    with open(output, "wb") as file:
        file.write(bytes(setup) + rest)


main(*sys.argv[1:])
