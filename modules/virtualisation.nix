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
  # The board that stands for the target; a PC where the target is the builders' own kind.
  board = pkgs.hostPlatform.qemu or null;
  qemu =
    if board == null || board.system == "x86_64" then
      pkgs.buildPackages.qemu
    else
      pkgs.buildPackages.qemu.override { processor = board.system; };
  inherit (config.images) initramfs;

  fromDisk = kind: {
    format = "disk";
    image = "${config.images.disk.image}";
    drive = {
      file = "disk.img";
      inherit kind;
    };
  };
  fromIso = kind: {
    format = "iso";
    image = "${config.images.iso.image}";
    drive = {
      file = "iso.iso";
      inherit kind;
    };
  };
  byEfi = {
    inherit (pkgs.buildPackages.OVMF) firmware;
    memoryMiB = lib.max cfg.memorySize firmwareMemory;
  };

  # What differs between the formats: where the image is, and what starts it.
  formats = {
    disk = fromDisk "virtio";
    disk-efi = fromDisk "virtio" // byEfi;
    disk-sata = fromDisk "sata";
    floppy = {
      image = "${config.images.floppy.image}";
      drive = {
        file = "floppy.img";
        kind = "floppy";
      };
    };
    initramfs = {
      image = "${initramfs.image}";
      kernel = initramfs.kernelFile;
      initramfs = initramfs.rootFile;
      inherit kernelParams;
    };
    initramfs-unpacked = formats.initramfs // {
      format = "initramfs";
      image = "${
        if initramfs.unpacked != null then
          initramfs.unpacked
        else
          throw "virtualisation.format: \"initramfs-unpacked\" is for kernels for x86_64 that are built from source (boot.kernel.fromSource); use \"initramfs\""
      }";
    };
    iso = fromIso "cd";
    iso-efi = fromIso "cd" // byEfi;
    iso-disk = fromIso "sata";
    iso-disk-efi = fromIso "sata" // byEfi;
    iso-usb = fromIso "usb";
    iso-usb-efi = fromIso "usb" // byEfi;
    squashfs = {
      image = "${config.images.squashfs.image}";
      kernel = initramfs.kernelFile;
      drive = {
        file = "squashfs.img";
        kind = "virtio";
      };
      kernelParams = kernelParams ++ config.images.squashfs.kernelParams ++ [ "root=/dev/vda" ];
    };
    uboot = {
      image = "${config.images.uboot.image}";
      drive = {
        file = "disk.img";
        kind = uboot.disk;
      };
    }
    // (
      if uboot.firmware == "kernel" then { kernel = "u-boot.bin"; } else { firmware = uboot.file; }
    );
  };
  uboot = config.images.uboot.package;
  # What EFI's own programs take, whatever the system needs.
  firmwareMemory = 128;
  # With so much a kernel of a few MiB is no matter.
  enoughForUnpacked = 64;
  # A panic ends the machine instead of leaving it there.
  kernelParams = config.boot.kernelParams ++ [ "panic=-1" ];

  machineOf =
    format:
    {
      inherit format;
      qemu = "${qemu}";
      inherit (qemu)
        program
        loader
        libraryPath
        moduleDir
        dataDirs
        ;
      inherit (cfg) cores;
      inherit (cfg.qemu) cpu machine;
      memoryMiB = cfg.memorySize;
      forwardPorts = map (forward: {
        guestPort = forward.guest.port;
        hostPort = forward.host.port;
        protocol = forward.proto;
      }) cfg.forwardPorts;
      extraArgs = concatMap (lib.splitString " ") cfg.qemu.options;
    }
    // lib.filterAttrs (_name: value: value != null) {
      inherit (cfg.qemu) devices diskDevice networkDevice;
    }
    // formats.${format};

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
    format = mkOption {
      type = types.enum (lib.attrNames formats);
      default =
        if initramfs.unpacked != null && cfg.memorySize >= enoughForUnpacked then
          "initramfs-unpacked"
        else
          "initramfs";
      defaultText = lib.literalMD ''
        `initramfs-unpacked` where there is such a kernel and memory for it, else `initramfs`
      '';
      example = "floppy";
      description = ''
        The image that the machine starts from, and how it is plugged in. `initramfs-unpacked` is the
        same system with the same kernel, but this is not packed: emulated machines start sooner.
      '';
    };
    machines = mkOption {
      type = types.lazyAttrsOf types.raw;
      readOnly = true;
      internal = true;
      default = lib.genAttrs (lib.attrNames formats) machineOf;
      description = "The machine as data for every image: paths are below `qemu` and `image`.";
    };
    memorySize = mkOption {
      type = types.ints.positive;
      default = 256;
      description = "Memory in MiB.";
    };
    qemu.cpu = mkOption {
      type = types.nullOr types.str;
      default = board.cpu or null;
      defaultText = lib.literalMD "the target's; null for a PC";
      example = "qemu64";
      description = "QEMU's name of the processor; null for the most capable one there is.";
    };
    qemu.devices = mkOption {
      type = types.nullOr (types.listOf types.str);
      default = null;
      example = [ "virtio-rng-device" ];
      description = ''
        QEMU's names of devices beside disks and network; null for a source of randomness on PCI.
      '';
    };
    qemu.diskDevice = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "virtio-blk-device";
      description = "QEMU's name of the device that disks are at; null for virtio on PCI.";
    };
    qemu.machine = mkOption {
      type = types.str;
      default = board.machine or "q35";
      defaultText = lib.literalMD "the target's; `q35` for a PC";
      example = "malta";
      description = "QEMU's name of the board.";
    };
    qemu.networkDevice = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "virtio-net-device";
      description = "QEMU's name of the network card; null for virtio on PCI.";
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
      default = cfg.machines.${cfg.format};
      description = "The machine as data: paths are below `qemu` and `image`.";
    };
  };
}
