# What the system runs on: the packages that modules see are those of its target.
{ lib, ... }:
let
  inherit (lib) mkOption types;
in
{
  options.nixpkgs.hostPlatform = mkOption {
    type = types.nullOr (types.enum (lib.attrNames lib.systems.targets));
    default = null;
    example = "aarch64-unknown-linux-musl";
    description = ''
      The target that the system is for, as the name of one that picnix has compilers for; devices set
      it. Null is the builders' own, where Debian's programs may take the place of those from source.
    '';
  };
}
