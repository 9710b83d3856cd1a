{
  lib,
  buildPackages,
  debianMirror,
  fetchurl,
  libpcap,
  tinyStdenv,
}:
let
  version = "4.99.3";
in
tinyStdenv.mkDerivation {
  pname = "tcpdump";
  inherit version;

  src = fetchurl {
    urls = [
      "https://www.tcpdump.org/release/tcpdump-${version}.tar.gz"
      (debianMirror "t/tcpdump/tcpdump_${version}.orig.tar.gz")
    ];
    hash = "sha256-rXWm7T3A2XMpRbLlSDy0Hci0tSihaTFeSZxoYZUuc7M=";
  };

  nativeBuildInputs = [ buildPackages.pkg-config ];
  buildInputs = [ libpcap ];
  configureFlags = [
    "--disable-local-libpcap"
    "--disable-smb"
    "--without-cap-ng"
    "--without-crypto"
    "--without-smi"
  ];
  postInstall = ''
    rm "$out"/bin/tcpdump.*
  '';

  # One packet in a file: a request for an address.
  testScript = ''
    run tcpdump --version 2>&1 | grep -q "^tcpdump version 4.99.3"
    {
      printf '\324\303\262\241\2\0\4\0\0\0\0\0\0\0\0\0\0\0\4\0\1\0\0\0'
      printf '\0\0\0\0\0\0\0\0\52\0\0\0\52\0\0\0'
      printf '\377\377\377\377\377\377\2\0\0\0\0\1\10\6'
      printf '\0\1\10\0\6\4\0\1\2\0\0\0\0\1\300\0\2\1\0\0\0\0\0\0\300\0\2\2'
    } >packet
    run tcpdump -n -r packet | grep -q "ARP, Request who-has 192.0.2.2 tell 192.0.2.1"
  '';

  meta = {
    description = "Shows packets of the network";
    homepage = "https://www.tcpdump.org/";
    license = lib.licenses.bsd3;
    mainProgram = "tcpdump";
  };
}
