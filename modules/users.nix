# Users and groups, and the files that list them. They are settled when the system is built.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.users;
  inherit (builtins) attrValues elem foldl';
  inherit (lib)
    concatMapStrings
    concatStringsSep
    mkDefault
    mkOption
    types
    ;

  # Where ids are given out to those without one: NixOS's ranges.
  firstSystemId = 400;
  firstNormalId = 1000;

  users = attrValues cfg.users;
  groups = attrValues cfg.groups;

  # Gives every record an id: its own, or the lowest free one from `firstOf record` on.
  numbered =
    key: firstOf: records:
    let
      next = taken: id: if elem id taken then next taken (id + 1) else id;
      step =
        state: record:
        let
          id = if record.${key} != null then record.${key} else next state.taken (firstOf record);
        in
        {
          taken = state.taken ++ [ id ];
          ids = state.ids // {
            ${record.name} = id;
          };
        };
      given = map (record: record.${key}) (lib.filter (record: record.${key} != null) records);
    in
    (foldl' step {
      taken = given;
      ids = { };
    } records).ids;

  uids = numbered "uid" (
    user: if user.isNormalUser then firstNormalId else firstSystemId
  ) users;
  gids = numbered "gid" (_group: firstSystemId) groups;

  membersOf =
    group:
    lib.unique (
      group.members
      ++ map (user: user.name) (lib.filter (user: elem group.name user.extraGroups) users)
    );

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
  shadowLine =
    user: "${user.name}:${if user.hashedPassword == null then "!" else user.hashedPassword}:1::::::\n";
  groupLine =
    group: "${group.name}:x:${toString gids.${group.name}}:${concatStringsSep "," (membersOf group)}\n";

  # Root first: programs take the first line with an id.
  byId = ids: lib.sort (a: b: ids.${a.name} < ids.${b.name});

  shellType = types.nullOr (types.either types.package types.path);

  userType =
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
        shell = mkOption {
          type = shellType;
          default = if config.isNormalUser then cfg.defaultUserShell else null;
          description = "The login shell; null for one that refuses.";
        };
        uid = mkOption {
          type = types.nullOr types.int;
          default = null;
          description = "The id; null for a free one.";
        };
      };
    };

  groupType =
    { name, ... }:
    {
      options = {
        gid = mkOption {
          type = types.nullOr types.int;
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
    };
in
{
  options.users = {
    defaultUserShell = mkOption {
      type = types.either types.package types.path;
      default = pkgs.busybox;
      defaultText = lib.literalExpression "pkgs.busybox";
      description = "The login shell of root and of normal users.";
    };
    groups = mkOption {
      type = types.attrsOf (types.submodule groupType);
      default = { };
      description = "Groups.";
    };
    users = mkOption {
      type = types.attrsOf (types.submodule userType);
      default = { };
      description = "Users.";
    };
  };

  config = {
    users = {
      users.root = {
        uid = 0;
        group = "root";
        description = mkDefault "System administrator";
        home = mkDefault "/root";
        shell = mkDefault cfg.defaultUserShell;
      };
      groups.root.gid = 0;
      groups.nogroup.gid = 65534;
      groups.users.gid = 100;
    };

    assertions =
      map (user: {
        assertion = cfg.groups ? ${user.group};
        message = "users.users.${user.name}.group: there is no group \"${user.group}\", add users.groups.${user.group} = { }";
      }) users
      ++ map (user: {
        assertion = user.name == "root" || user.isNormalUser != user.isSystemUser;
        message = "users.users.${user.name}: set exactly one of isNormalUser and isSystemUser";
      }) users;

    environment.etc = {
      passwd.text = concatMapStrings passwdLine (byId uids users);
      group.text = concatMapStrings groupLine (byId gids groups);
      shadow = {
        mode = "0600";
        text = concatMapStrings shadowLine (byId uids users);
      };
    };

    system.rootfs = {
      "/root" = {
        type = "directory";
        mode = "0700";
      };
    }
    // lib.genAttrs' (lib.filter (user: user.isNormalUser) users) (user: {
      name = user.home;
      value = {
        type = "directory";
        mode = "0700";
        uid = uids.${user.name};
        gid = gids.${user.group};
      };
    });
  };
}
