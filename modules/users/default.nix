{ config, lib, ... }:
let
  inherit (lib) mkOption types;
in
{
  options.users.defaultUserShell = mkOption {
    type = types.either types.package types.path;
    default = config.programs.busybox.package;
    defaultText = lib.literalExpression "config.programs.busybox.package";
    description = "The login shell of root and of normal users.";
  };
}
