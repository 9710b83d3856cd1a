# A CD that starts by BIOS and by EFI, and may be written to a disk or a stick as it is. The loaders pass
# the command line, so it is no part of the kernel.
#
# A system whose root is a squashfs runs from the medium, for which the kernel must know its drive. One
# that lives in memory is loaded by the firmware, from whatever this can read.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib)
    mkIf
    mkOption
    optionalAttrs
    optionals
    types
    ;
  cfg = config.images.iso;
  kernel = config.boot.kernelPackages.kernel;
  inherit (config.images) initramfs squashfs;
  isInMemory = config.system.root == "memory";
  id = lib.fromHexString cfg.id;

  # How the kernel command line ends.
  rootIs = root: if isInMemory then "" else "root=${root}";
in
{
  options.images.iso = {
    enable = lib.mkEnableOption "making a kernel that starts from CDs and disks, also by EFI";
    id = mkOption {
      type = types.strMatching "[0-9a-f]{8}";
      default = config.images.disk.id;
      defaultText = lib.literalExpression "config.images.disk.id";
      description = ''
        The number by which the kernel finds the image where it was written to a disk, in hexadecimal
        digits.
      '';
    };
    image = mkOption {
      type = types.package;
      readOnly = true;
      internal = true;
      default = pkgs.makeImage (
        {
          name = "${config.system.name}-iso";
          format = "iso";
          entries = [ ];
          boot = {
            loader = "${pkgs.biosLoader}/loader.bin";
            kernel = "/linux";
            commandLine = toString (
              config.boot.kernelParams ++ optionals (!isInMemory) squashfs.kernelParams
            );
          }
          // optionalAttrs isInMemory { initramfs = "/initrd"; };
          cd = {
            mbr = "${pkgs.biosLoader}/mbr.bin";
            efiLoader = "${pkgs.efiLoader}/loader.efi";
            entries = [
              {
                path = "/linux";
                type = "file";
                source = "${kernel}/${kernel.kernelFile}";
              }
            ]
            ++ lib.optional isInMemory {
              path = "/initrd";
              type = "file";
              source = "${initramfs.image}/${initramfs.rootFile}";
            };
            onCd = rootIs "/dev/sr0";
            onDisk = rootIs "PARTUUID=${cfg.id}-01";
          };
          diskId = id;
          meta.description = "The system on a CD or stick that starts by itself";
        }
        // optionalAttrs (!isInMemory) {
          inherit (initramfs) closure entries;
          compression = if pkgs.hostPlatform.isx86 then "xz-x86" else "xz";
        }
      );
      description = "The image.";
    };
  };

  config = mkIf cfg.enable {
    assertions = [
      {
        assertion = pkgs.hostPlatform.isx86_64;
        message = "images.iso.enable: the loaders are for PCs (x86_64); leave it out for ${pkgs.hostPlatform.config}";
      }
    ];
    boot.kernel.config =
      import ./_efi.nix lib // optionalAttrs (!isInMemory) (import ./_drives.nix lib);
  };
}
