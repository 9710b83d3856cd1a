# What a login shell finds: programs, variables, prompt.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.environment;
  inherit (lib) mkIf mkOption types;

  exports = lib.concatStrings (
    lib.mapAttrsToList (
      name: value: "export ${name}=${lib.escapeShellArg (toString value)}\n"
    ) cfg.variables
  );
in
{
  options.environment = {
    binsh = mkOption {
      type = types.nullOr types.path;
      default = "${config.programs.busybox.package}/bin/sh";
      defaultText = lib.literalExpression ''"''${config.programs.busybox.package}/bin/sh"'';
      description = "What `/bin/sh` is; null for a system without it.";
    };
    pathsToLink = mkOption {
      type = types.listOf types.str;
      default = [ "/bin" ];
      description = "Folders of the packages that appear in `/run/current-system/sw`.";
    };
    systemPackages = mkOption {
      type = types.listOf types.package;
      default = [ ];
      example = lib.literalExpression "[ pkgs.busybox ]";
      description = "Packages whose programs every login shell finds.";
    };
    variables = mkOption {
      type = types.attrsOf (types.either types.str types.int);
      default = { };
      example = {
        EDITOR = "vi";
      };
      description = "Environment variables of login shells.";
    };
  };

  config = {
    environment.etc.profile.text = ''
      export PATH=/run/current-system/sw/bin
      export PS1='\u@\h:\w\$ '
    ''
    + exports;

    system.rootfs = mkIf (cfg.binsh != null) {
      "/bin/sh" = {
        type = "symlink";
        target = cfg.binsh;
      };
    };
    system.extraDependencies = mkIf (cfg.binsh != null) [ cfg.binsh ];
  };
}
