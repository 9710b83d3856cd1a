# An image from its declarative description; the writers live in the tool (`builtin:image`).
{ lib, mkDerivation }:
{
  name,
  # The writer's format, such as "initramfs".
  format,
  # "xz", "zstd", "gzip" or "none".
  compression,
  # Store paths that are in the image with everything that they refer to.
  closure,
  # What else is in the image: records of a `path`, a `type` and what belongs to that type.
  entries,
  # Files laid beside the image: name to path.
  files ? { },
  meta ? { },
}:
mkDerivation {
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
