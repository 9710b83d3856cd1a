"""Puts a kernel behind the header that U-Boot reads (its include/image.h): 64 bytes, big-endian.

uimage.py FROM TO ARCH COMPRESSION ADDRESS NAME: the kernel is unpacked to ADDRESS and entered there.
"""

import struct
import sys
import zlib

MAGIC = 0x27051956
LINUX = 5
KERNEL = 2
COMPRESSIONS = {"none": 0, "gzip": 1}


def header(data, arch, compression, address, name):
    """The header with both checksums; the time in it is the beginning of time."""

    def pack(checksum):
        fields = (MAGIC, checksum, 0, len(data), address, address, zlib.crc32(data))
        kinds = (LINUX, arch, KERNEL, COMPRESSIONS[compression])
        return struct.pack(">7I4B32s", *fields, *kinds, name.encode()[:32])

    return pack(zlib.crc32(pack(0)))


def main(source, target, arch, compression, address, name):
    with open(source, "rb") as file:
        data = file.read()
    with open(target, "wb") as file:
        file.write(header(data, int(arch), compression, int(address, 0), name))
        file.write(data)


main(*sys.argv[1:])
