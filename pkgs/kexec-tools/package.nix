{
  lib,
  debianMirror,
  fetchurl,
  hostPlatform,
  tinyStdenv,
}:
let
  version = "2.0.25";
in
tinyStdenv.mkDerivation {
  pname = "kexec-tools";
  inherit version;

  src = fetchurl {
    urls = [
      "https://www.kernel.org/pub/linux/utils/kernel/kexec/kexec-tools-${version}.tar.xz"
      (debianMirror "k/kexec-tools/kexec-tools_${version}.orig.tar.xz")
    ];
    hash = "sha256-fOLl3vOOwE95/rEH0CJD3VhvvGhWnszwL0S606E+wH0=";
  };

  configureFlags = [
    "--without-lzma"
    "--without-xen"
    "--without-zlib"
    # A program of the builder that makes a header.
    "BUILD_CC=gcc"
    "BUILD_CFLAGS=-O1"
    # The code that runs between two kernels is linked by itself.
    "TARGET_CC=${hostPlatform.config}-gcc"
  ];
  buildFlags = [ "build/sbin/kexec" ];
  installPhase = ''
    install -D -m 755 -t "$out/bin" build/sbin/kexec
  '';

  testScript = ''
    run kexec --version | grep -q "^kexec-tools 2.0.25"
    echo no kernel >file
    ! run kexec -l file 2>said
    grep -q -i -e "cannot determine the file type" -e "permission" -e "not permitted" -e "root" said
  '';

  meta = {
    description = "Starts another kernel from a running one";
    homepage = "https://www.kernel.org/pub/linux/utils/kernel/kexec/";
    license = lib.licenses.gpl2Only;
    mainProgram = "kexec";
  };
}
