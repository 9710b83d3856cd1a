# Where the system's files are while it runs.
#
# In memory they can be changed, and changes are gone with the power. On a squashfs they cannot; what
# programs write goes to /run and /tmp, which are in memory. The kernel finds the file system by
# itself, so there is no stage before it.
{ config, lib, ... }:
let
  inherit (lib) mkAfter mkIf mkOption types;
  isReadOnly = config.system.root == "squashfs";
in
{
  options.system.root = mkOption {
    type = types.enum [
      "memory"
      "squashfs"
    ];
    default = "memory";
    description = ''
      Where the system's files are: unpacked into memory when it starts, or on a medium as a
      compressed file system that cannot be changed.
    '';
  };

  config = mkIf isReadOnly {
    boot.kernel.config = {
      BLOCK = "y";
      # Modules ask for what their media need; this is the table that images of disks have.
      EFI_PARTITION = "n";
      PARTITION_ADVANCED = "y";
      MISC_FILESYSTEMS = "y";
      SHMEM = "y";
      SQUASHFS = "y";
      SQUASHFS_XZ = "y";
      SWAP = lib.mkDefault "n";
      TMPFS = "y";
    };

    images.squashfs = { };
    virtualisation.format = lib.mkDefault "squashfs";

    programs.busybox.applets = [
      "ln"
      "readlink"
    ];

    system.services.mount.script = mkAfter ''
      system=$(readlink /run/current-system)
      mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs /run
      ln -s "$system" /run/current-system
      mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs /tmp
    '';
  };
}
