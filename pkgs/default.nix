# The package set: a fixpoint, so that every package sees the final version of every other one.
#
# A package is the folder `<name>` with the recipe `package.nix`; adding one is adding a folder.
# Where there is also a `prebuilt.nix`, that is what the set for the builders' own system has: what
# builds run with, and what an image starts from without a compiler. The sets in `pkgsCross`, one for
# each target of lib/systems/targets.nix, build from source; their `buildPackages` are the former.
#
# Overlays, as in nixpkgs, are functions `final: prev: { ... }` and are applied in order.
{
  lib ? import ../lib,
  overlays ? [ ],
  # Where builders run.
  system ? "x86_64-linux",
  # What the packages are for, such as { config = "x86_64-unknown-linux-musl"; }; null for `system`.
  crossSystem ? null,
}:
let
  inherit (builtins) attrNames filter pathExists readDir;

  isCross = crossSystem != null;

  has = file: name: pathExists (./. + "/${name}/${file}");
  packageNames = filter (name: has "package.nix" name || has "prebuilt.nix" name) (
    attrNames (readDir ./.)
  );
  recipeOf =
    name:
    ./. + "/${name}/${if !isCross && has "prebuilt.nix" name then "prebuilt.nix" else "package.nix"}";

  native = import ./. { inherit lib overlays system; };
  setFor = crossSystem: import ./. { inherit lib overlays system crossSystem; };

  platforms = final: _prev: {
    buildPlatform = lib.systems.elaborate system;
    hostPlatform = if isCross then lib.systems.elaborate crossSystem else final.buildPlatform;
    buildPackages = if isCross then native else final;
    pkgsCross = builtins.mapAttrs (_name: setFor) lib.systems.examples;
    pkgsMusl = if final.hostPlatform.isMusl then final else final.pkgsCross.musl64;
    inherit (final.callPackage ./stdenv { }) stdenv stdenvNoLibc;
    # Parts of compilers, where the target is of another kind than the builders.
    crossToolchain = final.callPackage ./stdenv/cross-toolchain.nix { };
    softFloat = final.callPackage ./stdenv/soft-float.nix { };
  };

  helpers = final: _prev: {
    inherit
      lib
      overlays
      packageNames
      system
      ;
    pkgs = final;
    callPackage = lib.callPackageWith final;
    seed = final.callPackage ./seed { };
  };

  buildSupport = final: _prev: import ./build-support final;

  packages =
    final: _prev:
    lib.genAttrs packageNames (name: final.callPackage (recipeOf name) { });

  aliases = final: _prev: {
    linuxPackages = {
      kernel = final.linux;
    };
  };

  layers = [
    helpers
    platforms
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
