# Logins on the consoles.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.getty;
  busybox = config.programs.busybox.package;
  inherit (lib) mkIf mkOption types;

  noPasswords = lib.all (user: user.hashedPassword == null) (
    builtins.attrValues config.users.users
  );

  # Whether the kernel's messages would come between what people type.
  isNoisy = config.boot.consoleLogLevel > quietLevel;
  # Only errors and worse.
  quietLevel = 4;

  # "ttyS0" of "console=ttyS0,115200n8".
  consoleOf = param: builtins.head (lib.splitString "," (lib.removePrefix "console=" param));

  login = pkgs.writeScript "login" ''
    #!${busybox}/bin/sh
    exec ${busybox}/bin/login -f ${cfg.autologinUser}
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
    login = mkOption {
      type = types.bool;
      default = true;
      description = ''
        Whether one logs in on the consoles. Without it root's shell runs there from the start, and
        the system needs no program for logins.
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
    programs.busybox.applets =
      (
        if cfg.login then
          [
            "getty"
            "login"
          ]
        else
          [ "cttyhack" ]
      )
      ++ lib.optional isNoisy "dmesg";

    assertions = [
      {
        assertion = cfg.login || lib.length cfg.ttys <= 1;
        message = "services.getty.login: without logins there is one console only, but there are ${lib.concatStringsSep ", " cfg.ttys}";
      }
    ];

    system.services = lib.genAttrs' cfg.ttys (tty: {
      name = "getty-${tty}";
      value = {
        description = "login on ${tty}";
        dependencies = [ (if isNoisy then "quiet-console" else "network") ];
        logging = "console";
        process.argv =
          if cfg.login then
            [ "${busybox}/bin/getty" ]
            ++ loginOptions
            ++ [
              "115200"
              tty
              "vt100"
            ]
          else
            [
              "${busybox}/bin/cttyhack"
              "${busybox}/bin/sh"
              "-l"
            ];
      };
    })
    // lib.optionalAttrs isNoisy {
      # From here on people type there: only errors may come between.
      quiet-console = {
        description = "keep kernel messages but errors from the console";
        kind = "oneshot";
        dependencies = [ "network" ];
        script = "dmesg -n ${toString quietLevel}\n";
      };
    };
  };
}
