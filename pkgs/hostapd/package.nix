{
  lib,
  callPackage,
  # Whether hostapd_cli is there, which asks the daemon while it runs.
  withControl ? false,
  # Whether it speaks WPA3 (SAE) too.
  withWpa3 ? false,
}:
callPackage ./common.nix { } {
  inherit withWpa3;
  program = "hostapd";
  programs = [ "hostapd" ] ++ lib.optional withControl "hostapd_cli";
  config = {
    IEEE80211AC = "y";
    IEEE80211AX = "y";
    IEEE80211N = "y";
    NO_ACCOUNTING = "y";
    NO_RADIUS = "y";
    NO_DUMP_STATE = "y";
    NO_VLAN = "y";
  }
  // lib.optionalAttrs withControl { CTRL_IFACE = "y"; };

  testScript = ''
    run hostapd -v 2>said || true
    grep -q "^hostapd v2.10" said
    printf 'interface=wlan0\nssid=test\nwpa=2\nwpa_passphrase=short\n' >config
    ! run hostapd config >said
    grep -q "Line 4: invalid WPA passphrase length 5 (expected 8..63)" said
    printf 'interface=wlan0\nssid=test\nwpa=2\nwpa_key_mgmt=SAE\nsae_password=short\n' >config
    ! run hostapd config >said
    refused=$(grep -c "Line 4: invalid key_mgmt 'SAE'" said || true)
    [ "$refused" = ${if withWpa3 then "0" else "1"} ]
  '';

  meta.description = "Makes an access point of a wireless network card, with WPA2 and shared keys";
}
