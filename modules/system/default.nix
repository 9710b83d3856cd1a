{ config, lib, ... }:
let
  inherit (lib) mkOption types;

  # "/nix/store/<digest>-<name>" of a path in there.
  storePathOf =
    path:
    let
      text = toString path;
      parts = builtins.match "(${builtins.storeDir}/[^/]+).*" text;
    in
    lib.addContextFrom text (builtins.head parts);
in
{
  options.system = {
    extraDependencies = mkOption {
      type = types.listOf types.pathInStore;
      default = [ ];
      apply = paths: lib.unique (map storePathOf paths);
      description = "Store paths that are in the image although no program of it names them.";
    };
    name = mkOption {
      type = types.str;
      default = if config.networking.hostName == "" then "unnamed" else config.networking.hostName;
      defaultText = lib.literalMD "`networking.hostName`";
      description = "The name of the system in store paths.";
    };
    checks = mkOption {
      type = types.listOf types.package;
      default = [ ];
      description = "Derivations that must build before the system does; they are not part of it.";
    };
    pseudoTerminals = mkOption {
      type = types.bool;
      default = true;
      description = "Whether programs can make terminals of their own, as servers of remote logins do.";
    };
  };
}
