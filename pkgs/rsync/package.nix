{
  lib,
  debianMirror,
  debianPatches,
  fetchurl,
  tinyStdenv,
  # Access lists and extended attributes of files.
  withAttributes ? false,
}:
let
  version = "3.2.7";
in
tinyStdenv.mkDerivation {
  pname = "rsync";
  inherit version;

  src = fetchurl {
    urls = [
      "https://download.samba.org/pub/rsync/src/rsync-${version}.tar.gz"
      (debianMirror "r/rsync/rsync_${version}.orig.tar.gz")
    ];
    hash = "sha256-Tn2dP27RCHjFjF+3JKZ9rPS2qsc0CxPkiPstxBNG8rs=";
  };

  patches = debianPatches {
    name = "rsync";
    src = fetchurl {
      name = "rsync_3.2.7-1-deb12u6.debian.tar.xz";
      url = debianMirror "r/rsync/rsync_3.2.7-1+deb12u6.debian.tar.xz";
      hash = "sha256-69T8nVKkY43Ugxap7+1vvyuQFFiPoHqm+QvxdSfLjhs=";
    };
    patches = import ./patches.nix;
  };

  # The patches change what autoconf made its script from, not the script.
  postPatch = ''
    touch aclocal.m4 configure.ac
    touch config.h.in configure.sh configure
  '';

  configureFlags = [
    "--disable-debug"
    "--disable-iconv"
    "--disable-locale"
    "--disable-lz4"
    "--disable-md2man"
    "--disable-md5-asm"
    "--disable-openssl"
    "--disable-roll-asm"
    "--disable-roll-simd"
    "--disable-xxhash"
    "--disable-zstd"
    "--with-included-popt"
    "--with-included-zlib"
    (lib.enableFeature withAttributes "acl-support")
    (lib.enableFeature withAttributes "xattr-support")
  ];
  buildFlags = [ "rsync" ];
  installPhase = ''
    install -D -m 755 -t "$out/bin" rsync
  '';

  testScript = ''
    mkdir -p from/folder
    seq 1 1000 >from/folder/numbers
    run rsync -a --rsync-path="$package/bin/rsync" from/ to
    cmp from/folder/numbers to/folder/numbers
    echo more >>from/folder/numbers
    run rsync -a --checksum --no-whole-file --itemize-changes from/ to | grep -q "folder/numbers"
    cmp from/folder/numbers to/folder/numbers
  '';

  meta = {
    description = "Copies trees of files, also over the network, and sends what changed";
    homepage = "https://rsync.samba.org/";
    license = lib.licenses.gpl3Plus;
    mainProgram = "rsync";
  };
}
