# What the kernel needs for disks and CDs as PCs have them.
lib: {
  ATA = "y";
  ATA_BMDMA = "y";
  ATA_PIIX = "y";
  ATA_SFF = "y";
  BLK_DEV_SD = "y";
  BLK_DEV_SR = "y";
  PCI = "y";
  SATA_AHCI = "y";
  SCSI = "y";

  # What these bring along.
  SCSI_LOWLEVEL = lib.mkDefault "n";
}
