# A web server for static files: busybox's httpd.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.httpd;
  inherit (lib)
    mkEnableOption
    mkIf
    mkOption
    types
    ;
in
{
  options.services.httpd = {
    enable = mkEnableOption "a web server for static files";
    package = mkOption {
      type = types.package;
      default = config.programs.busybox.package;
      defaultText = lib.literalExpression "config.programs.busybox.package";
      description = "The package with the program `httpd`.";
    };
    port = mkOption {
      type = types.port;
      default = 80;
      description = "The TCP port to listen on.";
    };
    root = mkOption {
      type = types.path;
      example = lib.literalExpression "./www";
      description = "The folder that is served; `index.html` is the page of a folder.";
    };
  };

  config = mkIf cfg.enable {
    programs.busybox.applets = [ "httpd" ];

    system.services.httpd = {
      description = "serve ${baseNameOf cfg.root} on port ${toString cfg.port}";
      dependencies = [ "network" ];
      # It binds its port as root and then becomes its user.
      process.argv = [
        "${cfg.package}/bin/httpd"
        "-f"
        "-p"
        (toString cfg.port)
        "-u"
        "httpd:httpd"
        "-h"
        "${cfg.root}"
      ];
      ports = [ { inherit (cfg) port; } ];
    };

    users.users.httpd = {
      description = "Web server";
      isSystemUser = true;
      group = "httpd";
    };
    users.groups.httpd = { };
  };
}
