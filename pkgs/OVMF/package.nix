# EFI firmware for virtual PCs.
{
  lib,
  seed,
  unpackDebs,
}:
let
  package = lib.head seed.ovmf;
  file = "usr/share/ovmf/OVMF.fd";
  OVMF = unpackDebs {
    pname = "OVMF";
    # "2022.11-6+deb12u2": the release, then Debian's.
    version = lib.head (lib.splitString "-" package.debVersion);
    debs = seed.ovmf;
    include = [ file ];
    # The file that QEMU starts the machine with.
    passthru.firmware = "${OVMF}/${file}";
    meta = {
      description = "EFI firmware for virtual machines";
      homepage = "https://github.com/tianocore/tianocore.github.io/wiki/OVMF";
      license = lib.licenses.bsd2Patent;
    };
  };
in
OVMF
