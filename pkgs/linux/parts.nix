# Large folders of Linux's source, with what the options begin with without which nothing in them is
# compiled and nothing outside includes their headers.
{
  "drivers/comedi" = "COMEDI";
  "drivers/gpu/drm" = "DRM";
  "drivers/hwmon" = "HWMON";
  "drivers/iio" = "IIO";
  "drivers/infiniband" = "INFINIBAND";
  "drivers/media" = "CEC_\\|MEDIA_";
  "drivers/mtd" = "MTD";
  "drivers/net/ethernet" = "ETHERNET";
  "drivers/net/wireless" = "WLAN";
  "drivers/scsi" = "SCSI_COMMON";
  "drivers/staging" = "STAGING";
  "fs/btrfs" = "BTRFS_FS";
  "fs/xfs" = "XFS_FS";
  "sound" = "SOUND";
}
