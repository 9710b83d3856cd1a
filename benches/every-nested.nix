# As every-drv.nix, and the package sets of corepkgs that do not ask to be searched: of every interpreter, kernel
# and so on. Left out are whole package sets once more (`pkgsMusl`, `buildPackages`, ...), and what fails in a way
# that `tryEval` cannot catch at corepkgs 9c8533eb, under every Nix.
pkgs:

let
  every = import ./every-drv.nix;
  lua = [
    "bustedCheckHook"
    "luarocks-nix"
    "luarocksCheckHook"
  ];
  linux = [
    "ajantv2"
    "ax99100"
    "bcachefs"
    "chipsec"
    "decklink"
    "dpdk"
    "drbd"
    "ecapture"
    "fwts-efi-runtime"
    "kvmfr"
    "lenovo-legion-module"
    "linux-gpib"
    "mdio-netlink"
    "mstflint_access"
    "oci-seccomp-bpf-hook"
    "odp-dpdk"
    "openafs"
    "openafs_1_8"
    "openrazer"
    "opensnitch-ebpf"
    "pktgen"
    "rr-zen_workaround"
    "sheep-net"
    "sysdig"
    "system76-power"
    "system76-scheduler"
    "systemtap"
    "v86d"
    "vhba"
    "virtualbox"
    "virtualboxGuestAdditions"
    "zfs_2_3"
    "zfs_2_4"
    "zfs_unstable"
  ];
  failing = {
    haskellPackages = [ ];
    linuxPackages = linux;
    linuxPackages_5_10 = linux;
    linuxPackages_5_15 = linux;
    linuxPackages_6_1 = linux;
    linuxPackages_6_12 = linux;
    linuxPackages_6_17 = linux;
    linuxPackages_6_18 = linux;
    linuxPackages_6_6 = linux;
    linuxPackages_latest = linux;
    luaPackages = lua;
    luajitPackages = lua;
    opensshPackages = [ ];
    pypy310Packages = [ ];
    pypy311Packages = [ ];
    pypy3Packages = [ ];
    python310Packages = [ ];
    python311Packages = [ ];
    python314Packages = [ ];
    python315Packages = [ ];
    python3Packages = [ ];
    pythonInterpreters = [ ];
    rustPackages = [ ];
    rustPackages_1_91 = [ ];
  };
in
{
  top = every pkgs;
}
// builtins.mapAttrs (name: names: every (removeAttrs pkgs.${name} names)) failing
