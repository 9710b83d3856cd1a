{
  lib,
  callPackage,
  # Whether wpa_cli is there, which asks the daemon while it runs.
  withControl ? false,
  # Whether it speaks WPA3 (SAE) too.
  withWpa3 ? false,
}:
callPackage ../hostapd/common.nix { } {
  inherit withWpa3;
  program = "wpa_supplicant";
  programs = [
    "wpa_supplicant"
    "wpa_passphrase"
  ]
  ++ lib.optional withControl "wpa_cli";
  config = {
    BACKEND = "file";
    NO_CONFIG_BLOBS = "y";
  }
  // lib.optionalAttrs withControl { CTRL_IFACE = "y"; };

  # The key of the standard's own example (IEEE 802.11, annex J.4.2).
  testScript = ''
    run wpa_supplicant -v | grep -q "^wpa_supplicant v2.10"
    run wpa_passphrase IEEE password | grep -q \
      "psk=f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e"
  '';

  meta.description = "Joins wireless networks, with WPA2 and shared keys";
}
