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
    images.initramfs.compression = mkDefault "xz-x86";
    networking.enableIPv6 = mkDefault false;
    programs.busybox.fromSource = mkDefault true;

    # Without ACPI the kernel cannot cut the power; it can restart, and QEMU ends then.
    environment.systemPackages = mkIf (config.boot.kernel.config.ACPI == "n") [ powerOff ];
    programs.busybox.applets = mkIf (config.boot.kernel.config.ACPI == "y") [ "poweroff" ];
  };
}
