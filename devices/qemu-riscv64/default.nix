# QEMU's board "virt" for 64-bit RISC-V. The firmware is OpenSBI.
{
  imports = [ ../families/qemu-virt.nix ];

  nixpkgs.hostPlatform = "riscv64-unknown-linux-musl";

  boot.kernelParams = [ "console=ttyS0" ];
  boot.kernel = {
    # The only compressed kernel that QEMU unpacks for this board.
    format = "uImage";
    loadAddress = "0x80200000";
  };
  boot.kernel.config = {
    # Programs compute in its registers.
    FPU = "y";
    SERIAL_8250 = "y";
    SERIAL_8250_CONSOLE = "y";
    SERIAL_OF_PLATFORM = "y";
    SIFIVE_PLIC = "y";
  };
}
