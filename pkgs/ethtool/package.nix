{
  lib,
  debianMirror,
  fetchurl,
  tinyStdenv,
  # Whether it explains the registers of many network cards.
  withRegisters ? false,
}:
let
  version = "6.1";
in
tinyStdenv.mkDerivation {
  pname = "ethtool";
  inherit version;

  src = fetchurl {
    urls = [
      "https://www.kernel.org/pub/software/network/ethtool/ethtool-${version}.tar.xz"
      (debianMirror "e/ethtool/ethtool_${version}.orig.tar.xz")
    ];
    hash = "sha256-xB/Igf+lpAQy0t2CnrRMZKSd7kgucWuqz5Jixk2qj5A=";
  };

  configureFlags = [
    # The older interface of the kernel does all that this program does without libmnl.
    "--disable-netlink"
    "--with-bash-completion-dir=no"
    (lib.enableFeature withRegisters "pretty-dump")
    "--sbindir=${placeholder "out"}/bin"
  ];

  testScript = ''
    run ethtool --version | grep -q "^ethtool version 6.1"
    run ethtool nonexistent 2>said || true
    grep -q "No such device" said
  '';

  meta = {
    description = "Settings of network cards";
    homepage = "https://www.kernel.org/pub/software/network/ethtool/";
    license = lib.licenses.gpl2Only;
    mainProgram = "ethtool";
  };
}
