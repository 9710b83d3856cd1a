# The environment for packages of images: stdenv with the flags of tiny-flags.nix, and without what only
# people read.
#
# A package may have, beside what stdenv knows:
#
#   CFLAGS, LDFLAGS  come after the common ones
#   lto              whether the compiler sees the whole program at once; false unless docs/sizes.md has
#                    measured that it saves something to speak of
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
  cflagsFor =
    lto: tinyFlags.base ++ [ "-no-pie" ] ++ tinyFlags.sections ++ tinyFlags.unwind ++ lto;
  # Who links with LTO compiles.
  ldflagsFor =
    lto:
    optional tinyFlags.static "-static" ++ tinyFlags.link ++ optionals (lto != [ ]) (cflagsFor lto);

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
      lto = tinyFlags.ltoFor (attrs.lto or false);
      flags = common: own: toString (optionals isSmall common ++ optional (own != "") own);
    in
    removeAttrs attrs [
      "lto"
      "testScript"
    ]
    // {
      CFLAGS = flags (cflagsFor lto) (attrs.CFLAGS or "");
      LDFLAGS = flags (ldflagsFor lto) (attrs.LDFLAGS or "");
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
