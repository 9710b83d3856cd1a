# Services as data: what runs, as whom, after what. Which supervisor runs them is the concern of
# another module (system/init.nix), so nothing here knows one.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;

  portType = types.submodule {
    options = {
      port = mkOption {
        type = types.port;
        description = "The number of the port.";
      };
      protocol = mkOption {
        type = types.enum [
          "tcp"
          "udp"
        ];
        default = "tcp";
        description = "The transport protocol.";
      };
    };
  };

  inherit (config.programs) busybox;

  serviceType = types.submodule (
    { config, ... }:
    {
      options = {
        enable = mkOption {
          type = types.bool;
          default = true;
          description = "Whether the service is part of the system.";
        };
        dependencies = mkOption {
          type = types.listOf types.str;
          default = [ ];
          description = ''
            Services that come first: a oneshot must have finished, a daemon must have been started.
          '';
        };
        description = mkOption {
          type = types.str;
          default = "";
          description = "What the service does, in a few words.";
        };
        environment = mkOption {
          type = types.attrsOf types.str;
          default = { };
          description = "Environment variables of the process.";
        };
        kind = mkOption {
          type = types.enum [
            "daemon"
            "oneshot"
          ];
          default = "daemon";
          description = "Whether the process stays, or does its work and ends.";
        };
        logging = mkOption {
          type = types.enum [
            "console"
            "discard"
            "kernel"
          ];
          default = if config.kind == "oneshot" then "console" else "kernel";
          defaultText = lib.literalMD "`console` for a oneshot, `kernel` for a daemon";
          description = ''
            Where the process's output goes: to the console, nowhere, or into the kernel's log, which
            `dmesg` shows and which needs no further program.
          '';
        };
        path = mkOption {
          type = types.listOf types.package;
          default = [ busybox.package ];
          defaultText = lib.literalExpression "[ config.programs.busybox.package ]";
          description = "Packages whose programs the process finds.";
        };
        ports = mkOption {
          type = types.listOf portType;
          default = [ ];
          description = "Ports that the service listens on.";
        };
        process.argv = mkOption {
          type = types.nullOr (types.listOf (types.coercedTo types.path (path: "${path}") types.str));
          default = null;
          description = "The program and its arguments; or null, and a `script`.";
        };
        restart = mkOption {
          type = types.enum [
            "always"
            "on-failure"
            "never"
          ];
          default = "always";
          description = "When a daemon that ended is started again.";
        };
        script = mkOption {
          type = types.nullOr types.lines;
          default = null;
          description = "Shell commands that are the service, where `process.argv` is null.";
        };
        user = mkOption {
          type = types.str;
          default = "root";
          description = "The user that the process runs as, with that user's group.";
        };
      };
    }
  );
in
{
  options.system.services = mkOption {
    type = types.attrsOf serviceType;
    default = { };
    description = "Everything that is started when the system is, for any supervisor.";
  };
}
