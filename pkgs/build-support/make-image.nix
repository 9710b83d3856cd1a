# An image from its declarative description; the writers live in the tool (`builtin:image`).
{ lib, mkDerivation }:
{
  name,
  # The writer's format, such as "initramfs".
  format,
  # "xz", "xz-x86", "zstd", "gzip" or "none".
  compression ? "none",
  # Store paths that are in the image with everything that they refer to.
  closure ? [ ],
  # What else is in the image: records of a `path`, a `type` and what belongs to that type.
  entries,
  # Files laid beside the image: name to path.
  files ? { },
  # For images that start by themselves: { loader, kernel, initramfs ? null, commandLine }; the middle
  # two are paths in the image.
  boot ? null,
  # For CDs: { mbr, efiLoader, entries, onCd, onDisk }; `entries` is what firmware sees, the others are
  # how the kernel command line ends.
  cd ? null,
  # For disks: the file that is the root partition, and the number of the disk.
  root ? null,
  diskId ? 0,
  meta ? { },
}:
mkDerivation (
  lib.optionalAttrs (boot != null) { inherit boot; }
  // lib.optionalAttrs (cd != null) { inherit cd diskId; }
  // lib.optionalAttrs (root != null) { inherit root diskId; }
  // {
  inherit
    name
    format
    compression
    entries
    files
    meta
    ;
  system = "builtin";
  builder = "builtin:image";
  __structuredAttrs = true;
  # The writer's version: releases that would write different bytes have different derivations.
  formatVersion = 1;
  exportReferencesGraph = { inherit closure; };
  passthru = { inherit closure; };
}
)
