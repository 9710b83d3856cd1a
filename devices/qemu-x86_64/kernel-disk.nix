# What the kernel needs for a virtio disk on PCI.
{
  ACPI = "y";
  BLK_DEV = "y";
  PCI = "y";
  VIRTIO_BLK = "y";
  VIRTIO_MENU = "y";
  VIRTIO_PCI = "y";
}
