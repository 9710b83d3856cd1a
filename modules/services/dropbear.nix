# A small SSH server. Users log in with the public keys in their `openssh.authorizedKeys.keys`.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.dropbear;
  inherit (builtins) attrValues filter;
  inherit (lib)
    mkEnableOption
    mkIf
    mkOption
    types
    ;

  keysOf = user: user.openssh.authorizedKeys.keys;
  users = filter (user: keysOf user != [ ]) (attrValues config.users.users);

  # dropbear reads only what its user alone may write.
  filesOf = user: {
    "${user.home}/.ssh" = {
      type = "directory";
      mode = "0700";
      inherit (idsOf user) uid gid;
    };
    "${user.home}/.ssh/authorized_keys" = {
      type = "file";
      mode = "0600";
      text = lib.concatMapStrings (key: "${key}\n") (keysOf user);
      inherit (idsOf user) uid gid;
    };
  };
  idsOf = user: { inherit (config.system.rootfs.${user.home}) uid gid; };

  hostKey = "${cfg.stateDir}/dropbear_ed25519_host_key";
in
{
  options.services.dropbear = {
    enable = mkEnableOption "dropbear, a small SSH server";
    package = mkOption {
      type = types.package;
      default = pkgs.pkgsMusl.dropbear;
      defaultText = lib.literalExpression "pkgs.pkgsMusl.dropbear";
      description = "The package with the programs `dropbear` and `dropbearkey`.";
    };
    port = mkOption {
      type = types.port;
      default = 22;
      description = "The TCP port to listen on.";
    };
    stateDir = mkOption {
      type = types.str;
      default = if config.system.root == "memory" then "/etc/dropbear" else "/run/dropbear";
      defaultText = lib.literalMD "`/etc/dropbear`, or a folder in memory where that cannot be changed";
      description = "The folder of the host's key, which is made where it is missing.";
    };
  };

  config = mkIf cfg.enable {
    programs.busybox.applets = [ "mkdir" ];

    # The network's random device seeds the host key; the shells of users want terminals.
    boot.kernel.config = {
      FUTEX = "y";
      POSIX_TIMERS = "y";
    };

    system.services.dropbear = {
      description = "SSH on port ${toString cfg.port}";
      dependencies = [ "network" ];
      script = ''
        if [ ! -e ${hostKey} ]; then
          mkdir -p ${cfg.stateDir}
          ${cfg.package}/bin/dropbearkey -t ed25519 -f ${hostKey}
        fi
        exec ${cfg.package}/bin/dropbear -F -r ${hostKey} -p ${toString cfg.port}
      '';
      ports = [ { inherit (cfg) port; } ];
    };

    system.rootfs = lib.mergeAttrsList (map filesOf users);
    environment.etc.shells.text = "${config.programs.busybox.package}/bin/sh\n/bin/sh\n";
  };
}
