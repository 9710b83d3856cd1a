# The certificates that programs trust: Mozilla's list, in one file.
{
  lib,
  debianMirror,
  fetchurl,
  runCommand,
  tinyStdenv,
}:
let
  version = "20230311";
in
tinyStdenv.mkDerivation (final: {
  pname = "cacert";
  inherit version;

  src = fetchurl {
    name = "ca-certificates_${version}-deb12u1.tar.xz";
    url = debianMirror "c/ca-certificates/ca-certificates_${version}+deb12u1.tar.xz";
    hash = "sha256-TNa71Vd6FkMkOLwQBtwFwzOvrLdhBPw1ZGEoWMjuMoA=";
  };

  dontConfigure = true;
  converter = ./certificates.py;
  buildPhase = ''
    python3 "$converter" <mozilla/certdata.txt >ca-bundle.crt
  '';
  installPhase = ''
    install -D -m 644 -t "$out/etc/ssl/certs" ca-bundle.crt
  '';

  passthru = {
    # Where programs are told to look.
    bundle = "${final.finalPackage}/etc/ssl/certs/ca-bundle.crt";
    tests.runs = runCommand "cacert-test" { inherit (final.finalPackage) bundle; } ''
      [ "$(grep -c -x -e "-----BEGIN CERTIFICATE-----" "$bundle")" -gt 100 ]
      # The first one is what it says it is: DER, in base64, a sequence of two bytes of length.
      sed -n '/^-----BEGIN/,/^-----END/p;/^-----END/q' "$bundle" | grep -v -e ----- | base64 -d >first
      od -A n -t x1 -N 2 first | grep -q "30 82"
      : >$out
    '';
  };

  meta = {
    description = "The certificates that Mozilla trusts to sign those of web servers";
    homepage = "https://wiki.mozilla.org/CA";
    license = lib.licenses.mpl20;
  };
})
