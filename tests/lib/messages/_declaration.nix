{ lib, ... }:
{
  options.here = lib.mkOption { };
}
