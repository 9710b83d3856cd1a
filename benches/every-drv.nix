# The derivation path of every package in a set. Names whose evaluation fails in a way that `tryEval` cannot
# catch (a missing attribute, `abort`) are left out: these do at corepkgs 9c8533eb, under every Nix.
pkgs:

let
  broken = [
    "defaultCrateOverrides"
    "flex_2_5_39"
    "gawk-with-extensions"
    "gawkextlib"
    "gsasl"
    "gtk3"
    "gtk4"
    "icu60"
    "icu63"
    "icu64"
    "icu66"
    "icu67"
    "icu69"
    "icu70"
    "icu71"
    "icu72"
    "icu73"
    "icu74"
    "icu75"
    "icu76"
    "icu77"
    "icu78"
    "imagemagick6"
    "imagemagick6Big"
    "imagemagick6_light"
    "imagemagickBig"
    "imagemagick_light"
    "importNpmLock"
    "libheif"
    "llvmPackages"
    "llvmPackages_18"
    "llvmPackages_19"
    "llvmPackages_20"
    "llvmPackages_21"
    "llvmPackages_git"
    "mrustc-bootstrap"
    "nix-prefetch-bzr"
    "nix-prefetch-cvs"
    "nix-prefetch-darcs"
    "nix-prefetch-pijul"
    "nix-prefetch-scripts"
    "perl538Packages"
    "perl540Packages"
    "perlPackages"
    "pkgsForCudaArch"
    "rustls-ffi"
    "ubootPythonTools"
    "unixtools"
    "xorg"
  ];
  drvPaths =
    depth: value:
    let
      set = builtins.tryEval value;
      drvPath = builtins.tryEval set.value.drvPath;
      holds = test: (builtins.tryEval test).value;
    in
    if !set.success then
      "throws"
    else if !builtins.isAttrs set.value then
      builtins.typeOf set.value
    else if holds (set.value.type or null == "derivation") then
      if drvPath.success then drvPath.value else "throws"
    else if depth < 4 && holds (set.value.recurseForDerivations or false == true) then
      builtins.mapAttrs (_: drvPaths (depth + 1)) set.value
    else
      "set";
in
builtins.mapAttrs (_: drvPaths 0) (removeAttrs pkgs broken)
