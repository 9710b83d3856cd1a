# The derivation path of every package of a set whose evaluation does not fail in a way that `tryEval` cannot
# catch: whether it does is not known beforehand, so names that do are given in `broken`.
pkgs:

let
  broken = import ./broken.nix;
  attempt = value: (builtins.tryEval value).value;
  drvPaths =
    depth: value:
    let
      set = attempt value;
    in
    if !builtins.isAttrs set then
      builtins.typeOf set
    else if attempt (set.type or null == "derivation") then
      attempt set.drvPath
    else if depth < 4 && attempt (set.recurseForDerivations or false == true) then
      builtins.mapAttrs (_: drvPaths (depth + 1)) set
    else
      "set";
in
builtins.mapAttrs (_: drvPaths 0) (removeAttrs pkgs broken)
