# Patches that Debian carries for a package, by name: a list for `patches`, in the given order.
{ runCommand }:
{
  name,
  # The fetched `.debian.tar.xz` of the source package.
  src,
  # Names of files in its debian/patches.
  patches,
}:
let
  tree = runCommand "${name}-debian-patches" { inherit src patches; } ''
    mkdir "$out"
    xz -dc "$src" | tar -x
    for patch in $patches; do
      cp "debian/patches/$patch" "$out/"
    done
  '';
in
map (patch: "${tree}/${patch}") patches
