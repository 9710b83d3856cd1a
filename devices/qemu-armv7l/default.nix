# QEMU's board "virt" for 32-bit ARM.
{
  imports = [ ../families/qemu-virt.nix ];

  nixpkgs.hostPlatform = "armv7l-unknown-linux-musleabihf";

  boot.kernelParams = [ "console=ttyAMA0" ];
  boot.kernel.config = {
    ARCH_MULTI_V7 = "y";
    ARCH_VIRT = "y";
    MMU = "y";
    SERIAL_AMBA_PL011 = "y";
    SERIAL_AMBA_PL011_CONSOLE = "y";
    # Smaller code.
    THUMB2_KERNEL = "y";
    # Programs compute in its registers.
    VFP = "y";
    VFPv3 = "y";
  };
}
