# wolfSSL's cryptography without its TLS: what WPA3 needs of elliptic curves.
{
  lib,
  debianMirror,
  fetchurl,
  tinyStdenv,
}:
let
  version = "5.5.4";

  # What its configure script would write into options.h; the script itself is not in the source.
  options = [
    "WOLFCRYPT_ONLY"
    "NO_ASN"
    "NO_DSA"
    "NO_ERROR_STRINGS"
    "NO_FILESYSTEM"
    "NO_RC4"
    "NO_RSA"
    "SINGLE_THREADED"
    # Numbers of any size up to this, in time that does not tell them.
    "WOLFSSL_SP_MATH_ALL"
    "WOLFSSL_SP_INT_NEGATIVE"
    "SP_INT_BITS 4096"
    "WOLFSSL_PUBLIC_MP"
    "ECC_TIMING_RESISTANT"
    "TFM_TIMING_RESISTANT"
    "HAVE_ECC"
    "HAVE_ECC384"
    "HAVE_ECC521"
    "WOLFSSL_PUBLIC_ECC_ADD_DBL"
    "WOLFSSL_VALIDATE_ECC_IMPORT"
    "WOLFSSL_SHA384"
    "WOLFSSL_SHA512"
    "WOLFSSL_AES_DIRECT"
    "HAVE_AES_ECB"
    "HAVE_AES_KEYWRAP"
    "WOLFSSL_CMAC"
    "WOLFSSL_DES_ECB"
    "HAVE_HASHDRBG"
  ];
  parts = [
    "aes"
    "cmac"
    "des3"
    "dh"
    "ecc"
    "hash"
    "hmac"
    "kdf"
    "md4"
    "md5"
    "memory"
    "pwdbased"
    "random"
    "sha"
    "sha256"
    "sha512"
    "sp_int"
    "wc_port"
    "wolfmath"
  ];
in
tinyStdenv.mkDerivation {
  pname = "wolfssl";
  inherit parts version;

  # What GitHub makes of the tag, as Debian got it. Debian's patches for security are about TLS.
  src = fetchurl {
    name = "wolfssl_${version}.orig.tar.gz";
    url = debianMirror "w/wolfssl/wolfssl_${version}.orig.tar.gz";
    hash = "sha256-t+4VDkne93x2W8AqrJLd6wvr79TLEqomPY+V5AUiH7g=";
  };

  unpackPhase = ''
    tar -xf "$src" --no-same-owner --wildcards '*/wolfcrypt/src/*' '*/wolfssl/*' '*/COPYING'
    sourceRoot=wolfssl-$version-stable
  '';
  options =
    "#ifndef WOLFSSL_OPTIONS_H\n#define WOLFSSL_OPTIONS_H\n"
    + lib.concatMapStrings (option: "#define ${option}\n") options
    + "#endif\n";
  passAsFile = [ "options" ];
  configurePhase = ''
    cp "$optionsPath" wolfssl/options.h
  '';
  buildPhase = ''
    for part in $parts; do
      "$CC" $CFLAGS -I. -include wolfssl/options.h -c "wolfcrypt/src/$part.c"
    done
    "$AR" rcsD libwolfssl.a *.o
    "$CC" $CFLAGS $LDFLAGS -I. -o known-answers ${./known-answers.c} libwolfssl.a -lm
  '';
  installPhase = ''
    install -D -m 644 -t "$out/lib" libwolfssl.a
    mkdir -p "$out/include/wolfssl"
    cp -r wolfssl/*.h wolfssl/openssl wolfssl/wolfcrypt "$out/include/wolfssl/"
    install -D -m 755 -t "$test/bin" known-answers
  '';
  # A small program for those who test.
  outputs = [
    "out"
    "test"
  ];

  testScript = ''
    "$package_test/bin/known-answers" >said
    grep -qx ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad said
    grep -qix 7cf27b188d034f7e8a52380304b51ac3c08969e277f21b35a60b48fc47669978 said
  '';

  meta = {
    description = "Cryptography for small systems";
    homepage = "https://www.wolfssl.com/";
    license = lib.licenses.gpl2Plus;
  };
}
