# picnix: a configuration in, a system out.
#
# `(import <picnix> { configuration = ./hello.nix; }).config.system.build.images.initramfs`
{
  # The user's module: a file, a function or a set.
  configuration ? { },
  # The target hardware: the name of a folder of ./devices, or a module.
  device ? null,
  # Functions `final: prev: { ... }` that change the package set.
  overlays ? [ ],
  # Where builders run.
  system ? "x86_64-linux",
  lib ? import ./lib,
  # The package set; nixpkgs-shaped.
  pkgs ? import ./pkgs { inherit lib overlays system; },
}:
let
  defaultDevice = "qemu-x86_64";
  # A folder without a module of its own holds what devices have in common.
  devices = builtins.filter (name: builtins.pathExists (./devices + "/${name}/default.nix")) (
    builtins.attrNames (builtins.readDir ./devices)
  );

  deviceModule =
    name:
    if !builtins.isString name then
      name
    else if builtins.elem name devices then
      ./devices + "/${name}"
    else
      throw "device: there is no device \"${name}\"; there are: ${lib.concatStringsSep ", " devices}";

  # The packages of the target; modules see them as `pkgs`.
  platform = evaluation.config.nixpkgs.hostPlatform;
  targetPkgs =
    if platform == null then pkgs else pkgs.pkgsCross.${lib.systems.targets.${platform}.name};

  evaluation = lib.evalModules {
    library = ./modules;
    modules = [
      ./modules/_base.nix
      (deviceModule (if device == null then defaultDevice else device))
      configuration
    ];
    specialArgs.pkgs = targetPkgs;
  };
in
{
  inherit (evaluation) config options;
  inherit lib evaluation;
  pkgs = targetPkgs;
}
