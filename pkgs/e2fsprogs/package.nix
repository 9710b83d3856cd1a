{
  lib,
  debianMirror,
  debianPatches,
  fetchurl,
  tinyStdenv,
  # Of its programs, by their paths in the source.
  programs ? [
    "e2fsck/e2fsck"
    "misc/mke2fs"
    "misc/tune2fs"
    "resize/resize2fs"
  ],
}:
let
  version = "1.47.0";
in
tinyStdenv.mkDerivation {
  pname = "e2fsprogs";
  inherit version;

  src = fetchurl {
    urls = [
      "https://www.kernel.org/pub/linux/kernel/people/tytso/e2fsprogs/v${version}/e2fsprogs-${version}.tar.gz"
      (debianMirror "e/e2fsprogs/e2fsprogs_${version}.orig.tar.gz")
    ];
    hash = "sha256-Zmev3lbu8MavJmhJdEAOTSKI6knpRBv15iKRldUaNXg=";
  };

  patches = debianPatches {
    name = "e2fsprogs";
    src = fetchurl {
      name = "e2fsprogs_1.47.0-2.debian.tar.xz";
      url = debianMirror "e/e2fsprogs/e2fsprogs_1.47.0-2.debian.tar.xz";
      hash = "sha256-OnVuCNMAZmA540V3KT0R1wx6HaeFD61HhYCoGvY0gnc=";
    };
    # File systems that older kernels mount, too.
    patches = [ "disable-metadata_csum_seed-and-orphan_file-by-default" ];
  };

  configureFlags = [
    "--disable-backtrace"
    "--disable-debugfs"
    "--disable-defrag"
    "--disable-fuse2fs"
    "--disable-imager"
    "--disable-mmp"
    "--disable-nls"
    "--disable-tdb"
    "--disable-testio-debug"
    "--disable-tls"
    "--disable-uuidd"
    "--enable-libblkid"
    "--enable-libuuid"
    "--sysconfdir=/etc"
    "--without-pthread"
  ];
  buildFlags = [
    "libs"
    "V=1"
  ];
  postBuild = ''
    for program in ${toString programs}; do
      make -C "''${program%/*}" "''${program##*/}" V=1
    done
  '';
  # One program is several file systems' by its name.
  installPhase = ''
    install -D -m 755 -t "$out/bin" ${toString programs}
    if [ -e "$out/bin/mke2fs" ]; then
      for type in ext2 ext3 ext4; do ln -s mke2fs "$out/bin/mkfs.$type"; done
    fi
    if [ -e "$out/bin/e2fsck" ]; then
      for type in ext2 ext3 ext4; do ln -s e2fsck "$out/bin/fsck.$type"; done
    fi
  '';

  testScript = ''
    mkdir tree
    seq 1 1000 >tree/numbers
    truncate -s 8M image
    run mkfs.ext4 -q -d tree image
    run e2fsck -f -n image | grep -q "12/2048 files"
    truncate -s 16M image
    run resize2fs image
    run tune2fs -l image | grep -q "^Block count: *16384"
    run e2fsck -f -n image
  '';

  meta = {
    description = "Makes, checks and changes the file systems ext2, ext3 and ext4";
    homepage = "https://e2fsprogs.sourceforge.net/";
    license = [
      lib.licenses.gpl2Only
      lib.licenses.lgpl2Only
      lib.licenses.bsd3
      lib.licenses.mit
    ];
    mainProgram = "mke2fs";
  };
}
