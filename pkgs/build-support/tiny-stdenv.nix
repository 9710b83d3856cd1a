# The environment for packages of images: stdenv with the flags of tiny-flags.nix, and without what only
# people read.
#
# A package may have, beside what stdenv knows:
#
#   CFLAGS, LDFLAGS  come after the common ones
#   testScript       runs the package's programs (`run PROGRAM ARGUMENT...`) in a box of its own, with
#                    the builder's busybox at hand; it becomes `tests.runs`
{
  lib,
  buildPlatform,
  hostPlatform,
  runCommand,
  runtimeShell,
  stdenv,
  tinyFlags,
}:
let
  inherit (lib) optional optionals;

  # The builder's own programs are linked as its C library wants.
  isSmall = hostPlatform.isMusl;
  # Some scripts link with the compiler's flags alone.
  cflags =
    tinyFlags.base ++ [ "-no-pie" ] ++ tinyFlags.sections ++ tinyFlags.unwind ++ tinyFlags.lto;
  ldflags =
    optional tinyFlags.static "-static" ++ tinyFlags.link ++ optionals (tinyFlags.lto != [ ]) cflags;

  testOf =
    package: script:
    runCommand "${package.name}-test"
      {
        inherit package runtimeShell script;
        # Programs that only tests run.
        package_test = package.test or "";
        passAsFile = [ "script" ];
      }
      ''
      run() {
        program=$package/bin/$1
        shift
        "$program" "$@"
      }
      . "$scriptPath"
      : >"$out"
    '';

  complete =
    recipe: final:
    let
      attrs = if builtins.isFunction recipe then recipe final else recipe;
      flags = common: own: toString (optionals isSmall common ++ optional (own != "") own);
    in
    removeAttrs attrs [ "testScript" ]
    // {
      CFLAGS = flags cflags (attrs.CFLAGS or "");
      LDFLAGS = flags ldflags (attrs.LDFLAGS or "");
      preFixup = "source ${./tiny-fixup.sh}\n" + attrs.preFixup or "";
      passthru = {
        tests = lib.optionalAttrs (attrs ? testScript && buildPlatform.canExecute hostPlatform) {
          runs = testOf final.finalPackage attrs.testScript;
        };
      }
      // attrs.passthru or { };
    };
in
stdenv
// {
  mkDerivation = recipe: stdenv.mkDerivation (complete recipe);
}
