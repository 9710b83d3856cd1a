# The package set: overriding, overlays, the seed's pins, and the small builders.
let
  lib = import ../../lib;
  pkgs = import ../../pkgs { inherit lib; };
  inherit (builtins) attrNames filter;

  isPackage =
    name:
    lib.any (recipe: builtins.pathExists (../../pkgs + "/${name}/${recipe}")) [
      "package.nix"
      "prebuilt.nix"
    ];
  packages = lib.filterAttrs (name: _package: isPackage name) pkgs;
  musl = pkgs.pkgsMusl;
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
    expr = filter (name: !(pkgs ? ${name})) [
      "busybox"
      "linux"
      "musl"
      "nano"
    ];
    expected = [ ];
  };

  testFoldersWithoutARecipeAreNoPackages = {
    expr = pkgs ? seed.type || packages ? build-support || packages ? stdenv;
    expected = false;
  };

  testSeedIsPinnedBelowTheMirror = {
    expr = filter (
      deb: !(lib.hasPrefix "mirror://debian/pool/main/" deb.url && lib.hasPrefix "sha256-" deb.outputHash)
    ) seedPackages;
    expected = [ ];
  };

  testVersionsAreUpstreams = {
    expr = filter (name: builtins.match "[0-9]+([.][0-9]+)*[a-z]?" packages.${name}.version == null) (
      attrNames packages
    );
    expected = [ ];
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

  testTargetsAreBuiltFromSourceByNative = {
    expr = [
      musl.busybox.name
      musl.hostPlatform.config
      (musl.buildPackages.busybox == pkgs.busybox)
      (musl.busybox.drvAttrs.boxRoot == pkgs.toolchain)
    ];
    expected = [
      "busybox-x86_64-unknown-linux-musl-1.35.0"
      "x86_64-unknown-linux-musl"
      true
      true
    ];
  };

  testATargetWithoutCompilerIsRefused = {
    expr = (builtins.tryEval pkgs.pkgsCross.musl32.musl.drvPath).success;
    expected = false;
  };

  testTargetsOfOtherArchitecturesHaveCompilersOfTheirOwn = {
    expr = map (name: pkgs.pkgsCross.${name}.crossToolchain.triple) [
      "aarch64-multiplatform-musl"
      "armv7l-hf-multiplatform-musl"
      "mips-musl"
      "mipsel-musl"
      "riscv64-musl"
    ];
    expected = [
      "aarch64-linux-gnu"
      "arm-linux-gnueabihf"
      "mips-linux-gnu"
      "mipsel-linux-gnu"
      "riscv64-linux-gnu"
    ];
  };

  # Packages of a target with musl are its own, whatever it is.
  testPkgsMuslOfATargetIsItself = {
    expr = pkgs.pkgsCross.mipsel-musl.pkgsMusl.hostPlatform.config;
    expected = "mipsel-unknown-linux-musl";
  };

  testSourcesHaveDebiansFileSecond = {
    expr = map (package: lib.hasPrefix "mirror://debian/pool/main/" (lib.last package.src.urls)) [
      musl.busybox
      musl.dropbear
      musl.linux
      musl.musl
    ];
    expected = [
      true
      true
      true
      true
    ];
  };

  testKconfigFragments = {
    expr = pkgs.kconfig.fragment {
      A = "y";
      B = "n";
      C = 3;
      D = "0x10";
      E = "console=\"x\"";
    };
    expected = "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=3\nCONFIG_D=0x10\nCONFIG_E=\"console=\\\"x\\\"\"\n";
  };

  testWhoAskedIsNoPartOfTheKernel = {
    expr =
      let
        kernel = askedBy: musl.linux.override {
          checkConfig = false;
          kernelConfig.PCI = {
            value = "y";
            inherit askedBy;
          };
        };
      in
      [
        ((kernel "a.nix:1").drvPath == (kernel "b.nix:2").drvPath)
        ((kernel "a.nix:1").checkedConfig.drvPath == (kernel "b.nix:2").checkedConfig.drvPath)
      ];
    expected = [
      true
      false
    ];
  };

  testAppletsBringTheirFeatures = {
    expr =
      let
        inherit (musl.busybox.override { applets = [ "ip" ]; }) options;
      in
      [
        options.IP
        options.FEATURE_IP_ROUTE
        (options ? ASH)
      ];
    expected = [
      "y"
      "y"
      false
    ];
  };

  testOverrideAttrsReachesThePhases = {
    expr = (musl.dropbear.overrideAttrs (prev: { patches = prev.patches ++ [ "/more" ]; })).drvAttrs.patches
      == musl.dropbear.drvAttrs.patches ++ [ "/more" ];
    expected = true;
  };

  testStructuredAttrsAreRefused = {
    expr =
      (builtins.tryEval
        (musl.stdenv.mkDerivation {
          name = "x";
          __structuredAttrs = true;
        }).drvPath
      ).success;
    expected = false;
  };
}
