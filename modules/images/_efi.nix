# What the kernel needs to be started by EFI.
lib:
let
  inherit (lib) mkDefault;
in
{
  ACPI = "y";
  EFI = "y";
  EFI_STUB = "y";
  PCI = "y";
  RELOCATABLE = "y";

  # What these bring along.
  ACPI_PRMT = mkDefault "n";
  EFI_DXE_MEM_ATTRIBUTES = mkDefault "n";
  EFI_HANDOVER_PROTOCOL = mkDefault "n";
  RANDOMIZE_BASE = mkDefault "n";
}
