{
  lib,
  debianMirror,
  fetchurl,
  hostPlatform,
  tinyStdenv,
}:
let
  version = "2.13.1.1";
in
tinyStdenv.mkDerivation {
  pname = "skalibs";
  inherit version;

  src = fetchurl {
    urls = [
      "https://skarnet.org/software/skalibs/skalibs-${version}.tar.gz"
      (debianMirror "s/skalibs/skalibs_${version}.orig.tar.gz")
    ];
    hash = "sha256-5YIfozeL98GdKj9VVwNnI2qJaWTSFmqXtf2OAbQpQKs=";
  };

  # The script is not of autoconf's kind.
  configurePlatforms = [ ];
  configureFlags = [
    "--host=${hostPlatform.config}"
    "--disable-shared"
    "--with-default-path=/run/current-system/sw/bin:/usr/bin:/bin"
    "--sysdepdir=${placeholder "out"}/lib/skalibs/sysdeps"
    "--libdir=${placeholder "out"}/lib"
    # What only a running system could tell, where it is not this one.
    "--with-sysdep-devurandom=yes"
    "--with-sysdep-posixspawnearlyreturn=no"
    "--with-sysdep-procselfexe=/proc/self/exe"
    "--with-sysdep-selectinfinite=yes"
  ];

  meta = {
    description = "The library that s6 and execline are made with";
    homepage = "https://skarnet.org/software/skalibs/";
    license = lib.licenses.isc;
  };
}
