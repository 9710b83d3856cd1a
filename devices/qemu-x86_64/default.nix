# A virtual PC with virtio devices: what `picnix run` starts when no other device is asked for.
{
  boot.kernelModules = [
    "virtio_pci"
    "virtio_net"
  ];
  boot.kernelParams = [ "console=ttyS0" ];
}
