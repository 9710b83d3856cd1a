# The kernel modules that `rootModules` name, with all that they depend on, and nothing else.
#
# The output has `lib/modules/<version>` with the index that modprobe reads, and there the list
# `modules.load` of those root modules that are not built into the kernel. A module that the
# kernel does not have fails the build.
{ lib, mkDerivation }:
{
  kernel,
  rootModules,
}:
mkDerivation {
  name = "${kernel.name}-modules";
  inherit kernel rootModules;
  inherit (kernel) modDirVersion;
  buildCommand = ". ${./modules-closure.sh}";
  meta.description = "The kernel modules ${lib.concatStringsSep ", " rootModules}";
}
