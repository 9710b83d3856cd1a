# The smallest useful system: a name, a greeting, a shell, and a web page.
#
#   picnix run examples/hello.nix
{ pkgs, ... }:
{
  networking.hostName = "hello";

  services.httpd = {
    enable = true;
    root = ./hello-www;
  };

  environment.etc."motd".text = "hello from picnix\n";
  environment.systemPackages = [ pkgs.busybox ];

  # picnix test examples/hello.nix
  tests = {
    page.steps = [ { fetch.expect = "<h1>hello from picnix</h1>"; } ];

    shell.steps = [
      { waitFor = "hello from picnix"; }
      {
        run.command = "hostname";
        run.expect = "hello\n";
      }
      {
        run.command = "cat /etc/motd";
        run.expect = "hello from picnix\n";
      }
    ];

    power-off.steps = [
      { waitFor = "hello from picnix"; }
      { powerOff = true; }
    ];
  };
}
