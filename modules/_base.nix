# What every system has: the modules that take part without being mentioned by a configuration.
#
# A definition of an option brings the module that declares it (lib/modules/library.nix). In a folder
# with modules of its own, an empty definition of one option brings the folder's default.nix.
{
  boot.kernelModules = [ ];
  environment = {
    etc = { };
    systemPackages = [ ];
  };
  images.initramfs = { };
  networking.interfaces = { };
  services.getty = { };
  system = {
    build = { };
    extraDependencies = [ ];
    init = { };
    rootfs = { };
    services = { };
  };
  users = {
    groups = { };
    users = { };
  };
}
