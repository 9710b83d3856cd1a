{ config, lib, ... }:
let
  cfg = config.networking.firewall;
in
{
  options.networking.firewall = {
    enable = lib.mkEnableOption "the firewall";
    allowedTCPPorts = lib.mkOption {
      type = lib.types.listOf lib.types.port;
      default = [ ];
    };
  };
  config = lib.mkIf cfg.enable {
    system.steps = [ "firewall ${toString cfg.allowedTCPPorts}" ];
  };
}
