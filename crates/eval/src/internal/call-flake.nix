# Turns the nodes of a lock file into flakes. A node is fetched, read and called when something needs it.
{
  # By key: `inputs` (name to key), `dir` ("" or "/..."), `isFlake`, and one of `source` (the tree is here
  # already), `locked` (what to fetch), `parent` with `relative` (a directory in another node's tree).
  nodes,
  # The key of the flake that is asked for.
  root,
  # Gives the tree of a locked reference.
  fetch,
}:
let
  flakes = builtins.mapAttrs load nodes;

  load =
    _: node:
    let
      isNested = node ? relative;
      parent = flakes.${node.parent};
      sourceInfo =
        if isNested then parent.sourceInfo else node.source or (fetch node.locked);
      outPath =
        if isNested then parent.outPath + node.relative else sourceInfo.outPath + node.dir;
      inputs = builtins.mapAttrs (_: key: flakes.${key}.value) node.inputs;

      flake = import (outPath + "/flake.nix");
      outputs = flake.outputs (inputs // { self = called; });
      called =
        outputs
        // sourceInfo
        // {
          inherit inputs outPath outputs sourceInfo;
          _type = "flake";
        };
    in
    {
      inherit outPath sourceInfo;
      value =
        if node.isFlake then
          assert builtins.isFunction flake.outputs;
          called
        else
          sourceInfo // { inherit outPath sourceInfo; };
    };
in
flakes.${root}.value
