{
  lib,
  debianMirror,
  debianPatches,
  fetchurl,
  hostPlatform,
  stdenvNoLibc,
  # Whether there is a library that programs load, too.
  shared ? false,
}:
let
  version = "1.2.3";
in
stdenvNoLibc.mkDerivation {
  pname = "musl";
  inherit version;

  src = fetchurl {
    urls = [
      "https://musl.libc.org/releases/musl-${version}.tar.gz"
      (debianMirror "m/musl/musl_${version}.orig.tar.gz")
    ];
    hash = "sha256-fVsLYGJSHkYn4JnkydyCSNMqMChelZt+7Kp4DPjP1KQ=";
  };

  # This version's own Debian package carries none; those of 1.2.5 apply to it.
  patches = debianPatches {
    name = "musl";
    src = fetchurl {
      name = "musl_1.2.5-3.1-deb13u1.debian.tar.xz";
      url = debianMirror "m/musl/musl_1.2.5-3.1~deb13u1.debian.tar.xz";
      hash = "sha256-Rv37Jx7cLwNdjUBj/y4plzRAlpPngeaeS3fgqaSVBy4=";
    };
    patches = [
      # iconv wrote out of bounds for input in EUC-KR.
      "CVE-2025-26519-0001_iconv_fix_erroneous_input_validation_in_EUC_KR_decod.patch"
      "CVE-2025-26519-0002_iconv_harden_UTF_8_output_code_path_against_input_de.patch"
      # qsort wrote beyond its table of sizes for very large arrays.
      "0002-qsort-fix-leonardo-heap-corruption-from-bug-in-doubl.patch"
    ];
  };

  configurePlatforms = [ "host" ];
  configureFlags = [
    # Programs of an image are static: docs/sizes.md says when that is larger.
    (if shared then "--syslibdir=${placeholder "out"}/lib" else "--disable-shared")
    # Makes the file of specs that cc.sh hands to the compiler.
    "--enable-wrapper=gcc"
    "--enable-optimize=size"
  ];

  postInstall = ''
    # The wrapper script itself names a compiler by a path that is not there later.
    rm -r "$out/bin"
  ''
  # Division in libgcc needs `raise` of this library, which needs division: neither can come first.
  + lib.optionalString (hostPlatform.isAarch32 && !shared) ''
    printf '*link_gcc_c_sequence:\n--start-group %%G %%L --end-group\n\n' >>"$out/lib/musl-gcc.specs"
  '';

  meta = {
    description = "A small C library for Linux";
    homepage = "https://musl.libc.org/";
    license = lib.licenses.mit;
  };
}
