"""Mozilla's certdata.txt on standard input, the certificates that may sign for web servers on standard output.

The file is a list of objects, each of lines "ATTRIBUTE TYPE VALUE"; a value of type MULTILINE_OCTAL is
bytes as \\ooo until a line END. A certificate and what it is trusted for are two objects with the same
issuer and serial number.
"""

import base64
import re
import sys

TRUSTED = "CKT_NSS_TRUSTED_DELEGATOR"


def objects(lines):
    """The objects of the file, as attribute to value; octal values are bytes."""
    current, octal = None, None
    for line in lines:
        line = line.rstrip("\n")
        if octal is not None:
            if line == "END":
                octal = None
            else:
                digits = re.findall(r"\\([0-7]{3})", line)
                current[octal] += bytes(int(digit, 8) for digit in digits)
            continue
        if not line or line.startswith("#"):
            continue
        attribute, _, rest = line.partition(" ")
        kind, _, value = rest.partition(" ")
        if attribute == "CKA_CLASS":
            if current is not None:
                yield current
            current = {}
        if current is None:
            continue
        if kind == "MULTILINE_OCTAL":
            octal, current[attribute] = attribute, b""
        else:
            current[attribute] = value
    if current is not None:
        yield current


def key(entry):
    """What a certificate and its trust have in common."""
    return entry["CKA_ISSUER"], entry["CKA_SERIAL_NUMBER"]


def main():
    """Prints them in the order of the file."""
    entries = list(objects(sys.stdin))
    trusted = {
        key(entry)
        for entry in entries
        if entry["CKA_CLASS"] == "CKO_NSS_TRUST"
        and entry["CKA_TRUST_SERVER_AUTH"] == TRUSTED
    }
    certificates = [
        entry
        for entry in entries
        if entry["CKA_CLASS"] == "CKO_CERTIFICATE" and key(entry) in trusted
    ]
    if not certificates:
        sys.exit("no certificate is trusted: is this certdata.txt?")
    for entry in certificates:
        text = base64.b64encode(entry["CKA_VALUE"]).decode()
        print("-----BEGIN CERTIFICATE-----")
        print("\n".join(text[at : at + 64] for at in range(0, len(text), 64)))
        print("-----END CERTIFICATE-----")


main()
