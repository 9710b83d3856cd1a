{ lib, ... }:
{
  options.networking = {
    hostName = lib.mkOption {
      type = lib.types.str;
      default = "nixos";
    };
    domain = lib.mkOption {
      type = lib.types.nullOr lib.types.str;
      default = null;
    };
  };
  config.trace.networking = true;
}
