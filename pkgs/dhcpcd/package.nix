{
  lib,
  debianMirror,
  debianPatches,
  fetchurl,
  hostPlatform,
  tinyStdenv,
  # Addresses that hosts take by themselves where no server answers.
  withLinkLocal ? false,
  # A second process without rights, which reads what comes from the network.
  withPrivilegeSeparation ? false,
  # IPv6: router advertisements and DHCPv6.
  withIpv6 ? true,
}:
let
  version = "9.4.1";
in
tinyStdenv.mkDerivation {
  pname = "dhcpcd";
  inherit version;

  src = fetchurl {
    urls = [
      "https://roy.marples.name/downloads/dhcpcd/dhcpcd-${version}.tar.xz"
      (debianMirror "d/dhcpcd5/dhcpcd5_${version}.orig.tar.xz")
    ];
    hash = "sha256-gZNXY07+0epc9E7AGyTT0/iFL+yLQkmSXcxWZ8VON2w=";
  };

  patches = debianPatches {
    name = "dhcpcd";
    src = fetchurl {
      name = "dhcpcd5_9.4.1-24-deb12u5.debian.tar.xz";
      url = debianMirror "d/dhcpcd5/dhcpcd5_9.4.1-24~deb12u5.debian.tar.xz";
      hash = "sha256-OQ/TpWYIjIml8080koRjDAmrsBXXKU1K+benwuPgT/c=";
    };
    patches = [
      "0003_RFC4862_minimum_lft.patch"
      "0007_set_buffer_lenght_to_0.patch"
      "0008_fix_incorrect_assert.patch"
    ];
  };

  # The script is not of autoconf's kind.
  configurePlatforms = [ ];
  configureFlags = [
    "--os=linux"
    "--host=${hostPlatform.config}"
    "--sysconfdir=/etc"
    "--dbdir=/var/lib/dhcpcd"
    "--rundir=/run/dhcpcd"
    "--sbindir=${placeholder "out"}/bin"
    "--libexecdir=${placeholder "out"}/libexec"
    "--enable-static"
    "--without-dev"
    "--without-udev"
    "--disable-auth"
    (lib.enableFeature withLinkLocal "ipv4ll")
    (lib.enableFeature withPrivilegeSeparation "privsep")
    (lib.enableFeature withIpv6 "ipv6")
    (lib.enableFeature withIpv6 "dhcp6")
  ];
  preConfigure = ''
    export CFLAGS LDFLAGS
  '';
  # The default configuration is /etc's.
  installPhase = ''
    install -D -m 755 -t "$out/bin" src/dhcpcd
    install -D -m 755 -t "$out/libexec" hooks/dhcpcd-run-hooks
    install -D -m 644 -t "$out/libexec/dhcpcd-hooks" hooks/20-resolv.conf hooks/01-test
  '';

  testScript = ''
    run dhcpcd --version | grep -q "^dhcpcd 9.4.1"
    run dhcpcd --variables | grep -q "subnet_mask"
  '';

  meta = {
    description = "Addresses by DHCP, for IPv4 and IPv6 and their prefixes";
    homepage = "https://roy.marples.name/projects/dhcpcd";
    license = lib.licenses.bsd2;
    mainProgram = "dhcpcd";
  };
}
