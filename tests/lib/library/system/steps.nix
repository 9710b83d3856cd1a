{ lib, ... }:
{
  options.system.steps = lib.mkOption {
    type = lib.types.listOf lib.types.str;
    default = [ ];
  };
}
