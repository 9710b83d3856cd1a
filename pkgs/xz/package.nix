{
  lib,
  debianMirror,
  debianPatches,
  fetchurl,
  tinyStdenv,
}:
let
  version = "5.4.1";
in
tinyStdenv.mkDerivation {
  pname = "xz";
  inherit version;

  src = fetchurl {
    urls = [
      "https://tukaani.org/xz/xz-${version}.tar.xz"
      (debianMirror "x/xz-utils/xz-utils_${version}.orig.tar.xz")
    ];
    hash = "sha256-XZgnqhh1shwoj3iGS7JtJlC0NuqNLK02Tkkh62JmpaU=";
  };

  patches = debianPatches {
    name = "xz";
    src = fetchurl {
      name = "xz-utils_5.4.1-1-deb12u1.debian.tar.xz";
      url = debianMirror "x/xz-utils/xz-utils_5.4.1-1+deb12u1.debian.tar.xz";
      hash = "sha256-PhYtsrdkgMfhV/TC9v+aQm/AI/Ji1Nwyh1MLNuKEPr4=";
    };
    patches = [
      # Threads used memory that was already freed (CVE-2025-31115), in four steps.
      "liblzma-mt-dec-Fix-a-comment.patch"
      "liblzma-mt-dec-Simplify-by-removing-the-THR_STOP-state.patch"
      "liblzma-mt-dec-Don-t-free-the-input-buffer-too-early-CVE-.patch"
      "liblzma-mt-dec-Don-t-modify-thr-in_size-in-the-worker-thr.patch"
      "liblzma-Fix-a-buffer-overflow-in-lzma_index_append.patch"
      "xz-Prevent-an-integer-overflow-in-files-and-files0.patch"
    ];
  };

  outputs = [
    "out"
    "dev"
  ];
  configureFlags = [
    "--disable-shared"
    "--disable-nls"
    "--disable-doc"
    "--disable-scripts"
    "--disable-lzmadec"
    "--disable-lzmainfo"
    "--disable-rpath"
    "--enable-small"
  ];
  postInstall = ''
    rm -f "$out"/bin/{lz*,unlzma}
  '';

  testScript = ''
    seq 1 10000 >numbers
    run xz -9e <numbers >numbers.xz
    [ "$(wc -c <numbers.xz)" -lt 8000 ]
    run xz -t numbers.xz
    xzcat numbers.xz | cmp - numbers
  '';

  meta = {
    description = "A compression program and library with small results";
    homepage = "https://tukaani.org/xz/";
    license = [
      lib.licenses.publicDomain
      lib.licenses.gpl2Plus
    ];
    mainProgram = "xz";
  };
}
