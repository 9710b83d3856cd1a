# A derivation that can be named by `pname` and `version`, described by `meta`, extended by
# `passthru` and changed by `overrideAttrs`.
#
# The builder is busybox's shell running `buildCommand`, unless `builder` says otherwise; PATH
# holds the programs of `nativeBuildInputs` and busybox. All other attributes reach the builder's
# environment, as `derivation` defines.
#
# `mkDerivationWith arguments` is the same with another way from a recipe's attributes to the
# arguments of `derivation`; stdenv is one.
{
  lib,
  buildPackages,
  system,
}:
let
  inherit (buildPackages) busybox;

  inherit (builtins)
    isAttrs
    isFunction
    isList
    removeAttrs
    stringLength
    ;

  # The kernel takes single arguments up to 131,072 bytes; a longer script becomes a file.
  maxArgumentBytes = 100000;

  notEnvironment = [
    "buildCommand"
    "meta"
    "nativeBuildInputs"
    "passthru"
    "pname"
    "version"
  ];

  shellAttrs =
    attrs:
    let
      script = attrs.buildCommand;
      isLong = stringLength script > maxArgumentBytes;
    in
    {
      builder = "${busybox}/bin/sh";
      args = [
        "-euc"
        (if isLong then ". \"$buildCommandPath\"" else script)
      ];
      PATH = lib.makeBinPath ((attrs.nativeBuildInputs or [ ]) ++ [ busybox ]);
    }
    // lib.optionalAttrs isLong {
      buildCommand = script;
      passAsFile = [ "buildCommand" ];
    };

  shellArguments =
    attrs:
    {
      inherit system;
      name = "${attrs.pname}-${attrs.version}";
    }
    // lib.optionalAttrs (!attrs ? builder) (shellAttrs attrs)
    // removeAttrs attrs notEnvironment;

  # An override is a set, a function of the previous attributes, or one of the final and the
  # previous ones.
  toExtension =
    override: final: prev:
    let
      partial = override prev;
    in
    if isAttrs override then
      override
    else if isFunction partial then
      override final prev
    else
      partial;

  make =
    arguments: recipe:
    let
      attrs = recipe (attrs // { finalPackage = drv; });
      passthru = attrs.passthru or { };
      drv =
        derivation (arguments attrs)
        // lib.optionalAttrs (attrs ? pname) { inherit (attrs) pname version; }
        // passthru
        // {
          inherit passthru;
          meta = {
            platforms = [ system ];
          }
          // attrs.meta or { };
          overrideAttrs =
            override:
            make arguments (
              final:
              let
                prev = recipe final;
              in
              prev // toExtension override final prev
            );
        };
    in
    assert lib.assertMsg (
      !(attrs ? nativeBuildInputs) || isList attrs.nativeBuildInputs
    ) "mkDerivation: nativeBuildInputs of \"${drv.name}\" is not a list";
    drv;

  mkDerivationWith =
    arguments: recipe:
    make arguments (if isFunction recipe then recipe else _final: recipe);
in
{
  inherit mkDerivationWith;
  mkDerivation = mkDerivationWith shellArguments;
}
