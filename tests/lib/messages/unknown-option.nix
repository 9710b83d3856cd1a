#~ error: The option `services.htpd' does not exist. Definition values:
#~ messages/_typo.nix:3':
#~ Did you mean `services.httpd'
let
  lib = import ../../../lib;
in
(lib.evalModules {
  modules = [ ./_typo.nix ];
  library = ../library;
}).config.networking.hostName
