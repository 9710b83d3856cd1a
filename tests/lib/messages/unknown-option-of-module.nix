#~ error: The option `services.httpd.prot' does not exist. Definition values:
#~ messages/unknown-option-of-module.nix:14': 80
#~ Did you mean `services.httpd.port'
let
  lib = import ../../../lib;
in
(lib.evalModules {
  library = ../library;
  modules = [
    {
      _file = toString ./unknown-option-of-module.nix;
      config.services.httpd = lib.mkMerge [
        { enable = lib.mkForce true; }
        (lib.mkIf true { prot = lib.mkForce 80; })
      ];
    }
  ];
}).config.networking.hostName
