{
  lib,
  debianMirror,
  fetchurl,
  tinyStdenv,
}:
let
  version = "3.7.0";
in
tinyStdenv.mkDerivation {
  pname = "libnl";
  inherit version;
  lto = true;

  src = fetchurl {
    urls = [
      "https://github.com/thom311/libnl/releases/download/libnl3_7_0/libnl-${version}.tar.gz"
      (debianMirror "libn/libnl3/libnl3_${version}.orig.tar.gz")
    ];
    hash = "sha256-n+Q8y+7qcsZTvc+MkzMlgxNc2kanlQe/0KSDu1f2WTk=";
  };

  configureFlags = [
    "--disable-shared"
    "--disable-cli"
    "--disable-debug"
    "--sysconfdir=/etc"
  ];
  installFlags = [ "sysconfdir=${placeholder "out"}/etc" ];
  postInstall = ''
    rm -r "$out/etc"
  '';

  meta = {
    description = "The library that speaks to the kernel's network over netlink";
    homepage = "https://www.infradead.org/~tgr/libnl/";
    license = lib.licenses.lgpl21Only;
  };
}
