# slow: builds from source
# A machine that gets its address by DHCP and lets root in over SSH.
#
#   picnix run examples/ssh.nix
{ config, ... }:
{
  profiles.tiny.enable = true;
  boot.consoleLogLevel = 4;
  networking.hostName = "ssh";
  services.getty.login = false;
  services.dropbear.enable = true;

  # Files of a login go to a file system with a limit.
  boot.kernel.config = {
    SHMEM = "y";
    TMPFS = "y";
  };

  # Put your own key here: the secret of this one lies beside this file, for everybody to read.
  users.users.root.openssh.authorizedKeys.keys = [
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPTsuYbUUunZLWBw2+IKijcqvBlgnuCuLH4nR70aGNUZ example; its secret is public"
  ];

  environment.systemPackages = [ config.programs.busybox.package ];
  programs.busybox.applets = [
    "cat"
    "ls"
    "grep"
    "sleep"
    "uname"
  ];

  virtualisation.memorySize = 16;

  # picnix test examples/ssh.nix
  tests = {
    login.steps = [
      {
        ssh.identity = ./ssh-key/id_ed25519;
        ssh.command = "hostname; echo $USER; uname -s";
        ssh.expect = "ssh\nroot\nLinux\n";
      }
    ];

    network.steps = [
      { run.command = "until ip route | grep -q default; do sleep 1; done"; }
      { run.command = "until [ -s ${config.services.dropbear.stateDir}/dropbear_ed25519_host_key ]; do sleep 1; done"; }
    ];

    power-off.steps = [
      { run.command = "cat /proc/uptime"; }
      { powerOff = true; }
    ];
  };
}
