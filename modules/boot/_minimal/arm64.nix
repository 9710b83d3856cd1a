# The same as default.nix, for arm64.
{
  DMI = "n";
  RELOCATABLE = "n";
  VIRTUALIZATION = "n";
  XZ_DEC_X86 = "n";
}
