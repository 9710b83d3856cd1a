{
  lib,
  debianMirror,
  debianPatches,
  fetchurl,
  tinyStdenv,
  # What it does beside answering names and giving addresses by DHCP.
  withAuthoritative ? false,
  withDhcp ? true,
  withDhcp6 ? false,
  withDump ? false,
  withIpset ? false,
  withLoopDetection ? false,
  withScripts ? false,
  withTftp ? false,
}:
let
  version = "2.90";
in
tinyStdenv.mkDerivation {
  pname = "dnsmasq";
  inherit version;

  src = fetchurl {
    urls = [
      "https://thekelleys.org.uk/dnsmasq/dnsmasq-${version}.tar.xz"
      (debianMirror "d/dnsmasq/dnsmasq_${version}.orig.tar.xz")
    ];
    hash = "sha256-jlAwm9g3v+yWSagS4GbAm2mItz10m30pPAbFfUahCeQ=";
  };

  patches = debianPatches {
    name = "dnsmasq";
    src = fetchurl {
      name = "dnsmasq_2.90-4-deb12u2.debian.tar.xz";
      url = debianMirror "d/dnsmasq/dnsmasq_2.90-4~deb12u2.debian.tar.xz";
      hash = "sha256-8w6AhUdF9JW2wd4JUCtQw6X7TQeLbmUZcL9GIg3oRkg=";
    };
    patches = [
      "CVE-2026-2291.patch"
      "CVE-2026-4890.patch"
      "CVE-2026-4891.patch"
      "CVE-2026-4892.patch"
      "CVE-2026-4893.patch"
      "CVE-2026-5172.patch"
    ];
  };

  dontConfigure = true;
  without = lib.concatLists (
    lib.mapAttrsToList (part: isWanted: lib.optional (!isWanted) "-DNO_${part}") {
      AUTH = withAuthoritative;
      DHCP = withDhcp;
      DHCP6 = withDhcp6;
      DUMPFILE = withDump;
      IPSET = withIpset;
      LOOP = withLoopDetection;
      SCRIPT = withScripts;
      TFTP = withTftp;
    }
  );
  preBuild = ''
    makeFlagsArray=("CC=$CC" "CFLAGS=$CFLAGS" "LDFLAGS=$LDFLAGS" "COPTS=-DNO_ID $without")
  '';
  installPhase = ''
    install -D -m 755 -t "$out/bin" src/dnsmasq
  '';

  testScript = ''
    run dnsmasq --version | grep -q "^Dnsmasq version 2.90"
    run dnsmasq --test --conf-file=/dev/null --address=/example.org/192.0.2.7
    run dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --port=5353 \
      --address=/example.org/192.0.2.7 --listen-address=127.0.0.1 --bind-interfaces --user= \
      --pid-file="$PWD/pid" &
    for attempt in 1 2 3 4 5 6 7 8 9; do
      ! nslookup -type=a example.org 127.0.0.1:5353 >answer || break
      sleep 1
    done
    kill $!
    grep -q "192.0.2.7" answer
  '';

  meta = {
    description = "Names and addresses for a small network: DNS and DHCP";
    homepage = "https://thekelleys.org.uk/dnsmasq/doc.html";
    license = lib.licenses.OR [
      lib.licenses.gpl2Only
      lib.licenses.gpl3Only
    ];
    mainProgram = "dnsmasq";
  };
}
