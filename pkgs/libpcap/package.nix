{
  lib,
  debianMirror,
  fetchurl,
  tinyStdenv,
}:
let
  version = "1.10.3";
in
tinyStdenv.mkDerivation {
  pname = "libpcap";
  inherit version;

  src = fetchurl {
    urls = [
      "https://www.tcpdump.org/release/libpcap-${version}.tar.gz"
      (debianMirror "libp/libpcap/libpcap_${version}.orig.tar.gz")
    ];
    hash = "sha256-KoiFxANRbPewkz7UsU1sqjDgIFJInr1BTcdaxS51WeY=";
  };

  configureFlags = [
    "--with-pcap=linux"
    "--without-libnl"
    "--disable-shared"
    "--disable-bluetooth"
    "--disable-dbus"
    "--disable-netmap"
    "--disable-rdma"
    "--disable-usb"
  ];
  postInstall = ''
    rm "$out/bin/pcap-config"
    rmdir "$out/bin"
    $CC $CFLAGS $LDFLAGS -I"$out/include" -o filter ${./filter.c} "$out/lib/libpcap.a"
    install -D -m 755 -t "$test/bin" filter
  '';
  # A small program for those who test.
  outputs = [
    "out"
    "test"
  ];

  testScript = ''
    "$package_test/bin/filter" "tcp port 80" | grep -q "^(000) ldh      \[12\]"
    ! "$package_test/bin/filter" "tcp prt 80" 2>said
    grep -q "syntax error" said
  '';

  meta = {
    description = "A library that reads packets of the network";
    homepage = "https://www.tcpdump.org/";
    license = lib.licenses.bsd3;
  };
}
