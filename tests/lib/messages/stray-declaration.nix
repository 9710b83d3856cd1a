#~ error: The library module `
#~ services/stray.nix' declares the option `services.other', but a library module declares options at its own path, which is `services.stray'.
let
  lib = import ../../../lib;
in
(lib.evalModules {
  library = ../library;
  modules = [ { services.stray = { }; } ];
}).config.trace
