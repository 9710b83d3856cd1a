# What every system has: the modules that take part without being mentioned by a configuration.
#
# An empty definition mentions an option; see lib/modules/library.nix for what that means.
{
  boot = { };
  environment.etc = { };
  networking = { };
  services.getty = { };
  system = {
    build = { };
    init = { };
    rootfs = { };
    services = { };
  };
  users = { };
}
