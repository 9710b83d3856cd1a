# QEMU's boards "virt": virtio devices on the board's own bus, described by the device tree that QEMU
# hands over. They have no PCI that anybody needs.
{ config, lib, ... }:
{
  boot.kernel = {
    canPowerOff = true;
    config = {
      # The device tree brings random bytes.
      RANDOM_TRUST_BOOTLOADER = "y";
    }
    // lib.optionalAttrs config.networking.enable {
      NETDEVICES = "y";
      NET_CORE = "y";
      VIRTIO_MENU = "y";
      VIRTIO_MMIO = "y";
      VIRTIO_NET = "y";
    }
    // lib.optionalAttrs (config.system.root != "memory") {
      BLK_DEV = "y";
      VIRTIO_BLK = "y";
      VIRTIO_MENU = "y";
      VIRTIO_MMIO = "y";
    };
  };

  virtualisation.qemu = {
    devices = [ ];
    diskDevice = "virtio-blk-device";
    networkDevice = "virtio-net-device";
  };
}
