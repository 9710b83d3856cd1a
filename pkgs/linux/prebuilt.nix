{
  lib,
  seed,
  unpackDebs,
}:
let
  package = lib.head seed.linux;
  modDirVersion = lib.removePrefix "linux-image-" package.debName;
in
unpackDebs {
  pname = "linux";
  version = lib.head (lib.splitString "-" package.debVersion);
  debs = seed.linux;
  # The symbol map and the configuration are for people who debug this kernel.
  include = [
    "boot/vmlinuz-*"
    "usr/lib/modules/**"
  ];
  passthru = {
    inherit modDirVersion;
    # The file that a bootloader loads, below this package, and what images call it.
    kernelFile = "boot/vmlinuz-${modDirVersion}";
    target = "bzImage";
  };
  meta = {
    description = "Debian's Linux kernel for virtual machines, with its modules";
    homepage = "https://www.kernel.org/";
    license = lib.licenses.gpl2Only;
  };
}
