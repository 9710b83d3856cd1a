{
  lib,
  debianMirror,
  fetchurl,
  tinyStdenv,
}:
let
  version = "2.1.12";
in
tinyStdenv.mkDerivation {
  pname = "libevent";
  inherit version;

  src = fetchurl {
    urls = [
      "https://github.com/libevent/libevent/releases/download/release-${version}-stable/libevent-${version}-stable.tar.gz"
      (debianMirror "libe/libevent/libevent_${version}-stable.orig.tar.gz")
    ];
    hash = "sha256-kubeG+nsF2Qo/SNnZ35hzv/C7hyxGQNQN6J9NGsEA7s=";
  };

  configureFlags = [
    "--disable-shared"
    "--disable-debug-mode"
    "--disable-libevent-regress"
    "--disable-openssl"
    "--disable-samples"
    "--disable-thread-support"
  ];
  postInstall = ''
    rm -r "$out/bin"
  '';

  meta = {
    description = "The library that waits for what happens";
    homepage = "https://libevent.org/";
    license = lib.licenses.bsd3;
  };
}
