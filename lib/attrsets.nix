# Attribute sets: paths into them, mapping, merging, updating.
lib:
let
  inherit (builtins)
    attrNames
    attrValues
    concatMap
    elemAt
    filter
    foldl'
    hasAttr
    head
    intersectAttrs
    isAttrs
    length
    listToAttrs
    mapAttrs
    removeAttrs
    tail
    zipAttrsWith
    ;

  /**
    A name and a value, as listToAttrs takes them.
    Type: `String -> a -> { name, value }`
    Example: `nameValuePair "a" 1` => `{ name = "a"; value = 1; }`
  */
  nameValuePair = name: value: { inherit name value; };

  /**
    Is the value a derivation (or looks like one)?
    Type: `a -> Bool`
    Example: `isDerivation { type = "derivation"; }` => `true`
  */
  isDerivation = v: v.type or null == "derivation";

  /**
    The value at a path of names, or a default.
    Type: `[String] -> a -> AttrSet -> a`
    Example: `attrByPath [ "a" "b" ] 0 { a.b = 1; }` => `1`
    Example: `attrByPath [ "a" "c" ] 0 { a.b = 1; }` => `0`
  */
  attrByPath =
    path: default: set:
    let
      n = length path;
      go =
        i: v:
        if i == n then
          v
        else if v ? ${elemAt path i} then
          go (i + 1) v.${elemAt path i}
        else
          default;
    in
    go 0 set;

  /**
    A set with one value at a path of names.
    Type: `[String] -> a -> AttrSet`
    Example: `setAttrByPath [ "a" "b" ] 1` => `{ a.b = 1; }`
  */
  setAttrByPath =
    path: value:
    let
      n = length path;
      go = i: if i == n then value else { ${elemAt path i} = go (i + 1); };
    in
    go 0;

  /**
    Merge two sets at every depth until a predicate on path and both values holds, where the right one
    wins.
    Type: `([String] -> a -> a -> Bool) -> AttrSet -> AttrSet -> AttrSet`
    Example: `recursiveUpdateUntil (path: l: r: path == [ "a" "b" ]) { a.b.x = 1; a.c = 1; } { a.b.y = 2; }` => `{ a = { b.y = 2; c = 1; }; }`
  */
  recursiveUpdateUntil =
    pred: lhs: rhs:
    let
      go =
        path: l: r:
        l
        // mapAttrs (
          name: value:
          let
            here = path ++ [ name ];
          in
          if !(l ? ${name}) || pred here l.${name} value then value else go here l.${name} value
        ) r;
    in
    go [ ] lhs rhs;

  /**
    `mapAttrsRecursive` that descends only into sets for which a predicate holds.
    Type: `(AttrSet -> Bool) -> ([String] -> a -> b) -> AttrSet -> AttrSet`
    Example: `mapAttrsRecursiveCond (s: !(s ? leaf)) (path: v: path) { a.b.leaf = 1; }` => `{ a.b = [ "a" "b" ]; }`
  */
  mapAttrsRecursiveCond =
    cond: f: set:
    let
      go =
        path:
        mapAttrs (
          name: value:
          if isAttrs value && cond value then go (path ++ [ name ]) value else f (path ++ [ name ]) value
        );
    in
    go [ ] set;
