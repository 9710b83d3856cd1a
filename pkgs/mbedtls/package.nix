{
  lib,
  debianMirror,
  fetchurl,
  tinyStdenv,
  # Parts to leave out, without MBEDTLS_: what clients and servers of today do not speak.
  without ? [
    "ARIA_C"
    "BLOWFISH_C"
    "CAMELLIA_C"
    "CERTS_C"
    "DEBUG_C"
    "DES_C"
    "DHM_C"
    "ECP_DP_SECP192K1_ENABLED"
    "ECP_DP_SECP192R1_ENABLED"
    "ECP_DP_SECP224K1_ENABLED"
    "ECP_DP_SECP224R1_ENABLED"
    "KEY_EXCHANGE_DHE_PSK_ENABLED"
    "KEY_EXCHANGE_DHE_RSA_ENABLED"
    "KEY_EXCHANGE_ECDHE_PSK_ENABLED"
    "KEY_EXCHANGE_PSK_ENABLED"
    "KEY_EXCHANGE_RSA_PSK_ENABLED"
    "RIPEMD160_C"
    "SELF_TEST"
    "SSL_CBC_RECORD_SPLITTING"
    "SSL_DTLS_ANTI_REPLAY"
    "SSL_DTLS_BADMAC_LIMIT"
    "SSL_DTLS_CLIENT_PORT_REUSE"
    "SSL_DTLS_HELLO_VERIFY"
    "SSL_PROTO_DTLS"
    "SSL_PROTO_TLS1"
    "SSL_PROTO_TLS1_1"
    "VERSION_FEATURES"
    "XTEA_C"
  ],
}:
let
  version = "2.28.3";
in
tinyStdenv.mkDerivation {
  pname = "mbedtls";
  inherit version without;

  # What GitHub makes of the tag, as Debian got it.
  src = fetchurl {
    name = "mbedtls_${version}.orig.tar.gz";
    url = debianMirror "m/mbedtls/mbedtls_${version}.orig.tar.gz";
    hash = "sha256-O0lTqlWmgeCE0xiS2ZBMxTKNa0lY6le5CuS0+Urmmo0=";
  };

  configurePhase = ''
    for part in $without; do
      sed -i "s|^#define MBEDTLS_$part\b.*|//&|" include/mbedtls/config.h
      grep -q "^//#define MBEDTLS_$part\b" include/mbedtls/config.h || die "there is no MBEDTLS_$part"
    done
  '';
  makeFlags = [
    "-C"
    "library"
    "static"
  ];
  preBuild = ''
    makeFlagsArray=("CC=$CC" "AR=$AR" "RLD=" "CFLAGS=$CFLAGS")
  '';
  installPhase = ''
    install -D -m 644 -t "$out/lib" library/libmbedtls.a library/libmbedx509.a library/libmbedcrypto.a
    mkdir -p "$out/include"
    cp -r include/mbedtls include/psa "$out/include/"
    $CC $CFLAGS $LDFLAGS -Iinclude -o generic_sum programs/hash/generic_sum.c library/libmbedcrypto.a
    install -D -m 755 -t "$test/bin" generic_sum
  '';
  # A small program for those who test.
  outputs = [
    "out"
    "test"
  ];

  testScript = ''
    printf abc >file
    "$package_test/bin/generic_sum" SHA256 file | grep -q \
      "^ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
  '';

  meta = {
    description = "A small library for TLS and cryptography";
    homepage = "https://www.trustedfirmware.org/projects/mbed-tls/";
    license = lib.licenses.OR [
      lib.licenses.asl20
      lib.licenses.gpl2Plus
    ];
  };
}
