{ lib, ... }:
{
  s = lib.mkIf true (
    lib.mkForce {
      a = 1;
    }
  );
}
