{
  imports = [
    ../../examples/tiny.nix
    ./announce.nix
  ];
}
