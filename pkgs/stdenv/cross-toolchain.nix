# The seed's compiler for a target of another architecture, and its binary tools. They run where
# `toolchain` is the root of the box, and use the libraries there beside their own (pkgs/stdenv/cc.nix).
{
  lib,
  hostPlatform,
  seed,
  unpackDebs,
}:
let
  triple = hostPlatform.debian;
  debs =
    seed."toolchain-${toString triple}"
      or (throw "crossToolchain: the seed has no compiler for ${hostPlatform.config}; it has: ${
        lib.concatStringsSep ", " (lib.filter (lib.hasPrefix "toolchain") (lib.attrNames seed))
      }");
  package = lib.findFirst (deb: deb.debName == "gcc-12-${triple}") null debs;
  gccDir = "usr/lib/gcc-cross/${triple}/12";
in
unpackDebs {
  pname = "toolchain-${toString triple}";
  version = lib.head (lib.splitString "-" package.debVersion);
  inherit debs;
  include = [
    "usr/bin/**"
    "usr/lib/**"
    "usr/${triple}/bin/**"
  ];
  exclude = [
    # Printers of LTO objects, profile readers, libraries of run-time checkers.
    "usr/bin/*lto-dump*"
    "usr/bin/*gcov*"
    "usr/bin/*gprof*"
    "${gccDir}/lib*san*"
    "${gccDir}/libcc1*"
    "${gccDir}/libgomp*"
    "${gccDir}/libitm*"
    "${gccDir}/libatomic*"
  ];
  passthru = {
    inherit triple;
    # Where its programs find the libraries that are not in `toolchain`.
    libraryPath = "usr/lib/x86_64-linux-gnu";
  };
  meta = {
    description = "The C compiler that packages for another architecture are built with";
    homepage = "https://gcc.gnu.org/";
    license = lib.licenses.gpl3Plus;
  };
}
