#~ error: A definition for option `a' is not of type `signed integer'. Definition values:
#~ messages/_conflict-a.nix:2': "from a"
let
  lib = import ../../../lib;
in
(lib.evalModules {
  modules = [
    { options.a = lib.mkOption { type = lib.types.int; }; }
    ./_conflict-a.nix
  ];
}).config.a
