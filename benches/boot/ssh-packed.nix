# ssh.nix with its kernel as images have it.
{
  imports = [ ./ssh.nix ];

  virtualisation.format = "initramfs";
}
