# A floppy of 1.44 MB that a PC starts: kernel and initramfs as files, with a loader before them.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  kernel = config.boot.kernelPackages.kernel;
  inherit (config.images) initramfs;
in
{
  options.images.floppy.image = mkOption {
    type = types.package;
    readOnly = true;
    internal = true;
    default = pkgs.makeImage {
      name = "${config.system.name}-floppy";
      format = "floppy";
      entries = [
        {
          path = "/linux";
          type = "file";
          source = "${kernel}/${kernel.kernelFile}";
        }
        {
          path = "/initrd";
          type = "file";
          source = "${initramfs.image}/${initramfs.rootFile}";
        }
      ];
      boot = {
        loader = "${pkgs.biosLoader}/loader.bin";
        kernel = "/linux";
        initramfs = "/initrd";
        commandLine = toString config.boot.kernelParams;
      };
      meta.description = "The system on a floppy that starts by itself";
    };
    description = "The image.";
  };
}
