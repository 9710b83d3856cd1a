{
  lib,
  debianMirror,
  fetchurl,
  tinyStdenv,
}:
tinyStdenv.mkDerivation {
  pname = "zlib";
  version = "1.2.13";

  # Debian's tarball is upstream's without files that are not free.
  src = fetchurl {
    name = "zlib_1.2.13.dfsg.orig.tar.bz2";
    url = debianMirror "z/zlib/zlib_1.2.13.dfsg.orig.tar.bz2";
    hash = "sha256-cf63lH48AO8SX4O3mk5Sm94xFx5bq+SLOR8GdY0asKE=";
  };

  # The script is not of autoconf's kind.
  configurePlatforms = [ ];
  configureFlags = [ "--static" ];
  makeFlags = [ "libz.a" ];
  installPhase = ''
    install -D -m 644 -t "$out/lib" libz.a
    install -D -m 644 -t "$out/lib/pkgconfig" zlib.pc
    install -D -m 644 -t "$out/include" zlib.h zconf.h
    $CC $CFLAGS $LDFLAGS -I. -o minigzip test/minigzip.c libz.a
    install -D -m 755 -t "$test/bin" minigzip
  '';
  # A small program for those who test.
  outputs = [
    "out"
    "test"
  ];

  testScript = ''
    program=$package_test/bin/minigzip
    seq 1 1000 >numbers
    "$program" <numbers >numbers.gz
    [ "$(wc -c <numbers.gz)" -lt "$(wc -c <numbers)" ]
    gzip -dc numbers.gz | cmp - numbers
    gzip -c numbers | "$program" -d | cmp - numbers
  '';

  meta = {
    description = "A compression library: the format of gzip and zip";
    homepage = "https://zlib.net/";
    license = lib.licenses.zlib;
  };
}
