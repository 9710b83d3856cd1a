# Tests of a configuration: what is done to a booted system, and what it must answer.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (builtins) attrNames head;
  inherit (lib) mkOption types;

  stepType = types.attrTag {
    fetch = mkOption {
      type = types.submodule {
        options = {
          expect = mkOption {
            type = types.str;
            description = "A text that the answer must contain.";
          };
          path = mkOption {
            type = types.str;
            default = "/";
            description = "The path of the URL.";
          };
          port = mkOption {
            type = types.port;
            default = 80;
            description = "The port in the guest; it must be forwarded.";
          };
        };
      };
      description = "Fetch a page over HTTP.";
    };
    powerOff = mkOption {
      type = types.enum [ true ];
      description = "Power off from within, and wait for the machine to end.";
    };
    run = mkOption {
      type = types.submodule {
        options = {
          command = mkOption {
            type = types.str;
            description = "A line for the shell on the console.";
          };
          expect = mkOption {
            type = types.nullOr types.str;
            default = null;
            description = "Exactly what the command must print; null for anything.";
          };
        };
      };
      description = "Run a command in the guest.";
    };
    ssh = mkOption {
      type = types.submodule {
        options = {
          command = mkOption {
            type = types.str;
            description = "A command for the user's shell.";
          };
          expect = mkOption {
            type = types.nullOr types.str;
            default = null;
            description = "Exactly what the command must print; null for anything.";
          };
          identity = mkOption {
            type = types.path;
            description = ''
              The user's secret key in OpenSSH's format, without a passphrase. It is copied to the
              store, which everybody may read: a key for tests only.
            '';
          };
          port = mkOption {
            type = types.port;
            default = 22;
            description = "The port in the guest; it must be forwarded.";
          };
          user = mkOption {
            type = types.str;
            default = "root";
            description = "Who logs in.";
          };
        };
      };
      description = "Log in from the host over SSH and run a command.";
    };
    waitFor = mkOption {
      type = types.str;
      description = "Wait for a line on the console that contains this text.";
    };
  };

  # The client is picnix's own, so that a test needs nothing of the host.
  client = pkgs.buildPackages.pkgsMusl.dropbear.client;
  keyOf =
    identity:
    pkgs.runCommand "ssh-key" { inherit identity; } ''
      ${client}/bin/dropbearconvert openssh dropbear "$identity" "$out"
    '';

  render =
    step:
    let
      type = head (attrNames step);
      value = step.${type};
    in
    {
      inherit type;
    }
    // {
      fetch = value;
      powerOff = { };
      run = value;
      ssh = value // {
        client = "${client}/bin/dbclient";
        identity = "${keyOf value.identity}";
      };
      waitFor = {
        line = value;
      };
    }
    .${type};

  inherit (config.virtualisation) machines;

  testType =
    { config, ... }:
    {
      options = {
        format = mkOption {
          type = types.nullOr types.str;
          default = null;
          example = "disk";
          description = "The image to start from; null for the one of `virtualisation.format`.";
        };
        rendered = mkOption {
          type = types.raw;
          readOnly = true;
          internal = true;
          default = {
            timeoutSeconds = config.timeout;
            steps = map render config.steps;
          }
          // lib.optionalAttrs (config.format != null) {
            machine = machines.${config.format};
          };
          description = "The test as the tool reads it.";
        };
        steps = mkOption {
          type = types.listOf stepType;
          default = [ ];
          description = "What is done, in order.";
        };
        timeout = mkOption {
          type = types.ints.positive;
          default = 120;
          description = "Seconds after which the test has failed.";
        };
      };
    };
in
{
  options.tests = mkOption {
    type = types.attrsOf (types.submodule testType);
    default = { };
    description = "Boot tests, run by `picnix test`; each begins with a machine of its own.";
  };
}
