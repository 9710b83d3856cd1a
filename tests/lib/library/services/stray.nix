{ lib, ... }:
{
  options.services.other = lib.mkEnableOption "something else";
}
