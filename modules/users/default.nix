{ lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
in
{
  options.users.defaultUserShell = mkOption {
    type = types.either types.package types.path;
    default = pkgs.busybox;
    defaultText = lib.literalExpression "pkgs.busybox";
    description = "The login shell of root and of normal users.";
  };
}
