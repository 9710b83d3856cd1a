# slow: builds from source
# The system of ssh.nix with its root on a squashfs, and a kernel that starts from disks by itself, by
# BIOS and by EFI.
#
#   picnix run examples/ssh-disk.nix
#   picnix image examples/ssh-disk.nix --format disk -o disk
{ lib, ... }:
{
  imports = [ ./ssh.nix ];

  networking.hostName = "ssh";
  system.root = "squashfs";
  virtualisation.memorySize = lib.mkForce 24;
  images.disk.enable = true;
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
        {
          ssh.identity = ./ssh-key/id_ed25519;
          ssh.command = "hostname";
          ssh.expect = "ssh\n";
        }
        { powerOff = true; }
      ];
    };
    # The same disk, as newer PCs start it.
    efi = {
      format = "disk-efi";
      steps = [
        { run.command = "[ -d /sys/firmware/efi ]"; }
        { run.command = "grep -q PARTUUID /proc/cmdline"; }
        {
          ssh.identity = ./ssh-key/id_ed25519;
          ssh.command = "hostname";
          ssh.expect = "ssh\n";
        }
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
  };
}
