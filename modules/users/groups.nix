# Groups, and the file that lists them. They are settled when the system is built.
{ config, lib, ... }:
let
  cfg = config.users.groups;
  inherit (builtins) attrValues elem;
  inherit (lib) concatStringsSep mkOption types;
  inherit (import ./_ids.nix { inherit lib; }) byId gidsOf;

  gids = gidsOf cfg;

  membersOf =
    group:
    lib.unique (
      group.members
      ++ map (user: user.name) (
        lib.filter (user: elem group.name user.extraGroups) (attrValues config.users.users)
      )
    );

  line =
    group: "${group.name}:x:${toString gids.${group.name}}:${concatStringsSep "," (membersOf group)}\n";

  groupType = types.submodule (
    { name, ... }:
    {
      options = {
        gid = mkOption {
          type = types.nullOr types.ints.unsigned;
          default = null;
          description = "The id; null for a free one.";
        };
        members = mkOption {
          type = types.listOf types.str;
          default = [ ];
          description = "Users of the group, besides those whose `extraGroups` name it.";
        };
        name = mkOption {
          type = types.strMatching "[a-z_][a-z0-9_-]*";
          default = name;
          description = "The name.";
        };
      };
    }
  );
in
{
  options.users.groups = mkOption {
    type = types.attrsOf groupType;
    default = { };
    example = {
      backup.members = [ "ada" ];
    };
    description = "Groups.";
  };

  config = {
    users.groups = {
      root.gid = 0;
      users.gid = 100;
      nogroup.gid = 65534;
    };
    environment.etc.group.text = lib.concatMapStrings line (byId gids (attrValues cfg));
  };
}
