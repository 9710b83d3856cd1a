# What fetchers share: the hash that a caller gives in one of several ways, and the proxies of the
# caller.
lib:
let
  inherit (builtins)
    attrNames
    head
    intersectAttrs
    length
    ;

  fakes = {
    hash = lib.fakeHash;
    sha256 = lib.fakeSha256;
    sha512 = lib.fakeSha512;
  };

  # The attributes that may hold a hash, as a set for intersections.
  hashAttrs = hashTypes: lib.genAttrs ([ "hash" ] ++ hashTypes) (_: { });

  /**
    Arguments with `hash`, `sha256`, ... turned into `outputHash` and `outputHashAlgo`.
    Example: `(fetchers.normalizeHash { } { hash = "sha256-x"; url = "u"; }).outputHash` => `"sha256-x"`
  */
  normalizeHash =
    {
      hashTypes ? [ "sha256" ],
      required ? true,
    }:
    args:
    let
      accepted = hashAttrs hashTypes;
      given = attrNames (intersectAttrs accepted args);
      name = head given;
      value = args.${name};
      rest = removeAttrs args (attrNames accepted);
    in
    if args ? outputHash then
      args
    else if given == [ ] then
      if required then throw "fetcher called without `hash`" else rest
    else if length given != 1 then
      throw "fetcher called with mutually-incompatible arguments: ${lib.concatStringsSep ", " given}"
    else
      rest
      // {
        outputHashAlgo = if name == "hash" then null else name;
        outputHash =
          if value == "" then fakes.${name} or (throw "no “fake hash” defined for ${name}") else value;
      };
in
{
  inherit
    normalizeHash
    ;

  /**
    The variables of the environment that fixed-output derivations may see, to reach the network.
  */
  proxyImpureEnvVars = [
    "http_proxy"
    "https_proxy"
    "ftp_proxy"
    "all_proxy"
    "no_proxy"
    "HTTP_PROXY"
    "HTTPS_PROXY"
    "FTP_PROXY"
    "ALL_PROXY"
    "NO_PROXY"
    "NIX_SSL_CERT_FILE"
  ];

  /**
    A fetcher that takes `outputHash` and `outputHashAlgo`, made to take `hash`, `sha256`, ...
  */
  withNormalizedHash =
    {
      hashTypes ? [ "sha256" ],
    }:
    fetcher:
    let
      formals = lib.functionArgs fetcher;
      normalize = normalizeHash {
        inherit hashTypes;
        required = !formals.outputHash;
      };
    in
    assert formals ? outputHash && formals ? outputHashAlgo;
    assert intersectAttrs formals (hashAttrs hashTypes) == { };
    lib.setFunctionArgs (args: fetcher (normalize args)) (
      removeAttrs formals [
        "outputHash"
        "outputHashAlgo"
      ]
      // {
        hash = formals.outputHash;
      }
    );
}
