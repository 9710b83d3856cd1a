# File sets and sources, over this folder's library.
let
  lib = import ../../lib;
  fs = lib.fileset;
  root = ./library;

  # Paths below the root.
  listed = set: map (path: lib.removePrefix "${toString root}/" (toString path)) (fs.toList set);
  fails = value: !(builtins.tryEval (builtins.deepSeq value value)).success;

  networking = ./library/networking;
  firewall = ./library/networking/firewall;
  steps = ./library/system/steps.nix;
in
lib.runTests {
  testFolder = {
    expr = listed firewall;
    expected = [
      "networking/firewall/default.nix"
      "networking/firewall/rules.nix"
    ];
  };

  testFile = {
    expr = listed steps;
    expected = [ "system/steps.nix" ];
  };

  testUnion = {
    expr = listed (fs.union firewall steps);
    expected = [
      "networking/firewall/default.nix"
      "networking/firewall/rules.nix"
      "system/steps.nix"
    ];
  };

  testUnionsOfNothing = {
    expr = fs.toList (fs.unions [ ]);
    expected = [ ];
  };

  testIntersection = {
    expr = listed (fs.intersection networking (fs.union (firewall + "/rules.nix") steps));
    expected = [ "networking/firewall/rules.nix" ];
  };

  testDifference = {
    expr = listed (fs.difference networking (firewall + "/rules.nix"));
    expected = [
      "networking/default.nix"
      "networking/firewall/default.nix"
    ];
  };

  testFilter = {
    expr = listed (fs.fileFilter (file: file.hasExt "txt") root);
    expected = [ "system/notes.txt" ];
  };

  testMaybeMissing = {
    expr = fs.toList (fs.maybeMissing ./library/nothing);
    expected = [ ];
  };

  testFromSource = {
    expr = listed (fs.fromSource (lib.sourceFilesBySuffices root [ "steps.nix" ]));
    expected = [ "system/steps.nix" ];
  };

  testStringsAreNoFileSets = {
    expr = fails (fs.toList (toString root));
    expected = true;
  };

  testSourceOutsideOfRoot = {
    expr =
      fails
        (fs.toSource {
          root = firewall;
          fileset = steps;
        }).outPath;
    expected = true;
  };

  testSourceFilter = {
    expr =
      let
        source = fs.toSource {
          inherit root;
          fileset = fs.union firewall steps;
        };
        takes = path: source.filter (toString root + path) "regular";
      in
      map takes [
        "/networking"
        "/networking/firewall/rules.nix"
        "/networking/default.nix"
        "/system/steps.nix"
        "/services"
      ];
    expected = [
      true
      true
      false
      true
      false
    ];
  };

  testGlobs = {
    expr =
      let
        source = lib.sources.sourceByGlobs root [
          "**/default.nix"
          "system/*.txt"
        ];
      in
      listed (fs.fromSource source);
    expected = [
      "default.nix"
      "networking/default.nix"
      "networking/firewall/default.nix"
      "system/notes.txt"
    ];
  };

  testCleanSource = {
    expr = map (file: lib.cleanSourceFilter "/src/${file}" "regular") [
      "main.c"
      "main.o"
      "main.c~"
      ".main.c.swp"
      ".git"
    ];
    expected = [
      true
      false
      false
      false
      false
    ];
  };
}
