# Users, and the files that list them. They are settled when the system is built.
{ config, lib, ... }:
let
  cfg = config.users.users;
  inherit (config.users) defaultUserShell groups;
  inherit (builtins) attrValues;
  inherit (lib)
    concatMapStrings
    concatStringsSep
    mkDefault
    mkOption
    types
    ;
  inherit (import ./_ids.nix { inherit lib; }) byId gidsOf uidsOf;

  users = attrValues cfg;
  uids = uidsOf cfg;
  gids = gidsOf groups;

  shellOf =
    shell: if shell == null then "/bin/false" else "${shell}${shell.passthru.shellPath or ""}";

  passwdLine =
    user:
    concatStringsSep ":" [
      user.name
      "x"
      (toString uids.${user.name})
      (toString (gids.${user.group} or 0))
      user.description
      user.home
      (shellOf user.shell)
    ]
    + "\n";

  # The day of the last change is the first one, so that a password never counts as expired.
  shadowLine =
    user: "${user.name}:${if user.hashedPassword == null then "!" else user.hashedPassword}:1::::::\n";

  assertionsOf = user: [
    {
      assertion = groups ? ${user.group};
      message = "users.users.${user.name}.group: there is no group \"${user.group}\", add users.groups.${user.group} = { }";
    }
    {
      assertion = user.name == "root" || user.isNormalUser != user.isSystemUser;
      message = "users.users.${user.name}: set exactly one of isNormalUser and isSystemUser";
    }
  ];

  homeOf = user: {
    name = user.home;
    value = {
      type = "directory";
      mode = "0700";
      uid = uids.${user.name};
      gid = gids.${user.group};
    };
  };

  userType = types.submodule (
    { name, config, ... }:
    {
      options = {
        description = mkOption {
          type = types.strMatching "[^:\n]*";
          default = "";
          description = "The full name, or what the user is for.";
        };
        extraGroups = mkOption {
          type = types.listOf types.str;
          default = [ ];
          description = "Further groups.";
        };
        group = mkOption {
          type = types.str;
          default = if config.isNormalUser then "users" else "nogroup";
          description = "The primary group.";
        };
        hashedPassword = mkOption {
          type = types.nullOr (types.strMatching "[^:\n]*");
          default = null;
          description = "The password's hash as `mkpasswd` prints it; null for a user who has none.";
        };
        home = mkOption {
          type = types.strMatching "/[^:\n]*";
          default = if config.isNormalUser then "/home/${name}" else "/var/empty";
          description = "The home folder.";
        };
        isNormalUser = mkOption {
          type = types.bool;
          default = false;
          description = "Whether this is a person: has a home, a shell and an id from 1000 on.";
        };
        isSystemUser = mkOption {
          type = types.bool;
          default = false;
          description = "Whether this is a service's user.";
        };
        name = mkOption {
          type = types.strMatching "[a-z_][a-z0-9_-]*";
          default = name;
          description = "The login name.";
        };
        openssh.authorizedKeys.keys = mkOption {
          type = types.listOf types.singleLineStr;
          default = [ ];
          example = [ "ssh-ed25519 AAAA... ada@laptop" ];
          description = "Public keys that the user may log in with over SSH.";
        };
        shell = mkOption {
          type = types.nullOr (types.either types.package types.path);
          default = if config.isNormalUser then defaultUserShell else null;
          description = "The login shell; null for a user who cannot log in.";
        };
        uid = mkOption {
          type = types.nullOr types.ints.unsigned;
          default = null;
          description = "The id; null for a free one.";
        };
      };
    }
  );
in
{
  options.users.users = mkOption {
    type = types.attrsOf userType;
    default = { };
    example = {
      ada.isNormalUser = true;
    };
    description = "Users.";
  };

  config = {
    users.users.root = {
      uid = 0;
      group = "root";
      description = mkDefault "System administrator";
      home = mkDefault "/root";
      shell = mkDefault defaultUserShell;
    };

    assertions = lib.concatMap assertionsOf users;

    environment.etc = {
      passwd.text = concatMapStrings passwdLine (byId uids users);
      shadow = {
        mode = "0600";
        text = concatMapStrings shadowLine (byId uids users);
      };
    };

    system.rootfs = lib.genAttrs' (lib.filter (
      user: user.isNormalUser || user.name == "root"
    ) users) homeOf;
  };
}
