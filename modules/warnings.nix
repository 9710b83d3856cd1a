{ lib, ... }:
let
  inherit (lib) mkOption types;
in
{
  options.warnings = mkOption {
    type = types.listOf types.str;
    internal = true;
    default = [ ];
    description = "Messages shown when the system is evaluated, without stopping it.";
  };
}
