# Logins on the consoles.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.getty;
  inherit (lib) mkIf mkOption types;

  noPasswords = lib.all (user: user.hashedPassword == null) (
    builtins.attrValues config.users.users
  );

  # "ttyS0" of "console=ttyS0,115200n8".
  consoleOf = param: builtins.head (lib.splitString "," (lib.removePrefix "console=" param));

  login = pkgs.writeScript "login" ''
    #!${pkgs.runtimeShell}
    exec ${pkgs.busybox}/bin/login -f ${cfg.autologinUser}
  '';
  loginOptions = lib.optionals (cfg.autologinUser != null) [
    "-n"
    "-l"
    "${login}"
  ];
in
{
  options.services.getty = {
    enable = mkOption {
      type = types.bool;
      default = true;
      description = "Whether one can log in on the consoles.";
    };
    autologinUser = mkOption {
      type = types.nullOr types.str;
      default = if noPasswords then "root" else null;
      defaultText = lib.literalMD "`root` as long as no user has a password, null otherwise";
      description = ''
        The user that is logged in on the consoles without being asked; null to ask for a name and
        a password. Without any password this is root, as there would be no other way in.
      '';
    };
    ttys = mkOption {
      type = types.listOf types.str;
      default = lib.unique (
        map consoleOf (lib.filter (lib.hasPrefix "console=") config.boot.kernelParams)
      );
      defaultText = lib.literalMD "the consoles on the kernel command line";
      example = [ "ttyS0" ];
      description = "The terminals to log in on.";
    };
  };

  config = mkIf cfg.enable {
    system.services = lib.genAttrs' cfg.ttys (tty: {
      name = "getty-${tty}";
      value = {
        description = "login on ${tty}";
        dependencies = [ "quiet-console" ];
        logging = "console";
        process.argv = [
          "${pkgs.busybox}/bin/getty"
        ]
        ++ loginOptions
        ++ [
          "115200"
          tty
          "vt100"
        ];
      };
    })
    // {
      # From here on people type there: only errors may come between.
      quiet-console = {
        description = "keep kernel messages but errors from the console";
        kind = "oneshot";
        dependencies = [ "network" ];
        script = "dmesg -n 4\n";
      };
    };
  };
}
