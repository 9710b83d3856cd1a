# The kernel, how it is started, and the modules loaded into it.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.boot;
  inherit (lib) mkIf mkOption types;

  modulesClosure = pkgs.makeModulesClosure {
    kernel = cfg.kernelPackages.kernel;
    rootModules = lib.unique cfg.kernelModules;
  };
in
{
  options.boot = {
    consoleLogLevel = mkOption {
      type = types.ints.between 0 8;
      default = 7;
      example = 4;
      description = ''
        Kernel messages below this severity level reach the console while the system boots; 7 shows
        all but debugging messages, 4 only warnings and worse.
      '';
    };
    kernelModules = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "virtio_net" ];
      description = ''
        Kernel modules loaded while the system boots. They and what they depend on are the only
        ones in the image.
      '';
    };
    kernelPackages = mkOption {
      type = types.raw;
      default = pkgs.linuxPackages;
      defaultText = lib.literalExpression "pkgs.linuxPackages";
      description = "The kernel, as the attribute `kernel` of a set.";
    };
    kernelParams = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "console=ttyS0" ];
      description = "Parameters on the kernel command line.";
    };
  };

  config = {
    boot.kernelParams = [ "loglevel=${toString cfg.consoleLogLevel}" ];

    system.rootfs = mkIf (cfg.kernelModules != [ ]) {
      "/lib/modules" = {
        type = "symlink";
        target = "${modulesClosure}/lib/modules";
      };
    };
    system.extraDependencies = mkIf (cfg.kernelModules != [ ]) [ modulesClosure ];

    programs.busybox.applets = mkIf (cfg.kernelModules != [ ]) [
      "cat"
      "modprobe"
    ];

    system.services.modules = mkIf (cfg.kernelModules != [ ]) {
      description = "load kernel modules";
      kind = "oneshot";
      dependencies = [ "mount" ];
      script = ''
        modprobe -a $(cat /lib/modules/${cfg.kernelPackages.kernel.modDirVersion}/modules.load)
      '';
    };
  };
}
