# The image tree beside the store: what every format of image puts around `/nix/store`.
{ config, lib, ... }:
let
  inherit (lib) mkDefault mkOption types;

  entryType = types.submodule {
    options = {
      gid = mkOption {
        type = types.int;
        default = 0;
        description = "The group.";
      };
      major = mkOption {
        type = types.nullOr types.int;
        default = null;
        description = "The major number of a device.";
      };
      minor = mkOption {
        type = types.nullOr types.int;
        default = null;
        description = "The minor number of a device.";
      };
      mode = mkOption {
        type = types.nullOr (types.strMatching "[0-7]{4}");
        default = null;
        example = "0600";
        description = "The mode in octal; null for 0755 of a folder and 0644 of anything else.";
      };
      source = mkOption {
        type = types.nullOr types.path;
        default = null;
        description = "The file whose contents a file gets.";
      };
      target = mkOption {
        type = types.nullOr types.str;
        default = null;
        description = "Where a symbolic link points.";
      };
      text = mkOption {
        type = types.nullOr types.str;
        default = null;
        description = "The contents of a file, where there is no `source`.";
      };
      type = mkOption {
        type = types.enum [
          "block-device"
          "character-device"
          "directory"
          "file"
          "symlink"
        ];
        description = "What the entry is.";
      };
      uid = mkOption {
        type = types.int;
        default = 0;
        description = "The owner.";
      };
    };
  };

  folder = mode: {
    type = "directory";
    inherit mode;
  };
in
{
  options.system.rootfs = mkOption {
    type = types.attrsOf entryType;
    default = { };
    description = ''
      Files, links, folders and devices of the image, by absolute path. Folders above an entry are
      made where they are not listed.
    '';
  };

  config.system.rootfs = {
    "/dev/console" = {
      type = "character-device";
      mode = "0600";
      major = 5;
      minor = 1;
    };
    "/init" = {
      type = "symlink";
      target = config.system.init.program;
    };
    "/proc" = folder "0555";
    "/run" = folder "0755";
    "/run/current-system" = {
      type = "symlink";
      target = mkDefault (toString config.system.build.toplevel);
    };
    "/sys" = folder "0555";
    "/tmp" = folder "1777";
    "/var/empty" = folder "0555";
  };
}
