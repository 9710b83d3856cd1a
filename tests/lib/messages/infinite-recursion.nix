#~ if you get an infinite recursion here, you probably reference `config` in `imports`
#~ infinite recursion encountered
let
  lib = import ../../../lib;
in
(lib.evalModules {
  modules = [
    (
      { config, ... }:
      {
        imports = lib.optional config.a { };
        options.a = lib.mkOption { default = true; };
      }
    )
  ];
}).config.a
