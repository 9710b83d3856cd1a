# The packet filter of the older interface, ip_tables. Its successor nftables needs libmnl and libnftnl, and the
# sources of none of the three can be had from the pinned archive.
{
  lib,
  debianMirror,
  fetchurl,
  tinyStdenv,
  withIpv6 ? true,
  # Its matches and targets, by the names of their files in the source; null for all of them.
  extensions ? [
    "ip6t_REJECT"
    "ip6t_icmp6"
    "ipt_REJECT"
    "ipt_icmp"
    "xt_LOG"
    "xt_MARK"
    "xt_NAT"
    "xt_TCPMSS"
    "xt_comment"
    "xt_conntrack"
    "xt_limit"
    "xt_mac"
    "xt_mark"
    "xt_multiport"
    "xt_standard"
    "xt_tcp"
    "xt_udp"
  ],
}:
let
  version = "1.8.9";
in
tinyStdenv.mkDerivation {
  pname = "iptables";
  inherit version;

  src = fetchurl {
    urls = [
      "https://www.netfilter.org/projects/iptables/files/iptables-${version}.tar.xz"
      (debianMirror "i/iptables/iptables_${version}.orig.tar.xz")
    ];
    hash = "sha256-72Y5pDvoMlpPjqaBI/+sI2y2lujHhQG2ToEGr7AIyH8=";
  };

  # What is built is what lies there.
  postPatch = lib.optionalString (extensions != null) ''
    mkdir all-extensions
    mv extensions/lib*_*.c all-extensions
    for extension in $extensions; do
      [ -e "all-extensions/lib$extension.c" ] ||
        die "iptables has no extension '$extension': take one of $(
          cd all-extensions && printf '%s ' lib*.c | sed 's/lib\([^ ]*\)\.c/\1/g'
        )"
      mv "all-extensions/lib$extension.c" extensions
    done
  '';
  inherit extensions;

  configureFlags = [
    "--disable-connlabel"
    "--disable-devel"
    "--disable-nftables"
    "--disable-shared"
    "--enable-static"
    (lib.enableFeature withIpv6 "ipv6")
    "--sbindir=${placeholder "out"}/bin"
  ];
  postInstall = ''
    # What other programs would be linked with, and scripts for bash.
    rm -r "$out"/{lib,share} "$out"/bin/*-apply
    rm -rf "$out/etc"
  '';

  # The box has no tables to filter by: what is read comes back as another text, and what is wrong is refused
  # before the kernel is asked.
  testScript = ''
    run iptables --version | grep -q "^iptables v${version} (legacy)"
    cat >rules <<END
    *filter
    :INPUT DROP [0:0]
    -A INPUT -p tcp -m tcp --dport 22 -m limit --limit 3/minute -j ACCEPT
    COMMIT
    END
    run iptables-xml rules >said
    grep -q "<dport >22</dport>" said
    grep -q "<ACCEPT" said
    ! run iptables -A INPUT -p tcp --dport 65536 -j ACCEPT 2>said
    grep -q "invalid port/service" said
    run iptables -p tcp -m conntrack -j TCPMSS --help | grep -q -e "--clamp-mss-to-pmtu"
    ! run iptables -A INPUT -m nonexistent 2>said
    grep -q "Couldn't find match" said
  '';

  meta = {
    description = "Rules for what packets the kernel lets through, by its older interface";
    homepage = "https://www.netfilter.org/projects/iptables/";
    license = lib.licenses.gpl2Plus;
    mainProgram = "iptables";
  };
}
