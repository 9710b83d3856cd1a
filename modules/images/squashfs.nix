# A system whose root is a compressed file system on a medium, with the kernel beside it.
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
  options.images.squashfs = {
    image = mkOption {
      type = types.package;
      readOnly = true;
      internal = true;
      default = pkgs.makeImage {
        name = "${config.system.name}-squashfs";
        format = "squashfs";
        compression = if pkgs.hostPlatform.isx86 then "xz-x86" else "xz";
        inherit (initramfs) closure entries;
        files.${kernel.target} = "${kernel}/${kernel.kernelFile}";
        meta.description = "The system as a squashfs, with its kernel beside it";
      };
      description = "The image.";
    };
    kernelParams = mkOption {
      type = types.listOf types.str;
      readOnly = true;
      internal = true;
      default = [
        "ro"
        "rootwait"
        "init=/init"
      ];
      description = "What the kernel must be told of such a root, its place aside.";
    };
  };
}
