# Debian's kernel under the programs of tiny.nix: nothing else differs.
{ lib, ... }:
{
  imports = [ ./tiny.nix ];

  boot.kernel.fromSource = false;
  boot.kernelModules = lib.mkForce [ ];
}
