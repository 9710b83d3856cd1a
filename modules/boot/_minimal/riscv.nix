# The same as default.nix, for riscv.
{
  EFI = "n";
  # One that starts everywhere has EFI.
  NONPORTABLE = "y";
  MMU = "y";
  VIRTUALIZATION = "n";
  XZ_DEC_X86 = "n";
}
