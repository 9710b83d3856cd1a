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
  devices = builtins.attrNames (builtins.readDir ./devices);

  deviceModule =
    name:
    if !builtins.isString name then
      name
    else if builtins.elem name devices then
      ./devices + "/${name}"
    else
      throw "device: there is no device \"${name}\"; there are: ${lib.concatStringsSep ", " devices}";

  evaluation = lib.evalModules {
    library = ./modules;
    modules = [
      ./modules/_base.nix
      (deviceModule (if device == null then defaultDevice else device))
      configuration
    ];
    specialArgs = { inherit pkgs; };
  };
in
{
  inherit (evaluation) config options;
  inherit lib pkgs evaluation;
}
