# The smallest systems: kernel and programs are built from source, with what the configuration asks
# for and nothing else. The first build takes minutes.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.profiles.tiny;
  shell = "${config.programs.busybox.package}/bin/sh";

  inherit (lib) mkDefault mkEnableOption mkIf;

  powerOff = lib.hiPrio (pkgs.writeScriptBin "poweroff" "#!${shell}\nexec reboot\n");
in
{
  options.profiles.tiny.enable = mkEnableOption "building kernel and programs for size";

  config = mkIf cfg.enable {
    boot.kernel.fromSource = mkDefault true;
    images.initramfs.compression = mkDefault (if pkgs.hostPlatform.isx86 then "xz-x86" else "xz");
    networking.enableIPv6 = mkDefault false;
    programs.busybox.fromSource = mkDefault true;

    # A kernel that cannot cut the power can restart the machine, and QEMU ends then.
    environment.systemPackages = mkIf (!config.boot.kernel.canPowerOff) [ powerOff ];
    programs.busybox.applets = mkIf config.boot.kernel.canPowerOff [ "poweroff" ];
  };
}
