# One patch from the network. `hash` is that of the file as it is served: unlike nixpkgs' function
# of this name nothing is rewritten, so a patch that is made anew at each request (with another
# version of git, say) should be fetched from a place that keeps it.
{ fetchurl, lib, ... }:
args@{
  url ? builtins.head urls,
  urls ? [ url ],
  hash,
  # A store path's name knows no "?" and ends in ".patch".
  name ? lib.removeSuffix ".patch" (lib.head (lib.splitString "?" (baseNameOf url))) + ".patch",
}:
# With the caller's own attributes, which have the place that a failure is reported at.
fetchurl (args // { inherit name; })
