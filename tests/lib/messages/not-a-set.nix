#~ you're trying to define a value of type `int'
#~ rather than an attribute set for the option
let
  lib = import ../../../lib;
in
(lib.evalModules {
  library = ../library;
  modules = [ { services.httpd = 1; } ];
}).config.services.httpd.port
