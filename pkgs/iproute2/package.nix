{
  lib,
  debianMirror,
  fetchurl,
  tinyStdenv,
  # Of its programs: bridge, ip, tc.
  programs ? [ "ip" ],
}:
let
  version = "6.1.0";
in
tinyStdenv.mkDerivation {
  pname = "iproute2";
  inherit version;

  src = fetchurl {
    urls = [
      "https://www.kernel.org/pub/linux/utils/net/iproute2/iproute2-${version}.tar.xz"
      (debianMirror "i/iproute2/iproute2_${version}.orig.tar.xz")
    ];
    hash = "sha256-XOEqD+xrIScl7yGHNZQbLat2JE235yZGp2AhsFN7Q6s=";
  };

  # The script is not of autoconf's kind.
  configurePlatforms = [ ];
  dontAddPrefix = true;
  preConfigure = ''
    patchShebangs() { sed -i '1s|^#!.*/|#!/bin/|' "$@"; }
    patchShebangs configure
  '';

  # No loading of libraries at run time.
  makeFlags = [
    "SHARED_LIBS=n"
    "HOSTCC=gcc"
    "CCOPTS="
    "CONFDIR=/etc/iproute2"
    "V=1"
  ];
  preBuild = ''
    makeFlagsArray=("CC=$CC" "AR=$AR" "SUBDIRS=lib ${toString programs}")
  '';
  installPhase = ''
    for program in ${toString programs}; do
      install -D -m 755 -t "$out/bin" $program/$program
    done
  '';

  testScript = lib.optionalString (lib.elem "ip" programs) ''
    run ip -V | grep -q "^ip utility, iproute2-6.1.0"
    run ip -o link show lo | grep -q "lo: <LOOPBACK"
    run ip -4 addr add 192.0.2.1/24 dev nonexistent 2>said || true
    grep -q 'Cannot find device "nonexistent"' said
  '';

  meta = {
    description = "Addresses, routes and traffic of the kernel's network";
    homepage = "https://wiki.linuxfoundation.org/networking/iproute2";
    license = lib.licenses.gpl2Plus;
    mainProgram = "ip";
  };
}
