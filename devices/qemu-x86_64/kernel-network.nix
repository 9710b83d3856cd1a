# What the kernel needs for a virtio network card on PCI, which brings ACPI and so a way to power off.
{
  ACPI = "y";
  HW_RANDOM = "y";
  HW_RANDOM_VIRTIO = "y";
  NETDEVICES = "y";
  NET_CORE = "y";
  PCI = "y";
  VIRTIO_MENU = "y";
  VIRTIO_NET = "y";
  VIRTIO_PCI = "y";
}
