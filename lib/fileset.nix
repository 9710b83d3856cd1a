# File sets: which files of a tree, as a value; united, intersected and subtracted before anything
# is copied.
#
# A set is `{ base, tree }`: a folder (null for the empty set) and what it holds of it. A tree is
# null (nothing), "all" (everything below), a file type string (one file), or a set of trees by
# name.
lib:
let
  inherit (builtins)
    attrNames
    concatMap
    filter
    foldl'
    head
    isAttrs
    isPath
    isString
    length
    mapAttrs
    pathExists
    readDir
    readFileType
    tail
    typeOf
    ;

  make = base: tree: {
    _type = "fileset";
    inherit base tree;
  };
  empty = make null null;

  isFileset =
    x: x._type or "" == "fileset" || (isPath x && pathExists x) || (x._isLibCleanSourceWith or false);

  # A path as a set: a folder with all below it, or its folder with one file.
  ofPath =
    path:
    let
      type = readFileType path;
    in
    if type == "directory" then make path "all" else make (dirOf path) { ${baseNameOf path} = type; };

  coerce =
    what: x:
    if x._type or "" == "fileset" then
      x
    else if isPath x then
      if pathExists x then
        ofPath x
      else
        throw "lib.fileset: ${what} (${toString x}) is a path that does not exist\n    To create a file set from a path that may not exist, use `lib.fileset.maybeMissing`."
    else if x ? _isLibCleanSourceWith then
      throw "lib.fileset: ${what} is a `lib.sources`-based value. Convert it with `lib.fileset.fromSource`."
    else if isString x then
      throw "lib.fileset: ${what} (\"${x}\") is a string-like value, but it should be a file set or a path instead.\n    Paths represented as strings are not supported by `lib.fileset`, use `lib.sources` or derivations instead."
    else
      throw "lib.fileset: ${what} is of type ${typeOf x}, but it should be a file set or a path instead.";

  # A tree with its folder's entries spelt out.
  entries =
    path: tree:
    if tree == null then
      { }
    else if tree == "all" then
      mapAttrs (_: type: if type == "directory" then "all" else type) (readDir path)
    else
      tree;

  isFile = tree: isString tree && tree != "all";

  # The trees of two sets seen from one folder above both.
  componentsOf = path: filter (c: isString c && c != "") (builtins.split "/+" (toString path));

  rebase =
    base: set:
    let
      below = lib.drop (length (componentsOf base)) (componentsOf set.base);
    in
    foldl' (tree: name: if tree == null then null else { ${name} = tree; }) set.tree (
      lib.reverseList below
    );

  commonBase =
    a: b: lib.path.fromComponents (lib.lists.commonPrefix (componentsOf a) (componentsOf b));

  unionTree =
    a: b:
    if a == "all" || b == "all" then
      "all"
    else if a == null then
      b
    else if b == null || isFile a then
      a
    else
      a // mapAttrs (name: unionTree (a.${name} or null)) b;

  intersectTree =
    path: a: b:
    if a == null || b == null then
      null
    else if a == "all" then
      b
    else if b == "all" || isFile a then
      a
    else
      mapAttrs (name: intersectTree (path + "/${name}") a.${name}) (builtins.intersectAttrs a b);

  subtractTree =
    path: a: b:
    if a == null || b == "all" || isFile b then
      null
    else if b == null || isFile a then
      a
    else
      mapAttrs (name: tree: subtractTree (path + "/${name}") tree (b.${name} or null)) (entries path a);

  combine =
    f: a: b:
    let
      base = commonBase a.base b.base;
    in
    make base (f base (rebase base a) (rebase base b));

  unionOf =
    a: b:
    if a.base == null then
      b
    else if b.base == null then
      a
    else
      combine (_: unionTree) a b;

  filesIn =
    path: tree:
    concatMap (
      name:
      let
        sub = (entries path tree).${name};
        at = path + "/${name}";
      in
      if sub == null then
        [ ]
      else if isFile sub then
        [ at ]
      else
        filesIn at sub
    ) (attrNames (entries path tree));

  filterTree =
    keep: path: tree:
    mapAttrs (
      name: sub:
      if sub == null then
        null
      else if isFile sub then
        if
          keep {
            inherit name;
            type = sub;
            hasExt = ext: lib.hasSuffix ".${ext}" name;
          }
        then
          sub
        else
          null
      else
        filterTree keep (path + "/${name}") sub
    ) (entries path tree);

  # What a tree has at a list of components.
  treeAt =
    tree: components:
    if tree == null || !isAttrs tree || components == [ ] then
      tree
    else
      treeAt (tree.${head components} or null) (tail components);

  holdsFiles =
    tree: if isAttrs tree then builtins.any holdsFiles (builtins.attrValues tree) else tree != null;
