# What busybox's applets are made of.
{
  # Which option makes an applet, where that is not the applet's name in capitals.
  optionOf = {
    "[" = "TEST1";
    "[[" = "TEST2";
    arch = "BB_ARCH";
    bash = "BASH_IS_ASH";
    "fsck.minix" = "FSCK_MINIX";
    "mkfs.ext2" = "MKFS_EXT2";
    "mkfs.minix" = "MKFS_MINIX";
    "mkfs.reiser" = "MKFS_REISER";
    "mkfs.vfat" = "MKFS_VFAT";
    "nbd-client" = "NBDCLIENT";
    sh = "SH_IS_ASH";
    sysctl = "BB_SYSCTL";
  };

  # What an applet is hardly itself without: parts that are options of their own.
  featuresOf = {
    init.FEATURE_USE_INITTAB = "y";
    ip = {
      FEATURE_IP_ADDRESS = "y";
      FEATURE_IP_LINK = "y";
      FEATURE_IP_ROUTE = "y";
    };
    mount.FEATURE_MOUNT_FLAGS = "y";
    sh = {
      ASH = "y";
      ASH_CMDCMD = "y";
      ASH_ECHO = "y";
      ASH_INTERNAL_GLOB = "y";
      ASH_OPTIMIZE_FOR_SIZE = "y";
      ASH_PRINTF = "y";
      ASH_TEST = "y";
      FEATURE_FANCY_ECHO = "y";
      FEATURE_SH_MATH = "y";
    };
  };
}
