throw "system/_data.nix is no module"
