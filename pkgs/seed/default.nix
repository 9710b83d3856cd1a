# The seed: Debian packages pinned by hash, in sets, as fixed-output derivations.
#
# `seed.<set>` is a list of fetched `.deb` files that carry the `debName` and `debVersion` of
# their package. sets.txt says what is in a set, and why; update.sh re-pins.
{ fetchurl }:
let
  inherit (builtins)
    fromJSON
    mapAttrs
    readFile
    replaceStrings
    ;

  pins = fromJSON (readFile ./bookworm-amd64.json);

  fetch =
    pin:
    fetchurl {
      # A store path's name knows no tilde, Debian's versions do.
      name = replaceStrings [ "~" ] [ "-" ] (baseNameOf pin.path);
      url = "mirror://debian/${pin.path}?snapshot=${pins.snapshot}";
      inherit (pin) hash;
    }
    // {
      debName = pin.name;
      debVersion = pin.version;
    };
in
mapAttrs (_set: map fetch) (removeAttrs pins [ "snapshot" ])
