# The union of several packages' trees, made of symbolic links.
#
# A folder that only one package has is one link, so that an environment of one package costs
# next to nothing. Two packages with the same file fail the build, unless `ignoreCollisions` is
# set or one has a better (lower) `meta.priority`.
{ lib, mkDerivation }:
let
  # Where a package says nothing, as in nixpkgs.
  defaultPriority = 5;
  priorityOf = path: path.meta.priority or defaultPriority;
in
{
  name,
  paths,
  # Folders of the packages to link, such as "/bin"; everything with "/".
  pathsToLink ? [ "/" ],
  ignoreCollisions ? false,
  meta ? { },
}:
mkDerivation {
  inherit name meta pathsToLink;
  # In the order in which they win; `sort` is stable.
  paths = lib.sort (a: b: priorityOf a < priorityOf b) paths;
  priorities = map (path: toString (priorityOf path)) (
    lib.sort (a: b: priorityOf a < priorityOf b) paths
  );
  ignoreCollisions = if ignoreCollisions then "1" else "";
  buildCommand = ". ${./build-env.sh}";
  passthru = { inherit paths; };
}
