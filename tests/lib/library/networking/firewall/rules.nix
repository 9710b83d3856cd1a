{ lib, ... }:
{
  options.networking.firewall.rules = lib.mkOption {
    type = lib.types.lines;
    default = "";
  };
}
