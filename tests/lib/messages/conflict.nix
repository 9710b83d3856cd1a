#~ error: The option `a' has conflicting definition values:
#~ messages/_conflict-b.nix:4': "from b"
#~ messages/_conflict-a.nix:2': "from a"
#~ Use `lib.mkForce value` or `lib.mkDefault value` to change the priority
let
  lib = import ../../../lib;
in
(lib.evalModules {
  modules = [
    { options.a = lib.mkOption { type = lib.types.str; }; }
    ./_conflict-a.nix
    ./_conflict-b.nix
  ];
}).config.a
