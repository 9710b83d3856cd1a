{
  lib,
  debianMirror,
  debianPatches,
  fetchurl,
  tinyStdenv,
}:
let
  version = "1.30";
in
tinyStdenv.mkDerivation {
  pname = "mini-httpd";
  inherit version;

  src = fetchurl {
    urls = [
      "https://acme.com/software/mini_httpd/mini_httpd-${version}.tar.gz"
      (debianMirror "m/mini-httpd/mini-httpd_${version}.orig.tar.gz")
    ];
    hash = "sha256-nESBgCr43eLhZAYhhcJ56SdFJcOvk9AU/cC4DPMLym4=";
  };

  patches = debianPatches {
    name = "mini-httpd";
    src = fetchurl {
      name = "mini-httpd_1.30-3.debian.tar.xz";
      url = debianMirror "m/mini-httpd/mini-httpd_1.30-3.debian.tar.xz";
      hash = "sha256-zE4IBz0NHO5R7yxgWyanqrEnwj2dM0qpBDWFq0U8Gwc=";
    };
    # A request without headers ended the program.
    patches = [ "0009-fix-nullpointer-dereference" ];
  };

  dontConfigure = true;
  preBuild = ''
    makeFlagsArray=("CC=$CC" "CFLAGS=$CFLAGS" "LDFLAGS=$LDFLAGS" LDLIBS=-lcrypt)
  '';
  buildFlags = [ "mini_httpd" ];
  installPhase = ''
    install -D -m 755 -t "$out/bin" mini_httpd
  '';

  testScript = ''
    mkdir site
    echo it works >site/index.html
    run mini_httpd -D -d site -h 127.0.0.1 -p 8080 -i "$PWD/pid" &
    for attempt in 1 2 3 4 5 6 7 8 9; do
      ! wget -q -O page http://127.0.0.1:8080/ || break
      sleep 1
    done
    kill $!
    grep -q "it works" page
  '';

  meta = {
    description = "A small web server, with programs behind pages and passwords";
    homepage = "https://acme.com/software/mini_httpd/";
    license = lib.licenses.bsd2;
    mainProgram = "mini_httpd";
  };
}
