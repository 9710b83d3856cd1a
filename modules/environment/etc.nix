# Files in /etc. They are links to one tree in the store, except those with a mode of their own,
# which are copied.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (builtins) attrValues hasContext listToAttrs;
  inherit (lib)
    filter
    mkDefault
    mkIf
    mkOption
    nameValuePair
    partition
    types
    ;

  enabled = filter (file: file.enable) (attrValues config.environment.etc);
  parted = partition (file: file.mode == "symlink") enabled;
  linked = parted.right;
  copied = parted.wrong;

  tree = pkgs.writeTree {
    name = "etc";
    files = listToAttrs (
      map (
        file:
        nameValuePair file.target (
          if file.text != null then { inherit (file) text; } else { target = file.source; }
        )
      ) linked
    );
  };

  isInline = file: file.text != null && !hasContext file.text;

  linkEntry =
    file:
    nameValuePair "/etc/${file.target}" {
      type = "symlink";
      target = "${tree}/${file.target}";
    };

  copyEntry =
    file:
    nameValuePair "/etc/${file.target}" (
      {
        type = "file";
        inherit (file) mode uid gid;
      }
      // (if isInline file then { inherit (file) text; } else { inherit (file) source; })
    );

  fileType =
    { name, config, ... }:
    {
      options = {
        enable = mkOption {
          type = types.bool;
          default = true;
          description = "Whether the file is made.";
        };
        gid = mkOption {
          type = types.int;
          default = 0;
          description = "The group of a copied file.";
        };
        mode = mkOption {
          type = types.str;
          default = "symlink";
          example = "0600";
          description = "`symlink`, or the mode of a copy.";
        };
        source = mkOption {
          type = types.path;
          description = "The file to link to or to copy; made of `text` where that is set.";
        };
        target = mkOption {
          type = types.str;
          default = name;
          description = "The path below /etc, by default the name of the attribute.";
        };
        text = mkOption {
          type = types.nullOr types.lines;
          default = null;
          description = "The contents.";
        };
        uid = mkOption {
          type = types.int;
          default = 0;
          description = "The owner of a copied file.";
        };
      };
      config.source = mkIf (config.text != null) (
        mkDefault (pkgs.writeText "etc-${baseNameOf name}" config.text)
      );
    };
in
{
  options.environment.etc = mkOption {
    type = types.attrsOf (types.submodule fileType);
    default = { };
    example = {
      "motd".text = "welcome\n";
    };
    description = "Files in /etc, by their path there.";
  };

  config.system = {
    rootfs = listToAttrs (map linkEntry linked ++ map copyEntry copied);
    extraDependencies =
      lib.optional (linked != [ ]) tree
      ++ map (file: "${file.source}") (filter (file: !isInline file) copied);
  };
}
