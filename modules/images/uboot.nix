# A disk that U-Boot starts, as boards do: kernel and initramfs as files on a FAT partition, with a script that
# loads them. U-Boot itself is not on it: it is what the machine starts with.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.images.uboot;
  kernel = config.boot.kernelPackages.kernel;
  inherit (config.images) initramfs;

  files = cfg.package.bootFiles {
    inherit kernel;
    commandLine = toString config.boot.kernelParams;
  };
  fromFile = path: source: {
    inherit path source;
    type = "file";
  };
in
{
  options.images.uboot = {
    image = mkOption {
      type = types.package;
      readOnly = true;
      internal = true;
      default = pkgs.makeImage {
        name = "${config.system.name}-uboot";
        format = "disk";
        entries = [
          (fromFile "/boot.scr" "${files}/boot.scr")
          (fromFile "/initrd" "${initramfs.image}/${initramfs.rootFile}")
          (fromFile "/linux" "${files}/linux")
        ];
        files."u-boot.bin" = cfg.package.file;
        meta.description = "The system on a disk that U-Boot starts, with U-Boot beside it";
      };
      description = "The image.";
    };
    package = mkOption {
      type = types.package;
      default = pkgs.pkgsMusl.u-boot;
      defaultText = lib.literalExpression "pkgs.pkgsMusl.u-boot";
      example = lib.literalExpression ''pkgs.pkgsMusl.u-boot.override { config.CMD_GPIO = "y"; }'';
      description = "The U-Boot that the machine starts with: for other boards, one with another `board`.";
    };
  };
}
