# One file from the network, known by its hash before it is fetched.
#
# `mirror://debian/...` stands for Debian's archive: the fetcher tries the mirrors that the
# machine's apt knows, then a public mirror and the snapshot archive, which keeps every version.
args@{
  # Where to fetch from; with `urls`, the first of them.
  url ? builtins.head urls,
  urls ? [ url ],
  # The hash of the file in SRI form: "sha256-...".
  hash,
  name ? baseNameOf url,
}:
derivation (
  {
    inherit name url urls;
    system = "builtin";
    builder = "builtin:fetchurl";
    outputHash = hash;
    outputHashMode = "flat";
    preferLocalBuild = true;
  }
  # The same once more: the caller's own attributes have the place that a failure is reported at.
  // builtins.intersectAttrs {
    name = null;
    url = null;
    urls = null;
  } args
)
