throw "services/broken.nix was read"
