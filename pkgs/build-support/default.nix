# What packages and modules build with: one function for derivations, and the small builders
# that nixpkgs users know, on top of it. Everything runs in busybox's shell.
final: {
  fetchurl = import ./fetchurl.nix;
  fetchpatch = import ./fetchpatch.nix final;
  debianMirror = final.callPackage ./debian-mirror.nix { };
  debianPatches = final.callPackage ./debian-patches.nix { };
  inherit (final.callPackage ./make-derivation.nix { }) mkDerivation mkDerivationWith;
  tinyFlags = final.callPackage ./tiny-flags.nix { };
  tinyStdenv = final.callPackage ./tiny-stdenv.nix { };
  kconfig = final.callPackage ./kconfig { };
  unpackDebs = final.callPackage ./unpack-debs.nix { };
  makeImage = final.callPackage ./make-image.nix { };
  makeModulesClosure = final.callPackage ./modules-closure.nix { };
  buildEnv = final.callPackage ./build-env.nix { };

  inherit (final.callPackage ./trivial-builders.nix { })
    linkFarm
    runCommand
    runtimeShell
    symlinkJoin
    writeScript
    writeScriptBin
    writeShellScript
    writeShellScriptBin
    writeText
    writeTextDir
    writeTextFile
    writeTree
    ;
}
