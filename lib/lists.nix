# Lists: folding, searching, slicing, sorting, combining.
lib:
let
  inherit (builtins)
    concatLists
    concatMap
    elem
    elemAt
    filter
    foldl'
    genList
    head
    isList
    length
    listToAttrs
    partition
    sort
    tail
    ;

  /**
    Right fold.
    Type: `(a -> b -> b) -> b -> [a] -> b`
    Example: `foldr (a: b: a + b) "!" [ "x" "y" ]` => `"xy!"`
  */
  foldr =
    op: nul: list:
    let
      n = length list;
      go = i: if i == n then nul else op (elemAt list i) (go (i + 1));
    in
    go 0;

  /**
    A number of elements from an index on.
    Type: `Int -> Int -> [a] -> [a]`
    Example: `sublist 1 2 [ 1 2 3 4 ]` => `[ 2 3 ]`
  */
  sublist =
    start: count: list:
    let
      len = length list;
    in
    genList (i: elemAt list (i + start)) (
      if start >= len then
        0
      else if start + count > len then
        len - start
      else
        count
    );

  /**
    `map` with an index from 0.
    Type: `(Int -> a -> b) -> [a] -> [b]`
    Example: `imap0 (i: v: i) [ "a" "b" ]` => `[ 0 1 ]`
  */
  imap0 = f: list: genList (i: f i (elemAt list i)) (length list);
