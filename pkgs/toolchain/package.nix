# The C toolchain and build tools of the seed, as the tree that builders of stdenv see at /usr.
#
# Debian's files, bit for bit, without what no build reads; the links are those that Debian's
# package scripts would have made.
{
  lib,
  seed,
  unpackDebs,
}:
let
  package = lib.findFirst (deb: deb.debName == "gcc-12") null seed.toolchain;
  gccDir = "usr/lib/gcc/x86_64-linux-gnu/12";
in
unpackDebs {
  pname = "toolchain";
  # "12.2.0-14+deb12u1": gcc's version, then Debian's.
  version = lib.head (lib.splitString "-" package.debVersion);
  debs = seed.toolchain;
  include = [ "usr/**" ];
  exclude = [
    "usr/share/doc/**"
    "usr/share/info/**"
    "usr/share/locale/**"
    "usr/share/man/**"
    "usr/lib/systemd/**"
    # Locales and character sets of glibc: builds run in the C locale.
    "usr/lib/x86_64-linux-gnu/gconv/**"
    "usr/lib/locale/**"
    # Printers of LTO objects, 50 MB; profile readers; libraries of the dropped run-time checkers.
    "usr/bin/x86_64-linux-gnu-lto-dump-12"
    "usr/bin/lto-dump-12"
    "usr/bin/*gcov*"
    "usr/bin/*gprof*"
    "${gccDir}/lib*san*"
    "${gccDir}/libcc1*"
    "${gccDir}/libgomp*"
    "${gccDir}/libitm*"
    "${gccDir}/libquadmath*"
    "${gccDir}/libatomic*"
  ];
  links = {
    "usr/bin/awk" = "gawk";
    "usr/bin/c99" = "gcc-12";
    "usr/bin/cc" = "gcc-12";
    "usr/bin/cpp" = "cpp-12";
    "usr/bin/gcc" = "gcc-12";
    "usr/bin/gcc-ar" = "gcc-ar-12";
    "usr/bin/gcc-nm" = "gcc-nm-12";
    "usr/bin/gcc-ranlib" = "gcc-ranlib-12";
    "usr/bin/x86_64-linux-gnu-gcc" = "x86_64-linux-gnu-gcc-12";
    "usr/bin/which" = "which.debianutils";
    "usr/bin/yacc" = "bison.yacc";
  };
  meta = {
    description = "The C compiler and build tools that packages are built with";
    homepage = "https://gcc.gnu.org/";
    license = lib.licenses.gpl3Plus;
  };
}
