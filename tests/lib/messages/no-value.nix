#~ error: The option `a' was accessed but has no value defined. Try setting the option.
let
  lib = import ../../../lib;
in
(lib.evalModules { modules = [ { options.a = lib.mkOption { }; } ]; }).config.a
