{
  lib,
  debianMirror,
  debianPatches,
  fetchurl,
  mbedtls,
  tinyStdenv,
  zlib,
  # Where the certificates are that it trusts.
  certificates ? "/etc/ssl/certs/ca-bundle.crt",
  # Without it there is no https.
  withTls ? true,
  # Answers that servers compress.
  withCompression ? false,
  # Further protocols by the names that configure has: ftp, mqtt, smtp, ...
  protocols ? [ ],
}:
let
  version = "7.88.1";
  optional = [
    "dict"
    "ftp"
    "gopher"
    "imap"
    "mqtt"
    "pop3"
    "rtsp"
    "smb"
    "smtp"
    "telnet"
    "tftp"
  ];
in
tinyStdenv.mkDerivation {
  pname = "curl";
  inherit version;

  src = fetchurl {
    urls = [
      "https://curl.se/download/curl-${version}.tar.gz"
      (debianMirror "c/curl/curl_${version}.orig.tar.gz")
    ];
    hash = "sha256-zbOLcuNrxdM9W4gQ+AGOzhuqKajyFbRJXkld7YK788c=";
  };

  patches = debianPatches {
    name = "curl";
    src = fetchurl {
      name = "curl_7.88.1-10-deb12u15.debian.tar.xz";
      url = debianMirror "c/curl/curl_7.88.1-10+deb12u15.debian.tar.xz";
      hash = "sha256-lht4vEhJLFaT5N7LNS3dF280MmColW9Isoh4dASO8js=";
    };
    patches = import ./patches.nix;
  };
  postPatch = ''
    touch aclocal.m4 configure.ac
    find . -name Makefile.in -exec touch {} +
    touch lib/curl_config.h.in configure
  '';

  outputs = [
    "out"
    "dev"
  ];
  buildInputs = lib.optional withTls mbedtls ++ lib.optional withCompression zlib;
  configureFlags = [
    "--disable-shared"
    "--disable-alt-svc"
    "--disable-ares"
    "--disable-dateparse"
    "--disable-debug"
    "--disable-dnsshuffle"
    "--disable-doh"
    "--disable-get-easy-options"
    "--disable-hsts"
    "--disable-ldap"
    "--disable-ldaps"
    "--disable-libcurl-option"
    "--disable-manual"
    "--disable-netrc"
    "--disable-ntlm"
    "--disable-threaded-resolver"
    "--disable-tls-srp"
    "--disable-unix-sockets"
    "--disable-websockets"
    "--enable-ipv6"
    "--enable-optimize"
    "--without-brotli"
    "--without-libgsasl"
    "--without-libidn2"
    "--without-libpsl"
    "--without-librtmp"
    "--without-libssh2"
    "--without-nghttp2"
    "--without-zstd"
    "--without-ca-path"
    "--with-ca-bundle=${certificates}"
    (if withTls then "--with-mbedtls=${mbedtls}" else "--without-ssl")
    (if withCompression then "--with-zlib=${zlib}" else "--without-zlib")
  ]
  ++ map (protocol: lib.enableFeature (lib.elem protocol protocols) protocol) optional;
  postInstall = ''
    rm "$out/bin/curl-config"
  '';

  # In a box nothing but the box's own network can be reached.
  testScript = ''
    run curl --version | grep -q "^curl 7.88.1"
    ${lib.optionalString withTls ''
      run curl --version | grep -q "mbedTLS/2.28.3"
      run curl --version | grep -q "^Protocols: .*https"
    ''}
    mkdir site
    seq 1 1000 >site/numbers
    httpd -f -p 127.0.0.1:8080 -h site &
    run curl --silent --retry 9 --retry-connrefused --output numbers http://127.0.0.1:8080/numbers
    kill $!
    cmp numbers site/numbers
  '';

  meta = {
    description = "Transfers files by URL";
    homepage = "https://curl.se/";
    license = lib.licenses.curl;
    mainProgram = "curl";
  };
}
