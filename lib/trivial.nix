# Functions about functions, booleans, numbers, versions and files.
#
# What a module author uses without noticing. Nothing here knows of packages or options.
lib:
let
  inherit (builtins)
    fromJSON
    fromTOML
    functionArgs
    isFunction
    pathExists
    readFile
    ;
in
{
  /**
    Return the argument.
    Type: `a -> a`
    Example: `id 1` => `1`
  */
  id = x: x;

  /**
    Return the first of two arguments.
    Type: `a -> b -> a`
    Example: `const 1 2` => `1`
  */
  const = x: _: x;

  /**
    Hand a value through a list of functions, from left to right.
    Type: `a -> [a -> a] -> a`
    Example: `pipe 2 [ (x: x + 1) (x: x * 10) ]` => `30`
  */
  pipe = builtins.foldl' (x: f: f x);

  /**
    Concatenate two lists.
    Type: `[a] -> [a] -> [a]`
    Example: `concat [ 1 ] [ 2 ]` => `[ 1 2 ]`
  */
  concat = x: y: x ++ y;

  /**
    Logical or, as a function.
    Example: `lib."or" false true` => `true`
  */
  "or" = x: y: x || y;

  /**
    Logical and, as a function.
    Example: `lib.and false true` => `false`
  */
  and = x: y: x && y;

  /**
    Exclusive or.
    Example: `xor true true` => `false`
  */
  xor = x: y: x != y;

  /**
    Bitwise not.
    Example: `bitNot 5` => `-6`
  */
  bitNot = x: (0 - 1) - x;

  /**
    `true` as "true", `false` as "false".
    Example: `boolToString true` => `"true"`
  */
  boolToString = b: if b then "true" else "false";

  /**
    `true` as "yes", `false` as "no".
    Example: `boolToYesNo false` => `"no"`
  */
  boolToYesNo = b: if b then "yes" else "no";

  /**
    Merge two attribute sets; the right one wins.
    Example: `mergeAttrs { a = 1; b = 1; } { b = 2; }` => `{ a = 1; b = 2; }`
  */
  mergeAttrs = x: y: x // y;

  /**
    Swap the two arguments of a function.
    Type: `(a -> b -> c) -> b -> a -> c`
    Example: `flip (a: b: a - b) 1 3` => `2`
  */
  flip =
    f: a: b:
    f b a;

  /**
    Apply a function unless the value is null.
    Example: `mapNullable (x: x + 1) null` => `null`
  */
  mapNullable = f: a: if a == null then a else f a;

  /**
    The default, unless the value is not null.
    Example: `lib.trivial.defaultTo 1 null` => `1`
  */
  defaultTo = default: maybe: if maybe != null then maybe else default;

  /**
    The smaller of two values.
    Example: `min 1 2` => `1`
  */
  min = x: y: if x < y then x else y;

  /**
    The larger of two values.
    Example: `max 1 2` => `2`
  */
  max = x: y: if x > y then x else y;

  /**
    The integer modulus.
    Example: `mod 11 10` => `1`
  */
  mod = base: int: base - (int * (builtins.div base int));

  /**
    -1, 0 or 1 as the first is less than, equal to or more than the second.
    Example: `compare 1 2` => `-1`
  */
  compare =
    a: b:
    if a < b then
      -1
    else if a > b then
      1
    else
      0;

  /**
    Compare with one function the values that a predicate accepts (which come first), with another the rest.
    Type: `(a -> Bool) -> (a -> a -> Int) -> (a -> a -> Int) -> (a -> a -> Int)`
    Example: `splitByAndCompare (hasPrefix "f") compare compare "z" "fa"` => `1`
  */
  splitByAndCompare =
    p: yes: no: a: b:
    if p a then
      if p b then yes a b else -1
    else if p b then
      1
    else
      no a b;

  /**
    Is the value a function, or a set with `__functor`?
    Example: `isFunction { __functor = self: x: x; }` => `true`
  */
  isFunction = f: isFunction f || (f ? __functor && lib.isFunction (f.__functor f));

  /**
    The formals of a function, also of a set with `__functor`; true marks those with a default.
    Example: `functionArgs ({ a, b ? 1 }: a)` => `{ a = false; b = true; }`
  */
  functionArgs =
    f: if f ? __functor then f.__functionArgs or (lib.functionArgs (f.__functor f)) else functionArgs f;

  /**
    Give a function the formals that `functionArgs` shall report.
    Example: `functionArgs (setFunctionArgs (x: x) { a = false; })` => `{ a = false; }`
  */
  setFunctionArgs = f: args: {
    __functor = _: f;
    __functionArgs = args;
  };

  /**
    Give a function the formals of another.
    Example: `functionArgs (mirrorFunctionArgs ({ a }: a) (x: x))` => `{ a = false; }`
  */
  mirrorFunctionArgs =
    f:
    let
      args = lib.functionArgs f;
    in
    g: lib.setFunctionArgs g args;

  /**
    Make a function of anything: a function stays, any other value becomes constant.
    Example: `toFunction 1 2` => `1`
  */
  toFunction = v: if lib.isFunction v then v else _: v;

  /**
    A number in upper-case hexadecimal.
    Example: `toHexString 250` => `"FA"`
  */
  toHexString =
    i:
    builtins.concatStringsSep "" (
      map (d: builtins.substring d 1 "0123456789ABCDEF") (lib.toBaseDigits 16 i)
    );

  /**
    The digits of a number in a base, most significant first.
    Example: `toBaseDigits 10 123` => `[ 1 2 3 ]`
  */
  toBaseDigits =
    base: i:
    let
      go = n: if n < base then [ n ] else go (n / base) ++ [ (lib.mod n base) ];
    in
    assert builtins.isInt base && builtins.isInt i && base >= 2 && i >= 0;
    go i;

  /**
    The number that a hexadecimal string stands for.
    Example: `fromHexString "FF"` => `255`
  */
  fromHexString =
    value:
    let
      match = builtins.match "(0x)?([0-9a-fA-F]+)" value;
    in
    if match == null then
      throw "fromHexString: \"${value}\" is not a hexadecimal number"
    else
      (fromTOML "v=0x${builtins.elemAt match 1}").v;

  /**
    Read a JSON file.
    Type: `Path -> Any`
  */
  importJSON = path: fromJSON (readFile path);

  /**
    Read a TOML file.
    Type: `Path -> Any`
  */
  importTOML = path: fromTOML (readFile path);

  # Builtins about numbers, booleans and files.
  inherit (builtins)
    add
    addErrorContext
    bitAnd
    bitOr
    bitXor
    ceil
    deepSeq
    div
    floor
    genericClosure
    isBool
    isFloat
    isInt
    lessThan
    mul
    pathExists
    readFile
    seq
    sub
    ;

  /**
    The version of the library.
  */
  version = lib.trivial.release + lib.trivial.versionSuffix;

  /**
    What follows the release in the version: nothing, the library has no versions between releases.
  */
  versionSuffix = "";

  /**
    The revision of the tree that the library is in; it knows none, so the default.
    Example: `lib.trivial.revisionWithDefault "main"` => `"main"`
  */
  revisionWithDefault = default: default;

  /**
    Warn of each of a list. Example: `showWarnings [ ] 1` => `1`
  */
  showWarnings = warnings: res: lib.foldr lib.warn res warnings;

  /**
    Whether evaluation has no access to the environment (pure evaluation).
  */
  inPureEvalMode = !builtins ? currentSystem;

  /**
    Whether the code runs inside `nix-shell`; always false here, the tree reads no environment.
  */
  inNixShell = false;

  /**
    The oldest release that the names of this library follow.
  */
  release = "26.05";

  /**
    The name of the release.
  */
  codeName = "Zokor";

  /**
    The oldest release whose renamed options still work without a warning.
  */
  oldestSupportedRelease = 2511;

  /**
    Is the release at least this old supported? Decides when renamed options start to warn.
    Example: `lib.trivial.oldestSupportedReleaseIsAtLeast 2311` => `true`
  */
  oldestSupportedReleaseIsAtLeast = release: release <= lib.trivial.oldestSupportedRelease;

  /**
    Is the release that this library follows at least that one?
    Example: `lib.trivial.isInOldestRelease 9999` => `false`
  */
  isInOldestRelease = release: release <= 2511;

  /**
    Print a warning and return the second argument.
    Type: `String -> a -> a`
  */
  warn = builtins.warn or (msg: builtins.trace "evaluation warning: ${msg}");

  /**
    Warn if the condition holds.
    Example: `warnIf false "never shown" 1` => `1`
  */
  warnIf = cond: msg: if cond then lib.warn msg else x: x;

  /**
    Warn if the condition does not hold.
    Example: `warnIfNot true "never shown" 1` => `1`
  */
  warnIfNot = cond: msg: if cond then x: x else lib.warn msg;

  /**
    Throw if the condition does not hold, else the identity.
    Example: `throwIfNot true "never" 1` => `1`
  */
  throwIfNot = cond: msg: if cond then x: x else throw msg;

  /**
    Throw if the condition holds, else the identity.
    Example: `throwIf false "never" 1` => `1`
  */
  throwIf = cond: msg: if cond then throw msg else x: x;

  /**
    Check that a value is one of a list, or throw.
    Example: `checkListOfEnum "colour" [ "red" ] [ "red" ] 1` => `1`
  */
  checkListOfEnum =
    msg: valid: given:
    let
      unexpected = lib.subtractLists valid given;
    in
    lib.throwIfNot (unexpected == [ ])
      "${msg}: ${builtins.concatStringsSep ", " (map toString unexpected)} unexpected; valid ones: ${builtins.concatStringsSep ", " (map toString valid)}";
}
