# How an image runs in QEMU. The result is data: `picnix run` and `picnix test` start the program.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.virtualisation;
  inherit (lib) concatMap mkOption types;
  inherit (pkgs) qemu;
  inherit (config.images) initramfs;

  forwardType = types.submodule {
    options = {
      from = mkOption {
        type = types.enum [ "host" ];
        default = "host";
        description = "Where connections come from.";
      };
      guest.port = mkOption {
        type = types.port;
        description = "The port in the guest.";
      };
      host.port = mkOption {
        type = types.nullOr types.port;
        default = null;
        description = "The port on the host, on its loopback interface; null for any free one.";
      };
      proto = mkOption {
        type = types.enum [
          "tcp"
          "udp"
        ];
        default = "tcp";
        description = "The transport protocol.";
      };
    };
  };

  services = lib.filter (service: service.enable) (
    builtins.attrValues config.system.services
  );
in
{
  options.virtualisation = {
    cores = mkOption {
      type = types.ints.positive;
      default = 1;
      description = "The number of processors.";
    };
    forwardPorts = mkOption {
      type = types.listOf forwardType;
      default = concatMap (
        service:
        map (listen: {
          guest.port = listen.port;
          host.port = null;
          proto = listen.protocol;
        }) service.ports
      ) services;
      defaultText = lib.literalMD "every port that a service listens on, at any free port of the host";
      example = [
        {
          host.port = 8080;
          guest.port = 80;
        }
      ];
      description = "Ports of the host that lead into the guest.";
    };
    memorySize = mkOption {
      type = types.ints.positive;
      default = 256;
      description = "Memory in MiB.";
    };
    qemu.cpu = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "qemu64";
      description = "QEMU's name of the processor; null for the most capable one there is.";
    };
    qemu.options = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "-device virtio-rng-pci" ];
      description = "Further arguments of QEMU; spaces separate arguments.";
    };
    vm = mkOption {
      type = types.raw;
      readOnly = true;
      internal = true;
      default = {
        format = "initramfs";
        qemu = "${qemu}";
        inherit (qemu)
          program
          loader
          libraryPath
          moduleDir
          dataDirs
          ;
        machine = "q35";
        inherit (cfg) cores;
        inherit (cfg.qemu) cpu;
        memoryMiB = cfg.memorySize;
        image = "${initramfs.image}";
        kernel = initramfs.kernelFile;
        initramfs = initramfs.rootFile;
        # A panic ends the machine instead of leaving it there.
        kernelParams = config.boot.kernelParams ++ [ "panic=-1" ];
        forwardPorts = map (forward: {
          guestPort = forward.guest.port;
          hostPort = forward.host.port;
          protocol = forward.proto;
        }) cfg.forwardPorts;
        extraArgs = concatMap (lib.splitString " ") cfg.qemu.options;
      };
      description = "The machine as data: paths are below `qemu` and `image`.";
    };
  };
}
