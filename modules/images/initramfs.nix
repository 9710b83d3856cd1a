# A system that lives in memory: one compressed cpio archive, which the kernel unpacks as its root.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (builtins) attrNames concatMap;
  inherit (lib) mkOption types;

  inherit (config.images.initramfs) compression;
  kernel = config.boot.kernelPackages.kernel;
  rootfs = config.system.rootfs;

  # Every folder above a path but the root, outermost first.
  foldersAbove =
    path:
    let
      parent = dirOf path;
    in
    if parent == "/" then [ ] else foldersAbove parent ++ [ parent ];
  folders = lib.genAttrs (concatMap foldersAbove (attrNames rootfs)) (_path: {
    type = "directory";
    mode = "0755";
    uid = 0;
    gid = 0;
  });

  withoutNulls = lib.filterAttrs (_name: value: value != null);
  entries = lib.mapAttrsToList (path: entry: { inherit path; } // withoutNulls entry) (
    folders // rootfs
  );

  imageWith =
    name: kernelFile:
    pkgs.makeImage {
      inherit name compression entries;
      format = "initramfs";
      inherit (config.images.initramfs) closure;
      files.${kernel.target} = kernelFile;
      meta.description = "The system as an initramfs, with its kernel beside it";
    };
in
{
  config.boot.kernel.config = lib.optionalAttrs (config.system.root == "memory") (
    {
      BLK_DEV_INITRD = "y";
    }
    // lib.optionalAttrs (compression != "none") {
      "RD_${lib.toUpper (lib.head (lib.splitString "-" compression))}" = "y";
    }
  );

  options.images.initramfs = {
    compression = mkOption {
      type = types.enum [
        "gzip"
        "none"
        "xz"
        "xz-x86"
        "zstd"
      ];
      default = "xz";
      description = ''
        How the archive is compressed; xz is smallest, zstd starts fastest. Programs for x86 become
        still smaller with xz-x86, which only a kernel for x86 reads.
      '';
    };
    closure = mkOption {
      type = types.listOf types.path;
      readOnly = true;
      internal = true;
      default = [ config.system.build.toplevel ] ++ config.system.extraDependencies;
      description = "What is in every image of the system, with what it refers to.";
    };
    entries = mkOption {
      type = types.listOf types.raw;
      readOnly = true;
      internal = true;
      default = entries;
      description = "What is around it.";
    };
    image = mkOption {
      type = types.package;
      readOnly = true;
      internal = true;
      default = imageWith "${config.system.name}-initramfs" "${kernel}/${kernel.kernelFile}";
      description = "The image.";
    };
    unpacked = mkOption {
      type = types.nullOr types.package;
      readOnly = true;
      internal = true;
      default =
        if kernel ? unpacked then
          imageWith "${config.system.name}-unpacked" "${kernel.unpacked}/${kernel.target}"
        else
          null;
      description = "The image with the same kernel beside it, but not packed; null where there is none.";
    };
    kernelFile = mkOption {
      type = types.str;
      readOnly = true;
      internal = true;
      default = kernel.target;
      description = "The name of the kernel in the image's folder.";
    };
    rootFile = mkOption {
      type = types.str;
      readOnly = true;
      internal = true;
      default =
        "initramfs.cpio"
        + {
          gzip = ".gz";
          none = "";
          xz = ".xz";
          xz-x86 = ".xz";
          zstd = ".zst";
        }
        .${config.images.initramfs.compression};
      description = "The name of the archive in the image's folder.";
    };
  };
}
