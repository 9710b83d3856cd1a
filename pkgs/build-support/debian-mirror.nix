# The address of a file in Debian's archive, by its path below pool/main. Where the mirrors no longer
# have it, the snapshot archive does: as of the moment of the seed's pins.
{ lib }:
let
  inherit (lib.importJSON ../seed/bookworm-amd64.json) snapshot;
in
path: "mirror://debian/pool/main/${path}?snapshot=${snapshot}"
