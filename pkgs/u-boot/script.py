"""Puts a script behind the header that U-Boot reads: that of a kernel, with another kind.

script.py UIMAGE FROM TO: UIMAGE is the program that makes the header of a kernel (pkgs/linux/uimage.py).
"""

import struct
import subprocess
import sys
import zlib

SCRIPT = 6
# Where the header has its own checksum, and the kind of image.
CHECKSUM = slice(4, 8)
KIND = 30
HEADER_BYTES = 64


def main(uimage, source, target):
    with open(source, "rb") as file:
        text = file.read()
    # A list of the lengths of texts, and the texts; here one.
    with open("data", "wb") as file:
        file.write(struct.pack(">II", len(text), 0) + text)
    subprocess.run(
        [sys.executable, uimage, "data", target, "0", "none", "0", "boot"], check=True
    )
    with open(target, "rb+") as file:
        header = bytearray(file.read(HEADER_BYTES))
        header[KIND] = SCRIPT
        header[CHECKSUM] = bytes(4)
        header[CHECKSUM] = struct.pack(">I", zlib.crc32(header))
        file.seek(0)
        file.write(header)


main(*sys.argv[1:])
