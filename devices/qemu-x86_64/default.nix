# A virtual PC with virtio devices: what `picnix run` starts when no other device is asked for.
{ config, lib, ... }:
let
  cfg = config.boot.kernel;
in
{
  boot.kernelModules = lib.mkIf (!cfg.fromSource) [
    "virtio_pci"
    "virtio_net"
  ];
  boot.kernelParams = [ "console=ttyS0" ];

  boot.kernel.config = {
    "64BIT" = "y";
    SERIAL_8250 = "y";
    SERIAL_8250_CONSOLE = "y";
  }
  // lib.optionalAttrs config.networking.enable (import ./kernel-network.nix)
  // lib.optionalAttrs (config.system.root != "memory") (import ./kernel-disk.nix);
}
