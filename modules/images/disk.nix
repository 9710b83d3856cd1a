# A disk that starts by BIOS and by EFI: the kernel on a partition for firmware, the root as a
# squashfs on another. EFI passes no command line, so it is part of the kernel.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib)
    mkDefault
    mkIf
    mkOption
    types
    ;
  cfg = config.images.disk;
  kernel = config.boot.kernelPackages.kernel;
  inherit (config.images) squashfs;

  # 28 bits of the name: JSON and the kernel agree on such numbers, and 0 means none.
  id = lib.fromHexString cfg.id;
in
{
  options.images.disk = {
    enable = lib.mkEnableOption "making a kernel that starts from a disk, also by EFI";
    id = mkOption {
      type = types.strMatching "[0-9a-f]{8}";
      default = "1" + builtins.substring 0 7 (builtins.hashString "sha256" config.system.name);
      defaultText = lib.literalMD "a number made from `system.name`";
      description = "The number by which the kernel finds the disk, in hexadecimal digits.";
    };
    image = mkOption {
      type = types.package;
      readOnly = true;
      internal = true;
      default = pkgs.makeImage {
        name = "${config.system.name}-disk";
        format = "disk";
        entries = [
          {
            path = "/efi/boot/bootx64.efi";
            type = "file";
            source = "${kernel}/${kernel.kernelFile}";
          }
        ];
        boot = {
          loader = "${pkgs.biosLoader}/loader.bin";
          kernel = "/efi/boot/bootx64.efi";
          # The kernel has its own.
          commandLine = "";
        };
        root = "${squashfs.image}/squashfs.img";
        diskId = id;
        meta.description = "The system on a disk that starts by itself";
      };
      description = "The image.";
    };
  };

  config = mkIf cfg.enable {
    boot.kernel.config = import ./_efi.nix lib // import ./_drives.nix lib // {
      CMDLINE = toString (
        config.boot.kernelParams ++ squashfs.kernelParams ++ [ "root=PARTUUID=${cfg.id}-02" ]
      );
      CMDLINE_BOOL = "y";
    };
  };
}
