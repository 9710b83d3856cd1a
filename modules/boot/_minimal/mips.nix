# The same as default.nix, for mips.
{
  # musl asks for times of 32 bits first, wherever they suffice; without these init never sleeps.
  COMPAT_32BIT_TIME = "y";

  DMI = "n";
  KERNEL_XZ = "y";
  RELOCATABLE = "n";
  VIRTUALIZATION = "n";
  XZ_DEC_X86 = "n";
}
