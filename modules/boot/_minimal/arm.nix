# The same as default.nix, for arm.
{
  # musl asks for times of 32 bits first, wherever they suffice; without these init never sleeps.
  COMPAT_32BIT_TIME = "y";

  KERNEL_XZ = "y";

  ARM_SMCCC_SOC_ID = "n";
  CACHE_L2X0 = "n";
  DMI = "n";
  # Entry points at a fixed address, for programs of processors before ARMv7.
  KUSER_HELPERS = "n";

  # Of these tinyconfig has none where the processor has no MMU, which is what it begins with here.
  COMPACTION = "n";
  CROSS_MEMORY_ATTACH = "n";
  FTRACE = "n";

  XZ_DEC_X86 = "n";
}
