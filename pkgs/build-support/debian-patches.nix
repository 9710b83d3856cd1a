# Patches that Debian carries for a package, by name: a list for `patches`, in the given order.
{ lib, runCommand }:
{
  name,
  # The fetched `.debian.tar.xz` of the source package.
  src,
  # Names of files in its debian/patches.
  patches,
}:
let
  # Some packages have theirs in folders.
  target = if lib.any (lib.hasInfix "/") patches then "$out/$(dirname \"$patch\")/" else "$out/";
  tree = runCommand "${name}-debian-patches" { inherit src patches; } (
    ''
      mkdir "$out"
      xz -dc "$src" | tar -x
      for patch in $patches; do
    ''
    + lib.optionalString (target != "$out/") "  mkdir -p \"${target}\"\n"
    + ''
        cp "debian/patches/$patch" "${target}"
      done
    ''
  );
in
map (patch: "${tree}/${patch}") patches
