# What busybox has not, or has less of; and the libraries, for other packages.
{
  lib,
  buildPackages,
  debianMirror,
  debianPatches,
  fetchurl,
  tinyStdenv,
  # Of its programs, by their names.
  programs ? [
    "blkid"
    "lsblk"
    "sfdisk"
    "wipefs"
  ],
}:
let
  version = "2.38.1";
in
tinyStdenv.mkDerivation {
  pname = "util-linux";
  inherit version;

  src = fetchurl {
    urls = [
      "https://www.kernel.org/pub/linux/utils/util-linux/v2.38/util-linux-${version}.tar.xz"
      (debianMirror "u/util-linux/util-linux_${version}.orig.tar.xz")
    ];
    hash = "sha256-YEkqGbRObPmj3f9oMlszO4tStsWc4+vWoOyqTFEX6E8=";
  };

  patches = debianPatches {
    name = "util-linux";
    src = fetchurl {
      name = "util-linux_2.38.1-5-deb12u3.debian.tar.xz";
      url = debianMirror "u/util-linux/util-linux_2.38.1-5+deb12u3.debian.tar.xz";
      hash = "sha256-1GuFMT9Tb8SDGmm6P6LIFgRQtbJsfF36/OTweP5PIFw=";
    };
    patches = [
      "upstream/0005-lsblk-fix-endless-loop-if-device-specified-more-than.patch"
      "upstream/0012-libfdisk-gpt-don-t-ignore-fsync-errors.patch"
      "upstream/0013-sfdisk-inform-about-failed-fsync-coverity-scan.patch"
      "upstream/0025-libblkid-ntfs-avoid-UB-in-signed-shift.patch"
      "upstream/0026-libblkid-iso9660-allocate-enough-space-for-UTF16-dec.patch"
    ];
  };

  outputs = [
    "out"
    "dev"
  ];
  nativeBuildInputs = [ buildPackages.pkg-config ];
  configureFlags = [
    "--disable-asciidoc"
    "--disable-bash-completion"
    "--disable-nls"
    "--disable-shared"
    "--disable-widechar"
    "--enable-libblkid"
    "--enable-libfdisk"
    "--enable-libmount"
    "--enable-libsmartcols"
    "--enable-libuuid"
    "--localstatedir=/var"
    "--runstatedir=/run"
    "--sysconfdir=/etc"
    "--without-cap-ng"
    "--without-libmagic"
    "--without-libz"
    "--without-ncurses"
    "--without-ncursesw"
    "--without-python"
    "--without-readline"
    "--without-systemd"
    "--without-tinfo"
    "--without-udev"
  ];
  # Of all that the script finds possible only this is made.
  buildFlags = [
    "libblkid.la"
    "libfdisk.la"
    "libmount.la"
    "libsmartcols.la"
    "libuuid.la"
  ]
  ++ programs;
  installPhase = ''
    install -D -m 755 -t "$out/bin" ${toString programs}
    for library in blkid fdisk mount smartcols uuid; do
      install -D -m 644 -t "$dev/lib" .libs/lib$library.a
      install -D -m 644 -t "$dev/include/lib$library" lib$library/src/*.h
      [ ! -e "lib$library/$library.pc" ] || install -D -m 644 -t "$dev/lib/pkgconfig" "lib$library/$library.pc"
    done
    # By the names that programs include.
    install -D -m 644 -t "$dev/include/uuid" libuuid/src/uuid.h
    install -D -m 644 -t "$dev/include/blkid" libblkid/src/blkid.h
  '';

  testScript = ''
    truncate -s 64M disk
    printf 'label: gpt\nsize=16M, type=U, name=boot\ntype=L\n' | run sfdisk -q disk
    run sfdisk -d disk | grep -q 'size=       32768, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B.*name="boot"'
    [ "$(run blkid -p -s PTTYPE -o value disk)" = gpt ]
    run wipefs -q -a disk
    ! run blkid -p disk
    run lsblk --version | grep -q "2.38.1"
  '';

  meta = {
    description = "Programs for disks and their partitions, and the libraries that they are made with";
    homepage = "https://www.kernel.org/pub/linux/utils/util-linux/";
    license = [
      lib.licenses.gpl2Plus
      lib.licenses.lgpl21Plus
      lib.licenses.bsd3
    ];
  };
}