in
{
  inherit empty isFileset;

  /**
    The union of file sets and paths.
  */
  unions = list: foldl' unionOf empty (lib.imap1 (i: coerce "Element ${toString i}") list);

  /**
    The union of two.
  */
  union = a: b: unionOf (coerce "First argument" a) (coerce "Second argument" b);

  /**
    What two sets have in common.
  */
  intersection =
    a: b:
    let
      x = coerce "First argument" a;
      y = coerce "Second argument" b;
    in
    if x.base == null || y.base == null then empty else combine intersectTree x y;

  /**
    What the first has and the second has not.
  */
  difference =
    a: b:
    let
      x = coerce "First argument" a;
      y = coerce "Second argument" b;
    in
    if x.base == null || y.base == null then x else combine subtractTree x y;

  /**
    The files of a path for which a predicate on `{ name, type, hasExt }` holds.
  */
  fileFilter =
    keep: path:
    let
      set = coerce "Second argument" path;
    in
    make set.base (filterTree keep set.base set.tree);

  /**
    A path as a set, empty if there is nothing.
  */
  maybeMissing = path: if pathExists path then ofPath path else empty;

  /**
    The files of a filtered source.
  */
  fromSource =
    source:
    let
      root = source.origSrc or source;
      keep = source.filter or (_: _: true);
      go =
        path:
        mapAttrs (
          name: type:
          let
            at = path + "/${name}";
          in
          if !keep (toString at) type then
            null
          else if type == "directory" then
            go at
          else
            type
        ) (readDir path);
    in
    make root (go root);

  /**
    The files of a set, as paths.
  */
  toList =
    set:
    let
      s = coerce "Argument" set;
    in
    if s.base == null then [ ] else filesIn s.base s.tree;

  /**
    The store path of a set's files below a root: `{ root, fileset }`.
  */
  toSource =
    { root, fileset }:
    let
      set = coerce "`fileset` attribute" fileset;
      tree = rebase root set;
      from = length (componentsOf root);
      inside = set.base == null || lib.path.hasPrefix root set.base;
    in
    if !isPath root then
      throw "lib.fileset.toSource: `root` is of type ${typeOf root}, but it should be a path instead."
    else if !pathExists root then
      throw "lib.fileset.toSource: `root` (${toString root}) is a path that does not exist."
    else if !inside && set.tree != null then
      throw "lib.fileset.toSource: `fileset` could contain files in ${toString set.base}, which is not under the `root` (${toString root}). Set `root` to ${toString set.base} or any parent directory of it, and adjust the layout of the resulting store path."
    else
      lib.sources.cleanSourceWith {
        name = "source";
        src = root;
        filter = path: _: set.base != null && holdsFiles (treeAt tree (lib.drop from (componentsOf path)));
      };

  /**
    Print the files of a set and return the second argument.
  */
  trace = set: x: builtins.trace (lib.concatMapStringsSep "\n" toString (lib.fileset.toList set)) x;

  /**
    Print the files of a set and return it.
  */
  traceVal = set: lib.fileset.trace set set;
}
