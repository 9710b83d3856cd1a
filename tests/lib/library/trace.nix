{ lib, ... }:
{
  options.trace = lib.mkOption {
    type = lib.types.attrsOf lib.types.bool;
    default = { };
  };
}
