# slow: builds from source
# The system of ssh.nix with its root on a squashfs, and a kernel that starts from disks and CDs by itself,
# by BIOS and by EFI.
#
#   picnix run examples/ssh-disk.nix
#   picnix image examples/ssh-disk.nix --format disk -o disk
#   picnix image examples/ssh-disk.nix --format iso -o cd
{ lib, ... }:
let
  login = {
    ssh.identity = ./ssh-key/id_ed25519;
    ssh.command = "hostname";
    ssh.expect = "ssh\n";
  };
in
{
  imports = [ ./ssh.nix ];

  networking.hostName = "ssh";
  system.root = "squashfs";
  virtualisation.memorySize = lib.mkForce 24;
  images.disk.enable = true;
  images.iso.enable = true;
  boot.kernelParams = [
    "no_timer_check"
    "panic=-1"
  ];

  tests = {
    read-only.steps = [
      { run.command = "grep -q '^/dev/root / squashfs ro' /proc/mounts"; }
      { run.command = "! echo x >/etc/x"; }
      { run.command = "echo x >/tmp/x"; }
    ];

    # From the disk, as a PC starts it.
    bios = {
      format = "disk";
      steps = [
        { run.command = "grep -q PARTUUID /proc/cmdline"; }
        login
        { powerOff = true; }
      ];
    };
    # The same disk, as newer PCs start it.
    efi = {
      format = "disk-efi";
      steps = [
        { run.command = "[ -d /sys/firmware/efi ]"; }
        { run.command = "grep -q PARTUUID /proc/cmdline"; }
        login
        { powerOff = true; }
      ];
    };
    sata = {
      format = "disk-sata";
      steps = [
        { run.command = "ls -d /sys/block/sda/sda2"; }
        { powerOff = true; }
      ];
    };

    # From a CD, in both ways; and the same bytes on a disk.
    cd = {
      format = "iso";
      steps = [
        { run.command = "grep -q root=/dev/sr0 /proc/cmdline && ls -d /sys/block/sr0"; }
        login
        { powerOff = true; }
      ];
    };
    cd-efi = {
      format = "iso-efi";
      steps = [
        { run.command = "[ -d /sys/firmware/efi ]"; }
        { run.command = "grep -q root=/dev/sr0 /proc/cmdline && ls -d /sys/block/sr0"; }
        login
        { powerOff = true; }
      ];
    };
    stick = {
      format = "iso-disk";
      steps = [
        { run.command = "grep -q 'PARTUUID=.*-01' /proc/cmdline && ls -d /sys/block/sda/sda1"; }
        login
        { powerOff = true; }
      ];
    };
    stick-efi = {
      format = "iso-disk-efi";
      steps = [
        { run.command = "[ -d /sys/firmware/efi ]"; }
        { run.command = "grep -q 'PARTUUID=.*-01' /proc/cmdline && ls -d /sys/block/sda/sda1"; }
        login
        { powerOff = true; }
      ];
    };
  };
}
