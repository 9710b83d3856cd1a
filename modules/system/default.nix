{ lib, ... }:
let
  inherit (lib) mkOption types;
in
{
  options.system = {
    extraDependencies = mkOption {
      type = types.listOf types.pathInStore;
      default = [ ];
      description = "Store paths that are in the image although no program of it names them.";
    };
    name = mkOption {
      type = types.str;
      default = "system";
      description = "The name of the system's store path.";
    };
  };
}
