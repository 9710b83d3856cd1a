# MIPS's board Malta as QEMU has it, with a processor of the 24Kc family.
{ config, lib, ... }:
{
  boot.kernelParams = [ "console=ttyS0" ];
  boot.kernel = {
    # The power is at PCI, which a system without network has no other use for.
    canPowerOff = config.boot.kernel.config.PCI == "y";
    config = {
      CPU_MIPS32_R2 = "y";
      MIPS_CMDLINE_FROM_BOOTLOADER = "y";
      MIPS_MALTA = "y";
      # Programs have no instructions for floating point.
      MIPS_FP_SUPPORT = "n";
      # How the board restarts, by its device tree.
      POWER_RESET = "y";
      POWER_RESET_SYSCON = "y";
      SERIAL_8250 = "y";
      SERIAL_8250_CONSOLE = "y";
    }
    // lib.optionalAttrs (config.networking.enable) {
      ETHERNET = "y";
      NETDEVICES = "y";
      NET_CORE = "y";
      NET_VENDOR_AMD = "y";
      PCI = "y";
      # How the board's interrupts are found: from its bridge to ISA, by what Linux calls a quirk.
      PCI_QUIRKS = "y";
      PCNET32 = "y";
      POWER_RESET_PIIX4_POWEROFF = "y";
    };
  };

  virtualisation.qemu = {
    devices = [ ];
    # The board's own place for it; most others have no interrupts.
    networkDevice = "pcnet,romfile=,addr=0b";
  };
}
