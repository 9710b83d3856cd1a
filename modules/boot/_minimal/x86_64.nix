# The same as default.nix, for x86_64.
{
  KERNEL_XZ = "y";

  # Processors: no microcode updates, no vendors that no emulated machine has.
  CPU_SUP_AMD = "n";
  CPU_SUP_CENTAUR = "n";
  CPU_SUP_HYGON = "n";
  CPU_SUP_INTEL = "y";
  CPU_SUP_ZHAOXIN = "n";
  MICROCODE = "n";
  PROCESSOR_SELECT = "y";
  X86_5LEVEL = "n";
  X86_INTEL_MEMORY_PROTECTION_KEYS = "n";
  X86_KERNEL_IBT = "n";
  X86_VSYSCALL_EMULATION = "n";

  DMI = "n";
  EFI_MIXED = "n";
  HYPERVISOR_GUEST = "n";
  PERF_EVENTS_INTEL_CSTATE = "n";
  PERF_EVENTS_INTEL_RAPL = "n";
  PERF_EVENTS_INTEL_UNCORE = "n";
  SPARSEMEM_VMEMMAP = "n";
  VIRTUALIZATION = "n";

  # Needs no memory below 16 MiB to be free: the system boots with less.
  PHYSICAL_ALIGN = "0x200000";
  PHYSICAL_START = "0x200000";
  RELOCATABLE = "n";
}