in
{
  inherit
    nameValuePair
    isDerivation
    attrByPath
    setAttrByPath
    recursiveUpdateUntil
    mapAttrsRecursiveCond
    ;

  /**
    Does the path of names exist?
    Example: `hasAttrByPath [ "a" "b" ] { a.b = 1; }` => `true`
  */
  hasAttrByPath =
    path: set:
    let
      n = length path;
      go = i: v: i == n || (v ? ${elemAt path i} && go (i + 1) v.${elemAt path i});
    in
    go 0 set;

  /**
    The longest leading part of a path that exists.
    Example: `longestValidPathPrefix [ "a" "b" "c" ] { a.b = 1; }` => `[ "a" "b" ]`
  */
  longestValidPathPrefix =
    path: set:
    let
      n = length path;
      go = i: v: if i < n && v ? ${elemAt path i} then go (i + 1) v.${elemAt path i} else i;
    in
    lib.take (go 0 set) path;

  /**
    The value at a path; throws where it does not exist.
    Example: `getAttrFromPath [ "a" "b" ] { a.b = 1; }` => `1`
  */
  getAttrFromPath =
    path: set: attrByPath path (abort "cannot find attribute '${lib.showAttrPath path}'") set;

  /**
    Map each attribute into a list and concatenate the lists.
    Example: `concatMapAttrs (n: v: { ${n} = v; ${n + v} = v; }) { x = "a"; }` => `{ x = "a"; xa = "a"; }`
  */
  concatMapAttrs = f: set: lib.mergeAttrsList (attrValues (mapAttrs f set));

  /**
    Update values at paths with functions.
    Example: `updateManyAttrsByPath [ { path = [ "a" ]; update = old: old + 1; } ] { a = 1; }` => `{ a = 2; }`
  */
  updateManyAttrsByPath =
    let
      go =
        depth: hasValue: value: updates:
        let
          parts = lib.partition (el: length el.path == depth) updates;
          here = parts.right;
          below = builtins.groupBy (el: elemAt el.path depth) parts.wrong;
          withNested =
            if parts.wrong == [ ] then
              value
            else if !hasValue then
              mapAttrs (_: go (depth + 1) false null) below
            else if isAttrs value then
              value // mapAttrs (name: go (depth + 1) (value ? ${name}) (value.${name} or null)) below
            else
              throw "updateManyAttrsByPath: Path '${lib.showAttrPath (lib.take depth (head updates).path)}' is not an attribute set";
          known = hasValue || parts.wrong != [ ];
          first = (head here).update (
            if known then
              withNested
            else
              throw "updateManyAttrsByPath: Path '${lib.showAttrPath (head here).path}' does not exist in the given value, but the first update to this path tries to access the existing value"
          );
        in
        if here == [ ] then withNested else foldl' (v: el: el.update v) first (tail here);
    in
    updates: value: go 0 true value updates;

  /**
    The values of the named attributes, in the order of the names.
    Example: `attrVals [ "a" "b" ] { a = 1; b = 2; }` => `[ 1 2 ]`
  */
  attrVals = names: set: map (x: set.${x}) names;

  /**
    The named attributes of a set; missing ones are an error.
    Example: `getAttrs [ "a" ] { a = 1; b = 2; }` => `{ a = 1; }`
  */
  getAttrs = names: set: listToAttrs (map (name: nameValuePair name set.${name}) names);

  /**
    Keep the attributes for which a predicate on name and value holds.
    Example: `filterAttrs (n: v: v > 1) { a = 1; b = 2; }` => `{ b = 2; }`
  */
  filterAttrs = pred: set: removeAttrs set (filter (name: !pred name set.${name}) (attrNames set));

  /**
    `filterAttrs` at every depth.
    Example: `filterAttrsRecursive (n: v: v != null) { a.b = null; c = 1; }` => `{ a = { }; c = 1; }`
  */
  filterAttrsRecursive =
    pred: set:
    listToAttrs (
      concatMap (
        name:
        let
          v = set.${name};
        in
        if pred name v then
          [ (nameValuePair name (if isAttrs v then lib.filterAttrsRecursive pred v else v)) ]
        else
          [ ]
      ) (attrNames set)
    );

  /**
    Fold over names and values in the order of the names.
    Example: `foldlAttrs (acc: n: v: acc + v) 0 { a = 1; b = 2; }` => `3`
  */
  foldlAttrs =
    f: init: set:
    foldl' (acc: name: f acc name set.${name}) init (attrNames set);

  /**
    Fold over a list of sets, keeping for each name the list or combination of its values.
    Example: `foldAttrs (a: b: [ a ] ++ b) [ ] [ { a = 1; } { a = 2; } ]` => `{ a = [ 1 2 ]; }`
  */
  foldAttrs =
    op: nul: list:
    mapAttrs (_: lib.foldr op nul) (lib.zipAttrs list);

  /**
    All values, at any depth, for which a predicate holds.
    Example: `collect isList { a.b = [ 1 ]; c = [ 2 ]; d = 3; }` => `[ [ 1 ] [ 2 ] ]`
  */
  collect =
    pred: v:
    if pred v then
      [ v ]
    else if isAttrs v then
      concatMap (lib.collect pred) (attrValues v)
    else
      [ ];

  /**
    Every combination of the listed values.
    Example: `cartesianProduct { a = [ 1 2 ]; b = [ 3 ]; }` => `[ { a = 1; b = 3; } { a = 2; b = 3; } ]`
  */
  cartesianProduct =
    set:
    foldl' (acc: name: concatMap (partial: map (v: partial // { ${name} = v; }) set.${name}) acc) [
      { }
    ] (attrNames set);

  /**
    Apply a function to every combination of the listed values.
    Example: `mapCartesianProduct ({ a, b }: a + b) { a = [ 1 2 ]; b = [ 3 ]; }` => `[ 4 5 ]`
  */
  mapCartesianProduct = f: set: map f (lib.cartesianProduct set);

  /**
    Change names and values.
    Example: `mapAttrs' (n: v: nameValuePair ("x" + n) v) { a = 1; }` => `{ xa = 1; }`
  */
  mapAttrs' = f: set: listToAttrs (map (name: f name set.${name}) (attrNames set));

  /**
    A list of the function's results over names and values.
    Example: `mapAttrsToList (n: v: n + v) { a = "1"; b = "2"; }` => `[ "a1" "b2" ]`
  */
  mapAttrsToList = f: set: attrValues (mapAttrs f set);

  /**
    A list of name-value pairs.
    Example: `attrsToList { a = 1; }` => `[ { name = "a"; value = 1; } ]`
  */
  attrsToList = lib.mapAttrsToList nameValuePair;

  /**
    `mapAttrs` at every leaf; the function gets the path.
    Example: `mapAttrsRecursive (path: v: length path) { a.b = 9; }` => `{ a.b = 2; }`
  */
  mapAttrsRecursive = mapAttrsRecursiveCond (_: true);

  /**
    A list of the function's results over the leaves of nested sets.
    Example: `mapAttrsToListRecursive (path: v: v) { a.b = 1; c = 2; }` => `[ 1 2 ]`
  */
  mapAttrsToListRecursive = lib.mapAttrsToListRecursiveCond (_: _: true);

  /**
    The same, descending only where the predicate on path and value holds.
    Example: `mapAttrsToListRecursiveCond (p: v: false) (p: v: p) { a.b = 1; }` => `[ [ "a" ] ]`
  */
  mapAttrsToListRecursiveCond =
    pred: f: set:
    let
      go =
        path: value:
        if isAttrs value && (path == [ ] || pred path value) then
          concatMap (name: go (path ++ [ name ]) value.${name}) (attrNames value)
        else
          [ (f path value) ];
    in
    go [ ] set;

  /**
    A set from names and a function of the name.
    Example: `genAttrs [ "a" ] (n: n + "!")` => `{ a = "a!"; }`
  */
  genAttrs = names: f: listToAttrs (map (n: nameValuePair n (f n)) names);

  /**
    `genAttrs` where the function makes the name too.
    Example: `genAttrs' [ 1 ] (i: nameValuePair "n${toString i}" i)` => `{ n1 = 1; }`
  */
  genAttrs' = xs: f: listToAttrs (map f xs);

  /**
    A store path (string or path) as a minimal derivation.
    Type: `Path -> Derivation`
  */
  toDerivation =
    path:
    let
      path' = builtins.storePath path;
      res = {
        type = "derivation";
        name = lib.sanitizeDerivationName (builtins.substring 33 (-1) (baseNameOf path'));
        outPath = path';
        outputs = [ "out" ];
        out = res;
        outputName = "out";
      };
    in
    res;

  /**
    The set if the condition holds, else an empty one.
    Example: `optionalAttrs false { a = 1; }` => `{ }`
  */
  optionalAttrs = cond: set: if cond then set else { };

  /**
    Merge sets, combining the values of the given names only.
    Example: `zipAttrsWithNames [ "a" ] (n: vs: vs) [ { a = 1; b = 1; } { a = 2; } ]` => `{ a = [ 1 2 ]; }`
  */
  zipAttrsWithNames =
    names: f: sets:
    lib.genAttrs names (name: f name (builtins.catAttrs name sets));

  /**
    Merge sets into lists of values.
    Example: `zipAttrs [ { a = 1; } { a = 2; b = 3; } ]` => `{ a = [ 1 2 ]; b = [ 3 ]; }`
  */
  zipAttrs = zipAttrsWith (_: values: values);

  /**
    Merge a list of sets with `//`, fast.
    Example: `mergeAttrsList [ { a = 1; } { b = 2; } { a = 3; } ]` => `{ a = 3; b = 2; }`
  */
  mergeAttrsList =
    list:
    let
      go =
        start: end:
        if end - start >= 2 then
          go start (start + (end - start) / 2) // go (start + (end - start) / 2) end
        else
          elemAt list start;
    in
    if list == [ ] then { } else go 0 (length list);

  /**
    Merge two sets at every depth; the right one wins where one is not a set.
    Example: `recursiveUpdate { a.x = 1; b = 1; } { a.y = 2; b = 2; }` => `{ a = { x = 1; y = 2; }; b = 2; }`
  */
  recursiveUpdate = recursiveUpdateUntil (
    _: lhs: rhs:
    !(isAttrs lhs && isAttrs rhs)
  );

  /**
    Does a set have all attributes of the pattern with equal values?
    Example: `matchAttrs { a.b = 1; } { a = { b = 1; c = 2; }; }` => `true`
  */
  matchAttrs =
    pattern: set:
    assert isAttrs pattern;
    builtins.all (
      name:
      set ? ${name}
      && (
        if isAttrs pattern.${name} then
          isAttrs set.${name} && lib.matchAttrs pattern.${name} set.${name}
        else
          pattern.${name} == set.${name}
      )
    ) (attrNames pattern);

  /**
    Update only attributes that the first set already has, at every depth.
    Example: `overrideExisting { a = 1; } { a = 2; b = 3; }` => `{ a = 2; }`
  */
  overrideExisting = old: new: mapAttrs (name: value: new.${name} or value) old;

  /**
    A path as Nix would write it.
    Example: `showAttrPath [ "a" "b c" ]` => `"a.\"b c\""`
  */
  showAttrPath =
    path:
    if path == [ ] then
      "<root attribute path>"
    else
      builtins.concatStringsSep "." (map lib.escapeNixIdentifier path);

  /**
    The named output of a package, the whole package where it has no such output.
    Example: `getOutput "dev" { outPath = "/x"; dev = "/dev"; outputSpecified = false; }` => `"/dev"`
  */
  getOutput =
    output: pkg:
    if !(pkg ? outputSpecified) || !pkg.outputSpecified then pkg.${output} or pkg.out or pkg else pkg;

  /**
    The first of the named outputs that exists.
    Type: `[String] -> Derivation -> Derivation`
  */
  getFirstOutput =
    candidates: pkg:
    let
      found = filter (name: hasAttr name pkg) candidates;
    in
    if pkg.outputSpecified or false || found == [ ] then pkg.out or pkg else pkg.${head found};

  /**
    The output with programs.
    Type: `Derivation -> Derivation`
  */
  getBin = lib.getOutput "bin";

  /**
    The output with libraries.
    Type: `Derivation -> Derivation`
  */
  getLib = lib.getOutput "lib";

  /**
    The output with static libraries.
    Type: `Derivation -> Derivation`
  */
  getStatic = lib.getFirstOutput [
    "static"
    "lib"
    "out"
  ];

  /**
    The output with what compiling against a package needs.
    Type: `Derivation -> Derivation`
  */
  getDev = lib.getOutput "dev";

  /**
    The output with headers.
    Type: `Derivation -> Derivation`
  */
  getInclude = lib.getFirstOutput [
    "include"
    "dev"
    "out"
  ];

  /**
    The output with manual pages.
    Type: `Derivation -> Derivation`
  */
  getMan = lib.getOutput "man";

  /**
    The development outputs of packages.
    Type: `[Derivation] -> [Derivation]`
  */
  chooseDevOutputs = map lib.getDev;

  /**
    Mark a set for `nix-env` and friends to descend into.
    Example: `recurseIntoAttrs { a = 1; }` => `{ a = 1; recurseForDerivations = true; }`
  */
  recurseIntoAttrs = set: set // { recurseForDerivations = true; };

  /**
    The opposite of `recurseIntoAttrs`.
    Example: `dontRecurseIntoAttrs { a = 1; }` => `{ a = 1; recurseForDerivations = false; }`
  */
  dontRecurseIntoAttrs = set: set // { recurseForDerivations = false; };

  /**
    Merge two sets that must have no attribute in common.
    Example: `unionOfDisjoint { a = 1; } { b = 2; }` => `{ a = 1; b = 2; }`
  */
  unionOfDisjoint =
    x: y:
    let
      both = attrNames (intersectAttrs x y);
      collision = name: throw "unionOfDisjoint: collision on ${name}; complete list: ${toString both}";
    in
    (x // y) // lib.genAttrs both collision;

  # Builtins about sets.
  inherit (builtins)
    attrNames
    attrValues
    catAttrs
    getAttr
    hasAttr
    intersectAttrs
    isAttrs
    listToAttrs
    mapAttrs
    removeAttrs
    zipAttrsWith
    ;
}
