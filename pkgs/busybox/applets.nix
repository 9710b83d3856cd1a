# What busybox's applets are made of.
{
  # Which option makes an applet, where that is not the applet's name in capitals.
  optionOf = {
    "[" = "TEST1";
    "[[" = "TEST2";
    sh = "SH_IS_ASH";
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
