{
  lib,
  callPackage,
  debianMirror,
  debianPatches,
  fetchurl,
  stdenv,
  tinyFlags,
  # What is in it: dropbear, dropbearkey, dbclient, dropbearconvert, scp.
  programs ? [
    "dropbear"
    "dropbearkey"
  ],
  # A file of C that says which parts are built.
  localOptions ? ./localoptions.h,
}:
let
  version = "2022.83";
in
stdenv.mkDerivation {
  pname = "dropbear";
  inherit version;

  src = fetchurl {
    urls = [
      "https://matt.ucc.asn.au/dropbear/releases/dropbear-${version}.tar.bz2"
      (debianMirror "d/dropbear/dropbear_${version}.orig.tar.bz2")
    ];
    hash = "sha256-vFoSH/vJS1FxrV6+Ab5CdG1Qqnl8lUmkY5iUoWdJRDs=";
  };

  patches = debianPatches {
    name = "dropbear";
    src = fetchurl {
      name = "dropbear_2022.83-1-deb12u3.debian.tar.xz";
      url = debianMirror "d/dropbear/dropbear_2022.83-1+deb12u3.debian.tar.xz";
      hash = "sha256-dPsXGmMPRQQwt3Gy94HEIKRUKIGudf0vdcoExTo+6pM=";
    };
    patches = [
      # The Terrapin attack on the handshake.
      "CVE-2023-48795.patch"
      "fix-noremotetcp-behavior.patch"
      # The client ran commands from a host name; the former is what the latter builds on.
      "Handle-arbitrary-length-paths-and-commands-in-multihop_pa.patch"
      "CVE-2025-47203.patch"
    ];
  };

  inherit localOptions;
  preConfigure = ''
    cp "$localOptions" localoptions.h
  '';

  configureFlags = [
    "--disable-zlib"
    "--disable-syslog"
    "--disable-lastlog"
    "--disable-utmp"
    "--disable-utmpx"
    "--disable-wtmp"
    "--disable-wtmpx"
    "--disable-loginfunc"
    "--disable-pututline"
    "--disable-pututxline"
    "--disable-harden"
  ]
  ++ lib.optional tinyFlags.static "--enable-static"
  ++ [ "--enable-bundled-libtom" ];
  CFLAGS = toString (
    tinyFlags.base ++ tinyFlags.sections ++ tinyFlags.unwind ++ tinyFlags.ltoFor false
  );
  LDFLAGS = toString tinyFlags.link;

  # One program under several names.
  makeFlags = [ "MULTI=1" ];
  programs = "PROGRAMS=${toString programs}";
  preBuild = ''
    makeFlagsArray=("$programs")
  '';

  installPhase = ''
    runHook preInstall
    install -D -m 755 dropbearmulti "$out/bin/dropbearmulti"
    for program in ${toString programs}; do
      ln -s dropbearmulti "$out/bin/$program"
    done
    runHook postInstall
  '';

  # The other end of a connection, with the same ciphers.
  passthru.client = callPackage ./package.nix {
    programs = [
      "dbclient"
      "dropbearconvert"
    ];
  };

  meta = {
    description = "A small SSH server";
    homepage = "https://matt.ucc.asn.au/dropbear/dropbear.html";
    license = lib.licenses.mit;
    mainProgram = lib.head programs;
  };
}
