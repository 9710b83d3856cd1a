# The same packages, made in several ways: what docs/sizes.md compares. `benches/sizes/run` prints the table.
{
  system ? "x86_64-linux",
  target ? "x86_64-unknown-linux-musl",
}:
let
  ways = {
    O2 = {
      lto = false;
      optimise = "-O2";
    };
    Os.lto = false;
    lto.lto = true;
    noSections = {
      lto = false;
      sections = false;
    };
    shared = {
      lto = false;
      static = false;
    };
  };

  overlay =
    way: final: prev:
    {
      tinyFlags = prev.tinyFlags.override way;
    }
    // (if way.static or true then { } else { musl = prev.musl.override { shared = true; }; });

  setOf =
    way:
    import ../../pkgs {
      inherit system;
      crossSystem.config = target;
      overlays = [ (overlay way) ];
    };

  packagesOf = pkgs: {
    busybox = pkgs.busybox.override {
      applets = [
        "cat"
        "init"
        "ip"
        "ls"
        "mount"
        "poweroff"
        "sh"
        "udhcpc"
      ];
    };
    inherit (pkgs)
      chrony
      curl
      dhcpcd
      dnsmasq
      dropbear
      e2fsprogs
      ethtool
      execline
      f2fs-tools
      hostapd
      iperf3
      iproute2
      iptables
      kexec-tools
      kmod
      lua
      mini-httpd
      mtd-utils
      nano
      ppp
      rsync
      s6
      sqlite
      strace
      tcpdump
      tmux
      util-linux
      wireguard-tools
      wpa_supplicant
      xz
      zstd
      ;
  };
in
builtins.mapAttrs (
  _way: flags:
  let
    pkgs = setOf flags;
  in
  packagesOf pkgs // (if flags.static or true then { } else { inherit (pkgs) musl; })
) ways
