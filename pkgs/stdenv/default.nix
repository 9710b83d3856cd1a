# The environment that packages are built in: the seed's C toolchain as the root of the box, and
# setup.sh, which knows the phases. What a nixpkgs user writes in `stdenv.mkDerivation` works here;
# `__structuredAttrs` does not yet.
#
# A package for another platform than the builder's gets `<triple>-gcc` and its kin, which know musl
# and the kernel's headers; `stdenvNoLibc` is for what those are made of, and for the kernel.
{
  lib,
  buildPackages,
  buildPlatform,
  callPackage,
  hostPlatform,
  mkDerivationWith,
  softFloat,
  system,
}:
let
  inherit (builtins) isList removeAttrs;
  inherit (lib) optionalString;

  isCross = hostPlatform.config != buildPlatform.config;
  targetPrefix = optionalString isCross "${hostPlatform.config}-";

  # Attributes that describe a package and do not concern its builder.
  notEnvironment = [
    "finalPackage"
    "meta"
    "passthru"
  ];

  # The lists of packages that setup.sh puts on the search paths.
  checkInputs =
    name: list:
    assert lib.assertMsg (isList list) "stdenv.mkDerivation: ${name} is not a list";
    list;

  argumentsWith =
    cc: attrs:
    let
      nameOf =
        attrs.name
          or "${attrs.pname}${optionalString isCross "-${hostPlatform.config}"}-${attrs.version}";
      configurePlatforms =
        attrs.configurePlatforms or (lib.optionals isCross [
          "build"
          "host"
        ]);
      platformFlags = map (
        role: "--${role}=${{ build = buildPlatform; host = hostPlatform; }.${role}.config}"
      ) configurePlatforms;
    in
    assert lib.assertMsg (
      !(attrs.__structuredAttrs or false)
    ) "stdenv.mkDerivation: \"${nameOf}\" sets __structuredAttrs, which stdenv does not know yet";
    {
      inherit system;
      builder = "/bin/bash";
      args = [
        "-c"
        "source ${./setup.sh} && genericBuild"
      ];
      boxRoot = buildPackages.toolchain;
      # Tools of a package's own platform, and how many of its objects are made at once.
      inherit targetPrefix;
      enableParallelBuilding = true;
      outputs = [ "out" ];
    }
    // removeAttrs attrs notEnvironment
    // {
      name = nameOf;
      nativeBuildInputs =
        lib.optional (cc != null) cc ++ checkInputs "nativeBuildInputs" (attrs.nativeBuildInputs or [ ]);
      buildInputs = checkInputs "buildInputs" (attrs.buildInputs or [ ]);
      configureFlags = platformFlags ++ checkInputs "configureFlags" (attrs.configureFlags or [ ]);
      # A package is tested where its programs run.
      doCheck = (attrs.doCheck or false) && buildPlatform.canExecute hostPlatform;
    };

  makeStdenv = cc: {
    inherit
      buildPlatform
      cc
      hostPlatform
      targetPrefix
      ;
    targetPlatform = hostPlatform;
    mkDerivation = mkDerivationWith (argumentsWith cc);
  };
  # The seed's libgcc for MIPS is for processors with a floating-point unit.
  libgcc = if hostPlatform.isMips && hostPlatform.gcc.float or "" == "soft" then softFloat else null;
in
assert lib.assertMsg (
  hostPlatform.debian != null || !isCross
) "stdenv: the seed has no compiler for ${hostPlatform.config}; it has one for ${
  lib.concatStringsSep ", " (
    lib.filter (config: lib.systems.targets.${config} ? debian) (lib.attrNames lib.systems.targets)
  )
}";
{
  stdenv = makeStdenv (
    if isCross then callPackage ./cc.nix { inherit libgcc targetPrefix; } else null
  );
  stdenvNoLibc = makeStdenv (
    if isCross then
      callPackage ./cc.nix {
        inherit targetPrefix;
        musl = null;
        linuxHeaders = null;
      }
    else
      null
  );
}
