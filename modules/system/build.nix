# What can be built of a configuration, by name.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;

  # Every file of ../images is a format, but for those that begin with an underscore.
  formats = map (lib.removeSuffix ".nix") (
    lib.filter (name: lib.hasSuffix ".nix" name && !lib.hasPrefix "_" name) (
      builtins.attrNames (builtins.readDir ../images)
    )
  );

  checked = lib.asserts.checkAssertWarn config.assertions config.warnings;

  systemPath = pkgs.buildEnv {
    name = "system-path";
    paths = config.environment.systemPackages;
    inherit (config.environment) pathsToLink;
  };

  # An attribute more only where there is something to check.
  withChecks =
    package:
    if config.system.checks == [ ] then
      package
    else
      package.overrideAttrs { inherit (config.system) checks; };

  toplevel = withChecks (pkgs.writeTree {
    name = "system-${config.system.name}";
    files = {
      init.target = config.system.init.program;
      sw.target = systemPath;
    };
    meta.description = "The system without its container";
  });
in
{
  options.system.build = mkOption {
    type = types.lazyAttrsOf types.unspecified;
    default = { };
    internal = true;
    description = ''
      What can be built: the `toplevel`, `images.<format>`, and as plain data the `vm` that runs an
      image, the `tests` of the configuration, the `kernelOptions` that it asks for and what `packages`
      say of themselves, by name.
    '';
  };

  config.system.build = {
    toplevel = checked toplevel;
    kernelOptions = config.boot.kernel.asked;
    packages = import ./_packages.nix { inherit config lib pkgs; };
    images = lib.genAttrs formats (format: config.images.${format}.image);
    vm = config.virtualisation.vm;
    tests = lib.mapAttrs (_name: test: test.rendered) config.tests;
  };
}