in
{
  inherit foldr sublist imap0;

  /**
    An alias of `foldr`.
  */
  fold = foldr;

  /**
    A list of one element.
    Example: `singleton 1` => `[ 1 ]`
  */
  singleton = x: [ x ];

  /**
    Apply a function to each element; `forEach` is `map` with its arguments swapped.
    Example: `forEach [ 1 2 ] (x: x + 1)` => `[ 2 3 ]`
  */
  forEach = xs: f: map f xs;

  /**
    Left fold, lazy in the accumulator.
    Example: `foldl (a: b: a - b) 10 [ 1 2 ]` => `7`
  */
  foldl =
    op: nul: list:
    let
      go = n: if n == -1 then nul else op (go (n - 1)) (elemAt list n);
    in
    go (length list - 1);

  /**
    `map` with an index from 1.
    Example: `imap1 (i: v: "${v}${toString i}") [ "a" "b" ]` => `[ "a1" "b2" ]`
  */
  imap1 = f: list: genList (i: f (i + 1) (elemAt list i)) (length list);

  /**
    Keep and map in one go, with index: the function returns a list for each element.
    Example: `ifilter0 (i: v: i == 0 || v > 2) [ 1 2 3 ]` => `[ 1 3 ]`
  */
  ifilter0 =
    ipred: input:
    map (i: elemAt input i) (filter (i: ipred i (elemAt input i)) (genList (i: i) (length input)));

  /**
    Flatten nested lists.
    Example: `flatten [ 1 [ 2 [ 3 ] ] ]` => `[ 1 2 3 ]`
  */
  flatten = x: if isList x then concatMap lib.flatten x else [ x ];

  /**
    Remove all elements equal to the first argument.
    Example: `remove 3 [ 1 3 4 3 ]` => `[ 1 4 ]`
  */
  remove = e: filter (x: x != e);

  /**
    The only element for which a predicate holds, or a default.
    Example: `findSingle (x: x == 3) "none" "many" [ 1 3 ]` => `3`
  */
  findSingle =
    pred: default: multiple: list:
    let
      found = filter pred list;
    in
    if found == [ ] then
      default
    else if length found != 1 then
      multiple
    else
      head found;

  /**
    The index of the first element for which a predicate holds, or a default.
    Example: `findFirstIndex (x: x > 3) null [ 0 6 4 ]` => `1`
  */
  findFirstIndex =
    pred: default: list:
    let
      index = foldl' (i: x: if i < 0 then if pred x then -i - 1 else i - 1 else i) (-1) list;
    in
    if index < 0 then default else index;

  /**
    The first element for which a predicate holds, or a default.
    Example: `findFirst (x: x > 3) 7 [ 1 6 4 ]` => `6`
  */
  findFirst =
    pred: default: list:
    let
      index = lib.findFirstIndex pred null list;
    in
    if index == null then default else elemAt list index;

  /**
    How many elements a predicate accepts.
    Example: `count (x: x == 3) [ 3 2 3 ]` => `2`
  */
  count = pred: foldl' (c: x: if pred x then c + 1 else c) 0;

  /**
    A list of the element if the condition holds, else the empty list.
    Example: `optional false 1` => `[ ]`
  */
  optional = cond: elem: if cond then [ elem ] else [ ];

  /**
    The list if the condition holds, else the empty list.
    Example: `optionals true [ 1 2 ]` => `[ 1 2 ]`
  */
  optionals = cond: elems: if cond then elems else [ ];

  /**
    A list stays, anything else becomes a list of one.
    Example: `toList 1` => `[ 1 ]`
  */
  toList = x: if isList x then x else [ x ];

  /**
    The integers from first to last.
    Example: `range 2 4` => `[ 2 3 4 ]`
  */
  range = first: last: if first > last then [ ] else genList (n: first + n) (last - first + 1);

  /**
    A list of n equal elements.
    Example: `replicate 2 "a"` => `[ "a" "a" ]`
  */
  replicate = n: x: genList (_: x) n;

  /**
    Fold elements of keys: `groupBy` with a fold.
    Example: `groupBy' (a: b: a + b) 0 (x: if x > 2 then "big" else "small") [ 1 2 3 ]` => `{ big = 3; small = 3; }`
  */
  groupBy' =
    op: nul: pred: list:
    builtins.mapAttrs (_: foldl' op nul) (builtins.groupBy pred list);

  /**
    Combine two lists with a function, as far as the shorter goes.
    Example: `zipListsWith (a: b: a + b) [ 1 2 ] [ 3 4 5 ]` => `[ 4 6 ]`
  */
  zipListsWith =
    f: fst: snd:
    genList (n: f (elemAt fst n) (elemAt snd n)) (lib.min (length fst) (length snd));

  /**
    Pair two lists.
    Example: `zipLists [ 1 ] [ "a" ]` => `[ { fst = 1; snd = "a"; } ]`
  */
  zipLists = lib.zipListsWith (fst: snd: { inherit fst snd; });

  /**
    The list backwards.
    Example: `reverseList [ 1 2 3 ]` => `[ 3 2 1 ]`
  */
  reverseList =
    xs:
    let
      l = length xs;
    in
    genList (n: elemAt xs (l - n - 1)) l;

  /**
    Depth-first search: elements visited from the first of a list, and a loop if there is one.
    Example: `(listDfs true (a: b: a == 1 && b == 2) [ 1 2 ]).visited` => `[ 1 2 ]`
  */
  listDfs =
    stopOnCycles: before: list:
    let
      go =
        us: visited: rest:
        let
          c = filter (x: before x us) visited;
          b = partition (x: before x us) rest;
        in
        if stopOnCycles && c != [ ] then
          {
            cycle = us;
            loops = c;
            inherit visited rest;
          }
        else if b.right == [ ] then
          {
            minimal = us;
            inherit visited rest;
          }
        else
          go (head b.right) ([ us ] ++ visited) (tail b.right ++ b.wrong);
      result = go (head list) [ ] (tail list);
    in
    result // { visited = if result ? minimal && result.visited == [ ] then list else result.visited; };

  /**
    Sort so that `before a b` puts a before b; or report a cycle.
    Example: `(toposort (a: b: a < b) [ 3 2 1 ]).result` => `[ 1 2 3 ]`
  */
  toposort =
    before: list:
    let
      search =
        us: visited: rest:
        let
          c = filter (x: before x us) visited;
          b = partition (x: before x us) rest;
        in
        if c != [ ] then
          {
            cycle = lib.reverseList ([ us ] ++ visited);
            loops = c;
          }
        else if b.right == [ ] then
          {
            minimal = us;
            rest = visited ++ rest;
          }
        else
          search (head b.right) ([ us ] ++ visited) (tail b.right ++ b.wrong);
      found = search (head list) [ ] (tail list);
      below = lib.toposort before found.rest;
    in
    if length list < 2 then
      { result = list; }
    else if found ? cycle then
      {
        inherit (found) cycle loops;
      }
    else if below ? cycle then
      below
    else
      { result = [ found.minimal ] ++ below.result; };

  /**
    Sort by a key.
    Example: `sortOn stringLength [ "aa" "b" ]` => `[ "b" "aa" ]`
  */
  sortOn =
    f: list:
    map (x: elemAt x 1) (
      sort (a: b: head a < head b) (
        map (x: [
          (f x)
          x
        ]) list
      )
    );

  /**
    Compare lists by their first differing elements.
    Example: `compareLists compare [ 1 2 ] [ 1 3 ]` => `-1`
  */
  compareLists =
    cmp: a: b:
    if a == [ ] then
      if b == [ ] then 0 else -1
    else if b == [ ] then
      1
    else
      let
        rel = cmp (head a) (head b);
      in
      if rel == 0 then lib.compareLists cmp (tail a) (tail b) else rel;

  /**
    Sort strings so that numbers inside them are ordered as numbers.
    Example: `naturalSort [ "disk11" "disk8" ]` => `[ "disk8" "disk11" ]`
  */
  naturalSort =
    let
      vectorise =
        s: map (x: if isList x then lib.toIntBase10 (head x) else x) (builtins.split "(0|[1-9][0-9]*)" s);
      cmp =
        a: b:
        if builtins.typeOf a == builtins.typeOf b then
          lib.compare a b
        else if builtins.isInt a then
          -1
        else
          1;
    in
    list:
    map (x: x.value) (
      sort (a: b: lib.compareLists cmp a.key b.key < 0) (
        map (value: {
          key = vectorise value;
          inherit value;
        }) list
      )
    );

  /**
    The first n elements.
    Example: `take 2 [ 1 2 3 ]` => `[ 1 2 ]`
  */
  take = sublist 0;

  /**
    The last n elements.
    Example: `takeEnd 2 [ 1 2 3 ]` => `[ 2 3 ]`
  */
  takeEnd = n: xs: lib.drop (lib.max 0 (length xs - n)) xs;

  /**
    All but the first n elements.
    Example: `drop 2 [ 1 2 3 ]` => `[ 3 ]`
  */
  drop = count: list: sublist count (length list) list;

  /**
    All but the last n elements.
    Example: `dropEnd 2 [ 1 2 3 ]` => `[ 1 ]`
  */
  dropEnd = n: xs: lib.take (lib.max 0 (length xs - n)) xs;

  /**
    Is the first list the beginning of the second?
    Example: `lib.lists.hasPrefix [ 1 ] [ 1 2 ]` => `true`
  */
  hasPrefix = prefix: list: lib.take (length prefix) list == prefix;

  /**
    The second list without the first at its beginning; throws if it does not begin so.
    Example: `lib.lists.removePrefix [ 1 ] [ 1 2 ]` => `[ 2 ]`
  */
  removePrefix =
    prefix: list:
    if lib.lists.hasPrefix prefix list then
      lib.drop (length prefix) list
    else
      throw "lib.lists.removePrefix: First argument is not a list prefix of the second argument";

  /**
    The longest common beginning of two lists.
    Example: `commonPrefix [ 1 2 3 ] [ 1 2 4 ]` => `[ 1 2 ]`
  */
  commonPrefix =
    a: b:
    let
      n = lib.min (length a) (length b);
    in
    lib.take (lib.findFirstIndex (i: elemAt a i != elemAt b i) n (genList (i: i) n)) a;

  /**
    The last element.
    Example: `last [ 1 2 3 ]` => `3`
  */
  last =
    list:
    assert lib.assertMsg (list != [ ]) "lists.last: list must not be empty!";
    elemAt list (length list - 1);

  /**
    All elements but the last.
    Example: `init [ 1 2 3 ]` => `[ 1 2 ]`
  */
  init =
    list:
    assert lib.assertMsg (list != [ ]) "lists.init: list must not be empty!";
    lib.take (length list - 1) list;

  /**
    A function over every pair of two lists.
    Example: `crossLists (a: b: a + b) [ [ 1 2 ] [ 10 ] ]` => `[ 11 12 ]`
  */
  crossLists = f: foldl' (fs: args: concatMap (g: map g args) fs) [ f ];

  /**
    The distinct elements, in order of first appearance.
    Example: `unique [ 3 2 3 4 ]` => `[ 3 2 4 ]`
  */
  unique = foldl' (acc: e: if elem e acc then acc else acc ++ [ e ]) [ ];

  /**
    The distinct strings, sorted; fast.
    Example: `uniqueStrings [ "b" "a" "b" ]` => `[ "a" "b" ]`
  */
  uniqueStrings =
    list:
    builtins.attrNames (
      listToAttrs (
        map (name: {
          inherit name;
          value = null;
        }) list
      )
    );

  /**
    Are all elements different?
    Example: `allUnique [ 1 2 1 ]` => `false`
  */
  allUnique = list: length (lib.unique list) == length list;

  /**
    The elements of the second list that are in the first.
    Example: `intersectLists [ 1 2 ] [ 2 3 ]` => `[ 2 ]`
  */
  intersectLists = e: filter (x: elem x e);

  /**
    The elements of the second list that are not in the first.
    Example: `subtractLists [ 1 2 ] [ 2 3 ]` => `[ 3 ]`
  */
  subtractLists = e: filter (x: !(elem x e));

  /**
    Have two lists no element in common?
    Example: `mutuallyExclusive [ 1 ] [ 2 ]` => `true`
  */
  mutuallyExclusive = a: b: length a == 0 || !(builtins.any (x: elem x a) b);

  /**
    Replace the element at an index.
    Example: `replaceElemAt [ 1 2 ] 0 9` => `[ 9 2 ]`
  */
  replaceElemAt =
    list: idx: new:
    if idx < 0 || idx >= length list then
      throw "lib.lists.replaceElemAt: called with index ${toString idx} on a list of size ${toString (length list)}"
    else
      imap0 (i: v: if i == idx then new else v) list;

  /**
    The values of a set as one list of lists' elements. Example: `lib.lists.concatAttrValues { a = [ 1 ]; b = [ 2 ]; }` => `[ 1 2 ]`
  */
  concatAttrValues = set: concatLists (builtins.attrValues set);

  # Builtins about lists.
  inherit (builtins)
    all
    any
    concatLists
    concatMap
    elem
    elemAt
    filter
    foldl'
    genList
    groupBy
    head
    isList
    length
    map
    partition
    sort
    tail
    ;
}
