# `<nix/fetchurl.nix>`: fetches one file with a builder that is inside the program, for a bootstrap that has no
# other tool yet. The derivation is attribute for attribute Nix's, since every package is built upon its hash.
{
  url,
  name ? baseNameOf (toString url),
  # One of these says what is expected.
  hash ? "",
  sha512 ? "",
  sha1 ? "",
  md5 ? "",
  sha256 ? "",
  outputHash ? null,
  outputHashAlgo ? null,
  executable ? false,
  unpack ? false,
  impure ? false,
  # Accepted and ignored.
  system ? null,
}@args:

let
  stated = builtins.filter (candidate: candidate.value != "") [
    {
      algo = "";
      value = hash;
    }
    {
      algo = "sha512";
      value = sha512;
    }
    {
      algo = "sha1";
      value = sha1;
    }
    {
      algo = "md5";
      value = md5;
    }
  ];
  chosen =
    if stated != [ ] then
      builtins.head stated
    else
      {
        algo = "sha256";
        value = sha256;
      };
  expectation = {
    outputHash = args.outputHash or chosen.value;
    outputHashAlgo = args.outputHashAlgo or chosen.algo;
  };
in
derivation (
  {
    inherit
      name
      url
      executable
      unpack
      ;
    urls = [ url ];
    builder = "builtin:fetchurl";
    system = "builtin";
    outputHashMode = if executable || unpack then "recursive" else "flat";
    preferLocalBuild = true;
    impureEnvVars = map (scheme: scheme + "_proxy") [
      "http"
      "https"
      "ftp"
      "all"
      "no"
    ];
  }
  // (if impure then { __impure = true; } else expectation)
)
