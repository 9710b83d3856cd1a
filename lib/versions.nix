# Versions as text.
lib:
let
  inherit (builtins) elemAt splitVersion;
in
{
  inherit splitVersion;
  inherit (builtins) compareVersions;

  /**
    Example: `versions.major "1.2.3"` => `"1"`
  */
  major = v: elemAt (splitVersion v) 0;

  /**
    Example: `versions.minor "1.2.3"` => `"2"`
  */
  minor = v: elemAt (splitVersion v) 1;

  /**
    Example: `versions.patch "1.2.3"` => `"3"`
  */
  patch = v: elemAt (splitVersion v) 2;

  /**
    Example: `versions.majorMinor "1.2.3"` => `"1.2"`
  */
  majorMinor = v: builtins.concatStringsSep "." (lib.take 2 (splitVersion v));

  /**
    Padded with ".0" or cut to n components. Example: `versions.pad 3 "1.2"` => `"1.2.0"`
  */
  pad =
    n: version:
    let
      parts = builtins.match "([0-9.]+)(-.*)?" version;
      numbers = splitVersion (builtins.head parts);
      suffix = elemAt parts 1;
      padded = lib.take n (numbers ++ lib.genList (_: "0") n);
    in
    builtins.concatStringsSep "." padded + (if suffix == null then "" else suffix);
}
