# Debian's tarball has no configure script; there is little that one would find out.
{
  lib,
  debianMirror,
  fetchurl,
  tinyStdenv,
  util-linux,
}:
let
  version = "1.15.0";
in
tinyStdenv.mkDerivation {
  pname = "f2fs-tools";
  inherit version;
  lto = true;

  src = fetchurl {
    name = "f2fs-tools_${version}.orig.tar.xz";
    url = debianMirror "f/f2fs-tools/f2fs-tools_${version}.orig.tar.xz";
    hash = "sha256-/bPNWD8aJhSeYioMoCI1nRLY5tS+2V9NLbIowRGkkUs=";
  };

  buildInputs = [ util-linux.dev ];
  dontConfigure = true;
  config = ./config.h;
  buildPhase = ''
    cp "$config" config.h
    compile="$CC $CFLAGS -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DWITH_BLKDISCARD -include config.h -Iinclude -I."
    library="lib/libf2fs.c lib/libf2fs_io.c lib/libf2fs_zoned.c lib/nls_utf8.c"
    $compile -o mkfs.f2fs mkfs/*.c $library $LDFLAGS -luuid -lblkid
    $compile -o fsck.f2fs fsck/*.c $library $LDFLAGS -luuid -lblkid
  '';
  installPhase = ''
    install -D -m 755 -t "$out/bin" mkfs.f2fs fsck.f2fs
    for name in dump.f2fs resize.f2fs; do ln -s fsck.f2fs "$out/bin/$name"; done
  '';

  testScript = ''
    truncate -s 64M image
    run mkfs.f2fs -l label image | grep -q "Info: format successful"
    run fsck.f2fs --dry-run image | grep -q "Info: superblock features"
    run fsck.f2fs --dry-run image | grep -q "Done: "
  '';

  meta = {
    description = "Makes and checks the file system F2FS, for flash";
    homepage = "https://git.kernel.org/pub/scm/linux/kernel/git/jaegeuk/f2fs-tools.git";
    license = [
      lib.licenses.gpl2Only
      lib.licenses.lgpl21Only
    ];
    mainProgram = "mkfs.f2fs";
  };
}
