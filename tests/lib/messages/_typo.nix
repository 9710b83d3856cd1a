{ lib, ... }:
{
  services.htpd = lib.mkIf true {
    enable = true;
  };
}
