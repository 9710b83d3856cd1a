# QEMU's board Malta with a little-endian processor.
{
  imports = [ ../families/malta.nix ];

  nixpkgs.hostPlatform = "mipsel-unknown-linux-musl";
  boot.kernel.config.CPU_LITTLE_ENDIAN = "y";
}
