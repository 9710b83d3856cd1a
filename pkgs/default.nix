# The package set: a fixpoint, so that every package sees the final version of every other one.
#
# A package is the folder `<name>/package.nix`; adding one is adding a folder. Overlays, as in
# nixpkgs, are functions `final: prev: { ... }` and are applied in order.
{
  lib ? import ../lib,
  overlays ? [ ],
  system ? "x86_64-linux",
}:
let
  inherit (builtins) attrNames filter pathExists readDir;

  packageNames = filter (name: pathExists (./. + "/${name}/package.nix")) (
    attrNames (readDir ./.)
  );

  helpers = final: _prev: {
    inherit lib system overlays;
    pkgs = final;
    callPackage = lib.callPackageWith final;
    seed = final.callPackage ./seed { };
  };

  buildSupport = final: _prev: import ./build-support final;

  packages =
    final: _prev:
    lib.genAttrs packageNames (name: final.callPackage (./. + "/${name}/package.nix") { });

  aliases = final: _prev: {
    linuxPackages = {
      kernel = final.linux;
    };
  };

  layers = [
    helpers
    buildSupport
    packages
    aliases
  ]
  ++ overlays;
in
assert lib.assertMsg (
  system == "x86_64-linux"
) "pkgs: system \"${system}\" is not supported yet, use \"x86_64-linux\"";
lib.fix (lib.extends (lib.composeManyExtensions layers) (_final: { }))
