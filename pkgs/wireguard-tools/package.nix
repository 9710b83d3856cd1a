{
  lib,
  debianMirror,
  fetchurl,
  tinyStdenv,
}:
let
  version = "1.0.20210914";
in
tinyStdenv.mkDerivation {
  pname = "wireguard-tools";
  inherit version;

  # Debian's tarball is its own, of the release's files.
  src = fetchurl {
    name = "wireguard_${version}.orig.tar.xz";
    url = debianMirror "w/wireguard/wireguard_${version}.orig.tar.xz";
    hash = "sha256-59iaYBl43ds8+jOpHLj0AB26q7Paf1cIEafQnCKlCdk=";
  };

  dontConfigure = true;
  preBuild = ''
    cd src
  '';
  makeFlags = [
    "PLATFORM=linux"
    "V=1"
    "RUNSTATEDIR=/run"
    # A script for bash, which no small system has.
    "WITH_WGQUICK=no"
    "WITH_BASHCOMPLETION=no"
    "WITH_SYSTEMDUNITS=no"
  ];
  installPhase = ''
    install -D -m 755 -t "$out/bin" wg
  '';

  # The known pair of keys of Curve25519's specification (RFC 7748, section 6.1).
  testScript = ''
    [ "$(echo dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo= | run wg pubkey)" = \
      "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=" ]
    [ "$(run wg genkey | wc -c)" = 45 ]
  '';

  meta = {
    description = "Keys and peers of WireGuard's tunnels";
    homepage = "https://www.wireguard.com/";
    license = lib.licenses.gpl2Only;
    mainProgram = "wg";
  };
}
