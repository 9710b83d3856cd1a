# Debian's tarball has no configure script; there is little that one would find out.
{
  lib,
  debianMirror,
  fetchurl,
  tinyStdenv,
  zlib,
  # Of its programs, by their paths in the source; busybox has smaller ones of some.
  programs ? [
    "jffsX-utils/mkfs.jffs2"
    "misc-utils/flash_erase"
    "ubi-utils/mtdinfo"
    "ubi-utils/ubiformat"
    "ubi-utils/ubinfo"
    "ubi-utils/ubinize"
  ],
}:
let
  version = "2.1.5";
in
tinyStdenv.mkDerivation {
  pname = "mtd-utils";
  inherit version;

  src = fetchurl {
    name = "mtd-utils_${version}.orig.tar.xz";
    url = debianMirror "m/mtd-utils/mtd-utils_${version}.orig.tar.xz";
    hash = "sha256-YqWr8ic+obs0l3ntOL9qa0jbohMvGTVAUqe1AXWCxjE=";
  };

  buildInputs = [ zlib ];
  dontConfigure = true;
  buildPhase = ''
    compile="$CC $CFLAGS -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -std=gnu99 -DVERSION=\"$version\" -DWITHOUT_LZO
      -DWITHOUT_XATTR -DWITH_GETRANDOM -Iinclude"
    library="lib/libmtd.c lib/libfec.c lib/common.c lib/libcrc32.c lib/libmtd_legacy.c lib/libubi.c
      lib/libubigen.c lib/libscan.c lib/libiniparser.c lib/dictionary.c"
    for source in $library; do
      $compile -c -o "''${source%.c}.o" "$source"
    done
    for program in ${toString programs}; do
      more=
      case $program in
        */mkfs.jffs2) more="$(echo jffsX-utils/{rbtree,compr,compr_zlib,compr_rtime,compr_lzo}.c) -lz" ;;
      esac
      # shellcheck disable=SC2086
      $compile -DPROGRAM_NAME="\"''${program##*/}\"" -o "''${program##*/}" "$program.c" lib/*.o $more $LDFLAGS
    done
  '';
  installPhase = ''
    for program in ${toString programs}; do
      install -D -m 755 -t "$out/bin" "''${program##*/}"
    done
  '';

  testScript = ''
    mkdir tree
    seq 1 1000 >tree/numbers
    run mkfs.jffs2 -d tree -e 65536 -l -o image
    # The number that each node of the file system begins with.
    od -A n -t x1 -N 2 image | grep -q "85 19"
    printf '[volume]\nmode=ubi\nimage=image\nvol_id=0\nvol_type=dynamic\nvol_name=root\nvol_size=1MiB\n' >ubi.ini
    run ubinize -o ubi.image -m 1 -p 128KiB ubi.ini
    [ "$(head -c 4 ubi.image)" = "UBI#" ]
    run mtdinfo --version | grep -q "2.1.5"
  '';

  meta = {
    description = "Programs for raw flash: MTD, UBI and JFFS2";
    homepage = "http://www.linux-mtd.infradead.org/";
    license = lib.licenses.gpl2Plus;
  };
}
