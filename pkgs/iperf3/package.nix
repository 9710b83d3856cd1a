{
  lib,
  debianMirror,
  debianPatches,
  fetchurl,
  tinyStdenv,
}:
let
  version = "3.12";
in
tinyStdenv.mkDerivation {
  pname = "iperf3";
  inherit version;

  src = fetchurl {
    urls = [
      "https://github.com/esnet/iperf/archive/refs/tags/${version}.tar.gz"
      (debianMirror "i/iperf3/iperf3_${version}.orig.tar.gz")
    ];
    name = "iperf-${version}.tar.gz";
    hash = "sha256-444Kl7MKl7Q1Xak0ZxYKIN6hCTL2wXRzd0gC4D1h1Kc=";
  };

  patches = debianPatches {
    name = "iperf3";
    src = fetchurl {
      name = "iperf3_3.12-1-deb12u2.debian.tar.xz";
      url = debianMirror "i/iperf3/iperf3_3.12-1+deb12u2.debian.tar.xz";
      hash = "sha256-gKTWS0yW7+NVuqhrRaLe1lTlYTeU4BRY03I2Ok9oVrk=";
    };
    patches = [
      # Lengths from the network were believed (CVE-2023-38403).
      "0001-Fix-memory-allocation-hazard-1542-.-1543.patch"
      "CVE-2025-54349.patch"
      "CVE-2025-54350.patch"
    ];
  };

  configureFlags = [
    "--disable-shared"
    "--without-openssl"
    "--without-sctp"
  ];
  postInstall = ''
    rm -r "$out/include" "$out/lib"
  '';

  testScript = ''
    run iperf3 --server --one-off --bind 127.0.0.1 --port 5201 >server &
    for attempt in 1 2 3 4 5 6 7 8 9; do
      ! run iperf3 --client 127.0.0.1 --port 5201 --bytes 1M >client || break
      sleep 1
    done
    grep -q "iperf Done" client
  '';

  meta = {
    description = "Measures how much the network carries";
    homepage = "https://software.es.net/iperf/";
    license = lib.licenses.bsd3;
    mainProgram = "iperf3";
  };
}
