{ lib, ... }:
{
  imports = [
    ../../examples/ssh.nix
    ./announce.nix
  ];

  # As the others, which lets the kernel be one that is not packed.
  virtualisation.memorySize = lib.mkForce 256;
}
