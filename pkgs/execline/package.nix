{
  lib,
  debianMirror,
  fetchurl,
  hostPlatform,
  skalibs,
  tinyStdenv,
}:
let
  version = "2.9.3.0";
in
tinyStdenv.mkDerivation {
  pname = "execline";
  inherit version;

  src = fetchurl {
    urls = [
      "https://skarnet.org/software/execline/execline-${version}.tar.gz"
      (debianMirror "e/execline/execline_${version}.orig.tar.gz")
    ];
    hash = "sha256-JNyyAoFT7X5WSaVVRRaKFuE3X3wefZGLmF8imGSkyNg=";
  };

  outputs = [
    "out"
    "dev"
  ];
  buildInputs = [ skalibs ];
  # The script is not of autoconf's kind.
  configurePlatforms = [ ];
  configureFlags = [
    "--host=${hostPlatform.config}"
    "--disable-shared"
    "--enable-multicall"
    "--with-sysdeps=${skalibs}/lib/skalibs/sysdeps"
    "--libdir=${placeholder "out"}/lib"
    "--shebangdir=/run/current-system/sw/bin"
  ];

  testScript = ''
    export PATH=$package/bin:$PATH
    [ "$(run execlineb -P -c 'foreground { echo one } echo two')" = "one
    two" ]
  '';

  meta = {
    description = "A language for scripts that needs no shell";
    homepage = "https://skarnet.org/software/execline/";
    license = lib.licenses.isc;
    mainProgram = "execlineb";
  };
}
