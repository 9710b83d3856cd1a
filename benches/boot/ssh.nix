{
  imports = [
    ../../examples/ssh.nix
    ./announce.nix
  ];
}
