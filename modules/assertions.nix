{ lib, ... }:
let
  inherit (lib) mkOption types;
in
{
  options.assertions = mkOption {
    type = types.listOf types.unspecified;
    internal = true;
    default = [ ];
    example = [
      {
        assertion = false;
        message = "services.example.port: 0 is not a port, write one from 1 to 65535";
      }
    ];
    description = ''
      Conditions that must hold for the system to be built. A failed one's message begins with the
      path of the option, says what is wrong, and what to write instead.
    '';
  };
}
