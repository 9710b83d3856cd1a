# Tells builds where libraries are: from the `.pc` files of a package's inputs and nowhere else.
{
  lib,
  debianMirror,
  fetchurl,
  tinyStdenv,
}:
let
  version = "1.8.1";
in
tinyStdenv.mkDerivation {
  pname = "pkg-config";
  inherit version;

  src = fetchurl {
    urls = [
      "https://distfiles.ariadne.space/pkgconf/pkgconf-${version}.tar.xz"
      (debianMirror "p/pkgconf/pkgconf_${version}.orig.tar.xz")
    ];
    hash = "sha256-ZENhraKUK+BWVdRFLrAYeRZHwxu6Qpsofx9o3rLcaEA=";
  };

  configureFlags = [
    "--disable-shared"
    "--with-pkg-config-dir=/nonexistent"
    "--with-system-libdir=/nonexistent"
    "--with-system-includedir=/nonexistent"
  ];

  # Programs of images are static: they name the libraries of their libraries, too.
  postInstall = ''
    rm -r "$out/include" "$out/lib" "$out/share"
    printf '#!/bin/sh\nexec %s --static "$@"\n' "$out/bin/pkgconf" >"$out/bin/pkg-config"
    chmod +x "$out/bin/pkg-config"
  '';

  testScript = ''
    printf 'Name: a\nDescription: a\nVersion: 1\nLibs: -la\nLibs.private: -lb\n' >a.pc
    export PKG_CONFIG_PATH=$PWD
    run pkgconf --static --libs a | grep -q -e "-la -lb"
  '';

  meta = {
    description = "Tells builds where libraries are";
    homepage = "http://pkgconf.org/";
    license = lib.licenses.isc;
    mainProgram = "pkg-config";
  };
}
