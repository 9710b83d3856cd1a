# The same as default.nix, for mips.
{
  DMI = "n";
  KERNEL_XZ = "y";
  RELOCATABLE = "n";
  VIRTUALIZATION = "n";
  XZ_DEC_X86 = "n";
}
