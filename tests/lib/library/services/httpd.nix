{ config, lib, ... }:
let
  cfg = config.services.httpd;
in
{
  options.services.httpd = {
    enable = lib.mkEnableOption "the web server";
    port = lib.mkOption {
      type = lib.types.port;
      default = 80;
    };
    hostName = lib.mkOption {
      type = lib.types.str;
      default = config.networking.hostName;
    };
  };
  config = lib.mkIf cfg.enable {
    environment.etc."httpd.conf".text = "port ${toString cfg.port}";
    networking.firewall.allowedTCPPorts = [ cfg.port ];
    system.steps = [ "httpd" ];
  };
}
