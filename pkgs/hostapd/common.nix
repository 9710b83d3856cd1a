# What hostapd and wpa_supplicant have in common: their source, and how it is built.
{
  lib,
  buildPackages,
  debianMirror,
  debianPatches,
  fetchurl,
  libnl,
  tinyStdenv,
  wolfssl,
}:
let
  version = "2.10";
in
{
  # hostapd or wpa_supplicant: the folder, the package and the first program.
  program,
  # What is installed.
  programs,
  # The lines of the `.config` beside those for every one of the two.
  config,
  testScript,
  meta,
  # Whether it speaks WPA3, whose keys are made on elliptic curves.
  withWpa3,
}:
tinyStdenv.mkDerivation {
  pname = program;
  inherit version testScript;
  lto = true;

  # Debian's tarball has both programs.
  src = fetchurl {
    name = "wpa_${version}.orig.tar.xz";
    url = debianMirror "w/wpa/wpa_${version}.orig.tar.xz";
    hash = "sha256-s5+Fvp2P1Yre4ayuNzXsCh973EYP4/b9dqHVfprJEMY=";
  };

  patches = debianPatches {
    name = "wpa";
    src = fetchurl {
      name = "wpa_2.10-12-deb12u3.debian.tar.xz";
      url = debianMirror "w/wpa/wpa_2.10-12+deb12u3.debian.tar.xz";
      hash = "sha256-tNy2BV6EFJIpgQ0IBxvDBJY/KN0xL/wiTU9AhyDIFO4=";
    };
    patches = [
      "upstream-fixes/0001-nl80211-add-extra-ies-only-if-allowed-by-driver.patch"
      "upstream-fixes/0002-AP-guard-FT-SAE-code-with-CONFIG_IEEE80211R_AP.patch"
      # A server could leave out the second phase of PEAP.
      "0013-CVE-2023-52160-PEAP-client-Update-Phase-2-authentica.patch"
      "CVE-2024-5290-lib_engine_trusted_path.patch"
      "CVE-2022-37660.patch"
    ];
  };

  nativeBuildInputs = [ buildPackages.pkg-config ];
  buildInputs = [ libnl ] ++ lib.optional withWpa3 wolfssl;
  config = lib.concatStrings (
    lib.mapAttrsToList (name: value: "CONFIG_${name}=${value}\n") (
      {
        DRIVER_NL80211 = "y";
        LIBNL32 = "y";
        NO_RANDOM_POOL = "y";
      }
      // (
        if withWpa3 then
          {
            SAE = "y";
            TLS = "wolfssl";
          }
        else
          # Cryptography of its own, without TLS, which keys that are shared do not need.
          {
            TLS = "internal";
            INTERNAL_LIBTOMMATH = "y";
          }
      )
      // config
    )
  );
  passAsFile = [ "config" ];
  configurePhase = ''
    cd ${program}
    cp "$configPath" .config
  '';
  makeFlags = [ "V=1" ];
  preBuild = ''
    makeFlagsArray=("CC=$CC" "EXTRA_CFLAGS=$CFLAGS" "LDFLAGS=$LDFLAGS" "PKG_CONFIG=pkg-config")
  '';
  buildFlags = programs;
  installPhase = ''
    install -D -m 755 -t "$out/bin" ${toString programs}
  '';

  meta = meta // {
    homepage = "https://w1.fi/${program}/";
    license = lib.licenses.bsd3;
    mainProgram = program;
  };
}
