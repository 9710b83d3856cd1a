# slow: builds from source
# The smallest system that one can type at: a kernel, an initramfs, a shell on the serial line. It
# has no network and nothing else that nobody asked for.
#
#   picnix run examples/tiny.nix
{ config, pkgs, ... }:
let
  # What the kernel calls the processor.
  machine =
    if pkgs.hostPlatform.isMips then "mips" else pkgs.hostPlatform.parsed.cpu.name;
in
{
  profiles.tiny.enable = true;
  boot.consoleLogLevel = 4;
  services.getty.login = false;
  system.pseudoTerminals = false;

  networking = {
    enable = false;
    hostName = "tiny";
  };

  environment.systemPackages = [ config.programs.busybox.package ];
  programs.busybox.applets = [
    "cat"
    "ls"
    "uname"
  ];

  # picnix test examples/tiny.nix
  tests = {
    shell.steps = [
      {
        run.command = "hostname";
        run.expect = "tiny\n";
      }
      {
        run.command = "uname -sm";
        run.expect = "Linux ${machine}\n";
      }
      { run.command = "ls /proc/1/exe"; }
    ];

    # The kernel as the image has it: a machine with enough memory starts it unpacked.
    packed = {
      format = "initramfs";
      steps = [ { run.command = "true"; } ];
    };

    power-off.steps = [
      { run.command = "cat /proc/uptime"; }
      { powerOff = true; }
    ];
  };
}
