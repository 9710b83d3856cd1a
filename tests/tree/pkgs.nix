# The package set: overriding, overlays, the seed's pins, and the small builders.
let
  lib = import ../../lib;
  pkgs = import ../../pkgs { inherit lib; };
  inherit (builtins) attrNames filter;

  packages = lib.filterAttrs (
    name: _package: builtins.pathExists (../../pkgs + "/${name}/package.nix")
  ) pkgs;
  seedPackages = lib.concatLists (filter builtins.isList (builtins.attrValues pkgs.seed));

  withOverlay =
    overlay:
    import ../../pkgs {
      inherit lib;
      overlays = [ overlay ];
    };

  sample = pkgs.mkDerivation (final: {
    pname = "sample";
    version = "1";
    buildCommand = "echo ${final.version} >$out";
    passthru.tests.self = final.finalPackage;
    meta.description = "A sample";
  });
in
lib.runTests {
  testEveryPackageSaysWhatItIs = {
    expr = attrNames (
      lib.filterAttrs (
        _name: package: !(package.meta ? description && package.meta ? homepage && package.meta ? license)
      ) packages
    );
    expected = [ ];
  };

  testPackagesAreFoundByFolder = {
    expr = attrNames packages;
    expected = [
      "busybox"
      "linux"
      "qemu"
    ];
  };

  testSeedIsPinnedBelowTheMirror = {
    expr = filter (
      deb: !(lib.hasPrefix "mirror://debian/pool/main/" deb.url && lib.hasPrefix "sha256-" deb.outputHash)
    ) seedPackages;
    expected = [ ];
  };

  testVersionsAreUpstreams = {
    expr = map (name: builtins.match "[0-9.]+" packages.${name}.version != null) (attrNames packages);
    expected = [
      true
      true
      true
    ];
  };

  testOverrideAttrsTakesASet = {
    expr = (sample.overrideAttrs { pname = "other"; }).name;
    expected = "other-1";
  };

  testOverrideAttrsTakesAFunctionOfThePrevious = {
    expr =
      (sample.overrideAttrs (prev: {
        version = prev.version + ".5";
      })).name;
    expected = "sample-1.5";
  };

  testOverrideAttrsTakesAFunctionOfBoth = {
    expr =
      (sample.overrideAttrs (
        final: prev: {
          version = "2";
          pname = "${prev.pname}-${final.version}";
        }
      )).name;
    expected = "sample-2-2";
  };

  testOverrideAttrsReachesTheRecipe = {
    expr = lib.last (sample.overrideAttrs { version = "2"; }).args;
    expected = "echo 2 >$out";
  };

  testOverrideAttrsRepeats = {
    expr =
      ((sample.overrideAttrs { version = "2"; }).overrideAttrs (prev: {
        version = "${prev.version}.1";
      })).name;
    expected = "sample-2.1";
  };

  testFinalPackageIsTheOverriddenOne = {
    expr = (sample.overrideAttrs { version = "3"; }).tests.self.name;
    expected = "sample-3";
  };

  testMetaDoesNotChangeTheDerivation = {
    expr = (sample.overrideAttrs { meta.description = "Other words"; }).drvPath == sample.drvPath;
    expected = true;
  };

  testOverrideChangesArguments = {
    expr =
      let
        changed = pkgs.linux.override {
          unpackDebs = args: pkgs.unpackDebs (args // { version = "0"; });
        };
      in
      [
        changed.name
        (changed ? override)
      ];
    expected = [
      "linux-0"
      true
    ];
  };

  testOverlaySeesFinalAndPrevious = {
    expr =
      let
        set = withOverlay (
          final: prev: {
            busybox = prev.busybox.overrideAttrs { pname = "tinybox"; };
            alias = final.busybox.name;
          }
        );
      in
      [
        (lib.hasPrefix "tinybox" set.alias)
        # What is built with the shell is built with the new one.
        ((set.runCommand "x" { } "").builder == "${set.busybox}/bin/sh")
      ];
    expected = [
      true
      true
    ];
  };

  testUnsupportedSystemIsRefused = {
    expr =
      (builtins.tryEval
        (import ../../pkgs {
          inherit lib;
          system = "vax";
        }).busybox
      ).success;
    expected = false;
  };

  testLongTextsBecomeFiles = {
    expr =
      let
        text = lib.concatStrings (builtins.genList (_: "#") 100001);
        long = pkgs.writeText "long" text;
        script = pkgs.runCommand "script" { } text;
      in
      [
        long.passAsFile
        script.passAsFile
      ];
    expected = [
      [ "text" ]
      [ "buildCommand" ]
    ];
  };

  testLinksToPathsLeadToTheStore = {
    expr =
      let
        tree = pkgs.writeTree {
          name = "tree";
          files.self.target = ./pkgs.nix;
        };
      in
      lib.hasInfix (builtins.unsafeDiscardStringContext "${./pkgs.nix}") (lib.last tree.args);
    expected = true;
  };

  testTextsAreQuoted = {
    expr = lib.hasInfix "'it'\\''s'" (lib.last (pkgs.writeText "t" "it's").args);
    expected = true;
  };

  testBuildEnvPutsTheBestPriorityFirst = {
    expr =
      let
        preferred = sample.overrideAttrs {
          pname = "preferred";
          meta.priority = 1;
        };
        env = pkgs.buildEnv {
          name = "env";
          paths = [
            sample
            preferred
          ];
        };
      in
      [
        (map (path: path.pname) env.drvAttrs.paths)
        env.drvAttrs.priorities
      ];
    expected = [
      [
        "preferred"
        "sample"
      ]
      [
        "1"
        "5"
      ]
    ];
  };
}
