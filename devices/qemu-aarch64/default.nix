# QEMU's board "virt" for 64-bit ARM.
{
  imports = [ ../families/qemu-virt.nix ];

  nixpkgs.hostPlatform = "aarch64-unknown-linux-musl";

  boot.kernelParams = [ "console=ttyAMA0" ];
  boot.kernel.config = {
    SERIAL_AMBA_PL011 = "y";
    SERIAL_AMBA_PL011_CONSOLE = "y";
  };
}
