# QEMU's board Malta with a big-endian processor.
{
  imports = [ ../families/malta.nix ];

  nixpkgs.hostPlatform = "mips-unknown-linux-musl";
  boot.kernel.config.CPU_BIG_ENDIAN = "y";
}
