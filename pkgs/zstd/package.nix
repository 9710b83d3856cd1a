{
  lib,
  debianMirror,
  debianPatches,
  fetchurl,
  tinyStdenv,
  # Formats of the program beside its own.
  withLegacy ? false,
}:
tinyStdenv.mkDerivation {
  pname = "zstd";
  version = "1.5.4";

  # Debian's tarball is upstream's without files that are not free.
  src = fetchurl {
    name = "libzstd_1.5.4-dfsg2.orig.tar.xz";
    url = debianMirror "libz/libzstd/libzstd_1.5.4+dfsg2.orig.tar.xz";
    hash = "sha256-jPS7tl537DSNBSyNYjDrpm1DW932TItb4vyxaIDBmVM=";
  };

  patches = debianPatches {
    name = "zstd";
    src = fetchurl {
      name = "libzstd_1.5.4-dfsg2-5.debian.tar.xz";
      url = debianMirror "libz/libzstd/libzstd_1.5.4+dfsg2-5.debian.tar.xz";
      hash = "sha256-gs6RFEV3KGHQg4vUVF+TvFBli8fzzv2xejB9+4/8pdg=";
    };
    # Some blocks became larger than the format allows.
    patches = [ "0020-upstream-fix-block-splitter.patch" ];
  };

  outputs = [
    "out"
    "dev"
  ];
  makeFlags = [
    "ZSTD_LEGACY_SUPPORT=${if withLegacy then "5" else "0"}"
    "ZSTD_LIB_DICTBUILDER=0"
    "HAVE_ZLIB=0"
    "HAVE_LZMA=0"
    "HAVE_LZ4=0"
    "HAVE_THREAD=1"
    "BACKTRACE=0"
    "V=1"
  ];
  buildPhase = ''
    export CPPFLAGS=-DZSTD_LEGACY_SUPPORT=${if withLegacy then "5" else "0"}
    runMake "$(parallelJobs)" inLib
    runMake "$(parallelJobs)" inPrograms
  '';
  inLib = [
    "-C"
    "lib"
    "libzstd.a"
  ];
  inPrograms = [
    "-C"
    "programs"
    "zstd-release"
  ];
  installPhase = ''
    install -D -m 755 -t "$out/bin" programs/zstd
    for name in unzstd zstdcat; do ln -s zstd "$out/bin/$name"; done
    install -D -m 644 -t "$dev/lib" lib/libzstd.a
    install -D -m 644 -t "$dev/include" lib/zstd.h lib/zstd_errors.h
    install -d "$dev/lib/pkgconfig"
    sed -e "s|@PREFIX@|$dev|" -e 's|@EXEC_PREFIX@|''${prefix}|' -e 's|@LIBDIR@|''${prefix}/lib|' \
      -e 's|@INCLUDEDIR@|''${prefix}/include|' -e "s|@VERSION@|$version|" -e 's|@LIBS_PRIVATE@||' \
      lib/libzstd.pc.in >"$dev/lib/pkgconfig/libzstd.pc"
  '';

  testScript = ''
    seq 1 10000 >numbers
    run zstd -q -19 numbers -o numbers.zst
    [ "$(wc -c <numbers.zst)" -lt 20000 ]
    run zstdcat numbers.zst | cmp - numbers
  '';

  meta = {
    description = "A fast compression program and library";
    homepage = "https://facebook.github.io/zstd/";
    license = lib.licenses.OR [
      lib.licenses.bsd3
      lib.licenses.gpl2Only
    ];
    mainProgram = "zstd";
  };
}
