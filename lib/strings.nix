# Strings: joining, splitting, trimming, escaping, comparing, converting.
lib:
let
  inherit (builtins)
    concatMap
    concatStringsSep
    elem
    elemAt
    filter
    foldl'
    genList
    head
    isInt
    isList
    isPath
    isString
    length
    match
    replaceStrings
    split
    stringLength
    substring
    tail
    toJSON
    typeOf
    ;

  /**
    Concatenate strings.
    Type: `[String] -> String`
    Example: `concatStrings [ "a" "b" ]` => `"ab"`
  */
  concatStrings = concatStringsSep "";

  /**
    Map and concatenate.
    Type: `(a -> String) -> [a] -> String`
    Example: `concatMapStrings toString [ 1 2 ]` => `"12"`
  */
  concatMapStrings = f: list: concatStrings (map f list);

  /**
    Put a backslash before each of the listed characters.
    Type: `[String] -> String -> String`
    Example: `escape [ "(" ] "a("` => `"a\\("`
  */
  escape = list: replaceStrings list (map (c: "\\${c}") list);

  /**
    Does a string begin with another?
    Type: `String -> String -> Bool`
    Example: `hasPrefix "a" "abc"` => `true`
  */
  hasPrefix = pref: str: substring 0 (stringLength pref) str == pref;

  /**
    Does a string end with another?
    Type: `String -> String -> Bool`
    Example: `hasSuffix "c" "abc"` => `true`
  */
  hasSuffix =
    suffix: str:
    let
      n = stringLength suffix;
      len = stringLength str;
    in
    len >= n && substring (len - n) n str == suffix;

  lowerChars = lib.stringToCharacters "abcdefghijklmnopqrstuvwxyz";
  upperChars = lib.stringToCharacters "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

  # Words that may not be written bare as an attribute name.
  nixKeywords = [
    "assert"
    "else"
    "if"
    "in"
    "inherit"
    "let"
    "or"
    "rec"
    "then"
    "with"
  ];

  /**
    Is the value a string or path, or a set that becomes a string in a string?
    Type: `a -> Bool`
    Example: `isStringLike { outPath = "/x"; }` => `true`
  */
  isStringLike = x: isString x || isPath x || x ? outPath || x ? __toString;

  # The number in a string, trimmed; `name` is the caller's for messages.
  parseInt =
    name: zeroesAllowed: str:
    let
      stripped = match "[[:space:]]*(-?[[:digit:]]+)[[:space:]]*" str;
      leadingZero = match "[[:space:]]*-?0[[:digit:]]+[[:space:]]*" str != null;
      noZeroes = match "[[:space:]]*0*(-?[[:digit:]]+)[[:space:]]*" str;
      parsed = builtins.fromJSON (
        if zeroesAllowed then
          let
            digits = match "(-?)0*([[:digit:]]+)" (head noZeroes);
          in
          (elemAt digits 0) + (elemAt digits 1)
        else
          head stripped
      );
    in
    if (if zeroesAllowed then noZeroes else stripped) == null then
      throw "${name}: Could not convert ${lib.escapeNixString str} to int."
    else if !zeroesAllowed && leadingZero then
      throw "${name}: Ambiguity in interpretation of ${lib.escapeNixString str} between octal and zero padded integer."
    else if isInt parsed then
      parsed
    else
      throw "${name}: Could not convert ${lib.escapeNixString str} to int.";
in
{
  inherit
    concatStrings
    concatMapStrings
    escape
    hasPrefix
    hasSuffix
    lowerChars
    upperChars
    isStringLike
    ;

  /**
    Concatenate the function's results, which gets the index from 1 too.
    Example: `concatImapStrings (i: x: toString i + x) [ "a" "b" ]` => `"1a2b"`
  */
  concatImapStrings = f: list: concatStrings (lib.imap1 f list);

  /**
    Put a separator between the elements of a list.
    Example: `intersperse 0 [ 1 2 ]` => `[ 1 0 2 ]`
  */
  intersperse =
    separator: list:
    if length list < 2 then
      list
    else
      tail (
        concatMap (x: [
          separator
          x
        ]) list
      );

  /**
    Map and join with a separator.
    Example: `concatMapStringsSep "-" toString [ 1 2 ]` => `"1-2"`
  */
  concatMapStringsSep =
    sep: f: list:
    concatStringsSep sep (map f list);

  /**
    The same with an index from 1.
    Example: `concatImapStringsSep "," (i: x: x + toString i) [ "a" "b" ]` => `"a1,b2"`
  */
  concatImapStringsSep =
    sep: f: list:
    concatStringsSep sep (lib.imap1 f list);

  /**
    Join the function's results over names and values.
    Example: `concatMapAttrsStringSep "," (n: v: "${n}=${v}") { a = "1"; b = "2"; }` => `"a=1,b=2"`
  */
  concatMapAttrsStringSep =
    sep: f: attrs:
    concatStringsSep sep (lib.mapAttrsToList f attrs);

  /**
    Flatten a list deeply and join it.
    Example: `concatStrings (flatten [ "a" [ "b" ] ])` => `"ab"`
  */
  concatLines = concatMapStrings (s: s + "\n");

  /**
    A string n times.
    Example: `lib.strings.replicate 3 "ab"` => `"ababab"`
  */
  replicate = n: s: concatStrings (genList (_: s) n);

  /**
    Without white space at both ends.
    Example: `trim " a b\n"` => `"a b"`
  */
  trim = lib.strings.trimWith {
    start = true;
    end = true;
  };

  /**
    Without white space at the chosen ends.
    Example: `trimWith { end = true; } " a "` => `" a"`
  */
  trimWith =
    {
      start ? false,
      end ? false,
    }:
    s:
    let
      chars = " \t\r\n";
      regex =
        if start && end then
          "[${chars}]*(.*[^${chars}])[${chars}]*"
        else if start then
          "[${chars}]*(.*)"
        else
          "(.*[^${chars}])[${chars}]*";
      res = match regex s;
    in
    if !start && !end then
      s
    else if res == null then
      ""
    else
      head res;

  /**
    Join with ":" the existing paths of a sub-folder of each package.
    Example: `makeSearchPath "bin" [ "/a" "" "/b" ]` => `"/a/bin:/b/bin"`
  */
  makeSearchPath =
    subDir: paths:
    concatStringsSep ":" (map (path: path + "/" + subDir) (filter (x: x != null && x != "") paths));

  /**
    `makeSearchPath` over an output of each package.
    Type: `String -> String -> [Derivation] -> String`
  */
  makeSearchPathOutput =
    output: subDir: pkgs:
    lib.makeSearchPath subDir (map (lib.getOutput output) pkgs);

  /**
    The library search path of packages.
  */
  makeLibraryPath = lib.makeSearchPathOutput "lib" "lib";

  /**
    The header search path of packages.
  */
  makeIncludePath = lib.makeSearchPathOutput "dev" "include";

  /**
    The executable search path of packages.
  */
  makeBinPath = lib.makeSearchPathOutput "bin" "bin";

  /**
    Several slashes made one.
    Example: `normalizePath "/a//b///c"` => `"/a/b/c"`
  */
  normalizePath =
    s:
    foldl' (acc: c: if c == "/" && hasSuffix "/" acc then acc else acc + c) "" (
      lib.stringToCharacters s
    );

  /**
    The string if the condition holds, else "".
    Example: `optionalString false "x"` => `""`
  */
  optionalString = cond: string: if cond then string else "";

  /**
    Does a string contain another?
    Example: `hasInfix "b" "abc"` => `true`
  */
  hasInfix = infix: content: length (lib.splitString infix "${content}") > 1;

  /**
    The characters (bytes) of a string.
    Example: `stringToCharacters "ab"` => `[ "a" "b" ]`
  */
  stringToCharacters = s: genList (p: substring p 1 s) (stringLength s);

  /**
    Map each character and concatenate.
    Example: `stringAsChars (c: if c == "a" then "i" else c) "nax"` => `"nix"`
  */
  stringAsChars = f: s: concatStrings (map f (lib.stringToCharacters s));

  /**
    The code of an ASCII character.
    Example: `lib.strings.charToInt "A"` => `65`
  */
  charToInt = c: lib.asciiTable.${c};

  /**
    Escape characters with `\xHH`.
    Example: `lib.strings.escapeC [ " " ] "a b"` => `"a\\x20b"`
  */
  escapeC =
    list:
    replaceStrings list (
      map (
        c: "\\x${lib.fixedWidthString 2 "0" (lib.toLower (lib.toHexString (lib.strings.charToInt c)))}"
      ) list
    );

  /**
    Percent-encode for a URL.
    Example: `escapeURL "a b"` => `"a%20b"`
  */
  escapeURL =
    let
      unreserved = lib.stringToCharacters "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";
      codes = removeAttrs lib.asciiTable unreserved;
      hex = c: "%" + lib.fixedWidthString 2 "0" (lib.toHexString c);
    in
    replaceStrings (builtins.attrNames codes) (map hex (builtins.attrValues codes));

  /**
    Quote an argument for a POSIX shell, only where needed.
    Example: `escapeShellArg "it's"` => `"'it'\\''s'"`
  */
  escapeShellArg =
    arg:
    let
      string = toString arg;
    in
    if match "[[:alnum:],._+:@%/-]+" string == null then
      "'${replaceStrings [ "'" ] [ "'\\''" ] string}'"
    else
      string;

  /**
    Quote each argument and join with spaces.
    Example: `escapeShellArgs [ "a" "b c" ]` => `"a 'b c'"`
  */
  escapeShellArgs = lib.concatMapStringsSep " " lib.escapeShellArg;

  /**
    Is the name one that a POSIX shell accepts for a variable?
    Example: `lib.strings.isValidPosixName "a-b"` => `false`
  */
  isValidPosixName = name: match "[a-zA-Z_][a-zA-Z0-9_]*" name != null;

  /**
    A shell assignment; lists and sets become bash arrays.
    Example: `toShellVar "a" "b c"` => `"a='b c'"`
  */
  toShellVar =
    name: value:
    lib.throwIfNot (lib.strings.isValidPosixName name)
      "toShellVar: ${name} is not a valid shell variable name"
      (
        if builtins.isAttrs value && !isStringLike value then
          "declare -A ${name}=(${
            concatStringsSep " " (
              lib.mapAttrsToList (n: v: "[${lib.escapeShellArg n}]=${lib.escapeShellArg v}") value
            )
          })"
        else if isList value then
          "declare -a ${name}=(${lib.escapeShellArgs value})"
        else
          "${name}=${lib.escapeShellArg value}"
      );

  /**
    Shell assignments of a set, one a line.
    Example: `toShellVars { a = 1; b = "x"; }` => `"a=1\nb=x"`
  */
  toShellVars = vars: concatStringsSep "\n" (lib.mapAttrsToList lib.toShellVar vars);

  /**
    A string as Nix source.
    Example: `escapeNixString "a\${b}"` => `"\"a\\\${b}\""`
  */
  escapeNixString = s: escape [ "$" ] (toJSON s);

  /**
    A string as a regular expression that matches just it.
    Example: `escapeRegex "a.b"` => `"a\\.b"`
  */
  escapeRegex = escape (lib.stringToCharacters "\\[{()^$?*+|.");

  /**
    A name as Nix would write it in an attribute set.
    Example: `escapeNixIdentifier "a b"` => `"\"a b\""`
  */
  escapeNixIdentifier =
    s:
    if match "[a-zA-Z_][a-zA-Z0-9_'-]*" s != null && !elem s nixKeywords then
      s
    else
      lib.escapeNixString s;

  /**
    Escape for XML text and attributes.
    Example: `escapeXML "<a>"` => `"&lt;a&gt;"`
  */
  escapeXML = replaceStrings [ "\"" "'" "<" ">" "&" ] [ "&quot;" "&apos;" "&lt;" "&gt;" "&amp;" ];

  /**
    ASCII letters in lower case.
    Example: `toLower "ABc"` => `"abc"`
  */
  toLower = replaceStrings upperChars lowerChars;

  /**
    ASCII letters in upper case.
    Example: `toUpper "abC"` => `"ABC"`
  */
  toUpper = replaceStrings lowerChars upperChars;

  /**
    First letter in upper case, the rest in lower case.
    Example: `toSentenceCase "hELLO"` => `"Hello"`
  */
  toSentenceCase =
    str:
    lib.throwIfNot (isString str)
      "toSentenceCase does only accepts string values, but got ${typeOf str}"
      (lib.toUpper (substring 0 1 str) + lib.toLower (substring 1 (-1) str));

  /**
    snake_case and kebab-case to camelCase.
    Example: `toCamelCase "hello-world"` => `"helloWorld"`
  */
  toCamelCase =
    str:
    lib.throwIfNot (isString str) "toCamelCase does only accepts string values, but got ${typeOf str}" (
      lib.strings.camelCase str
    );

  /**
    What toCamelCase does with a string.
    Type: `String -> String`
  */
  camelCase =
    str:
    let
      parts = filter (x: isString x && x != "") (split "[-_ ]+" str);
      lowerFirst = s: lib.toLower (substring 0 1 s) + substring 1 (-1) s;
      upperFirst = s: lib.toUpper (substring 0 1 s) + substring 1 (-1) s;
    in
    if parts == [ ] then "" else lowerFirst (head parts) + concatMapStrings upperFirst (tail parts);

  /**
    A string with the context of another.
    Type: `String -> String -> String`
  */
  addContextFrom = src: target: substring 0 0 src + target;

  /**
    Split at every occurrence of a separator.
    Example: `splitString "." "a.b"` => `[ "a" "b" ]`
  */
  splitString =
    sep: s:
    let
      parts = filter isString (split (lib.escapeRegex (toString sep)) (toString s));
    in
    map (lib.addContextFrom s) parts;

  /**
    Without a prefix, if it is there.
    Example: `removePrefix "a" "abc"` => `"bc"`
  */
  removePrefix =
    prefix: str: if hasPrefix prefix str then substring (stringLength prefix) (-1) str else str;

  /**
    Without a suffix, if it is there.
    Example: `removeSuffix "c" "abc"` => `"ab"`
  */
  removeSuffix =
    suffix: str:
    if hasSuffix suffix str then substring 0 (stringLength str - stringLength suffix) str else str;

  /**
    Is the second version older than the first?
    Example: `versionOlder "1.1" "1.2"` => `true`
  */
  versionOlder = v1: v2: builtins.compareVersions v2 v1 == 1;

  /**
    Is the first version at least the second?
    Example: `versionAtLeast "1.1" "1.1"` => `true`
  */
  versionAtLeast = v1: v2: !lib.versionOlder v1 v2;

  /**
    The name of a package, or of a "name-version" string.
    Example: `getName "youtube-dl-2016.01.01"` => `"youtube-dl"`
  */
  getName =
    x:
    let
      parse = drv: (builtins.parseDrvName drv).name;
    in
    if isString x then parse x else x.pname or (parse x.name);

  /**
    The version of a package, or of a "name-version" string.
    Example: `getVersion "youtube-dl-2016.01.01"` => `"2016.01.01"`
  */
  getVersion =
    x:
    let
      parse = drv: (builtins.parseDrvName drv).version;
    in
    if isString x then parse x else x.version or (parse x.name);

  /**
    The file name of a URL without what follows a separator.
    Example: `nameFromURL "https://a/b-1.0.tar.gz" "."` => `"b-1"`
  */
  nameFromURL =
    url: sep:
    let
      filename = lib.last (lib.splitString "/" url);
      name = head (lib.splitString sep filename);
    in
    assert name != filename;
    name;

  /**
    A CMake definition.
    Example: `cmakeOptionType "string" "A" "b"` => `"-DA:STRING=b"`
  */
  cmakeOptionType =
    type: feature: value:
    "-D${feature}:${lib.toUpper type}=${value}";

  /**
    A boolean CMake definition. Example: `cmakeBool "A" true` => `"-DA:BOOL=TRUE"`
  */
  cmakeBool =
    condition: flag: lib.cmakeOptionType "bool" condition (lib.toUpper (lib.boolToString flag));

  /**
    A string CMake definition. Example: `cmakeFeature "A" "b"` => `"-DA:STRING=b"`
  */
  cmakeFeature = feature: value: lib.cmakeOptionType "string" feature value;

  /**
    A meson option. Example: `mesonOption "a" "b"` => `"-Da=b"`
  */
  mesonOption = feature: value: "-D${feature}=${value}";

  /**
    A boolean meson option. Example: `mesonBool "a" true` => `"-Da=true"`
  */
  mesonBool = condition: flag: lib.mesonOption condition (lib.boolToString flag);

  /**
    A meson feature. Example: `mesonEnable "a" false` => `"-Da=disabled"`
  */
  mesonEnable = feature: flag: lib.mesonOption feature (if flag then "enabled" else "disabled");

  /**
    `--enable-X` or `--disable-X`. Example: `enableFeature false "a"` => `"--disable-a"`
  */
  enableFeature = flag: feature: "--${if flag then "enable" else "disable"}-${feature}";

  /**
    The same with a value. Example: `enableFeatureAs true "a" "b"` => `"--enable-a=b"`
  */
  enableFeatureAs =
    flag: feature: value:
    lib.enableFeature flag feature + lib.optionalString flag "=${value}";

  /**
    `--with-X` or `--without-X`. Example: `withFeature true "a"` => `"--with-a"`
  */
  withFeature = flag: feature: "--${if flag then "with" else "without"}-${feature}";

  /**
    The same with a value. Example: `withFeatureAs true "a" "b"` => `"--with-a=b"`
  */
  withFeatureAs =
    flag: feature: value:
    lib.withFeature flag feature + lib.optionalString flag "=${value}";

  /**
    Pad a string on the left to a width.
    Example: `fixedWidthString 5 "0" "15"` => `"00015"`
  */
  fixedWidthString =
    width: filler: str:
    let
      strw = stringLength str;
    in
    assert lib.assertMsg (strw <= width)
      "fixedWidthString: requested string length (${toString width}) must not be shorter than actual length (${toString strw})";
    if strw == width then
      str
    else
      filler + lib.fixedWidthString (width - stringLength filler) filler str;

  /**
    Pad a number with zeroes. Example: `fixedWidthNumber 3 7` => `"007"`
  */
  fixedWidthNumber = width: n: lib.fixedWidthString width "0" (toString n);

  /**
    A float as text, with six digits after the point.
    Example: `floatToString 0.5` => `"0.500000"`
  */
  floatToString = toString;

  /**
    Can the value become a string by `toString`?
    Example: `isConvertibleWithToString [ 1 "a" ]` => `true`
  */
  isConvertibleWithToString =
    x:
    isStringLike x
    || elem (typeOf x) [
      "null"
      "int"
      "float"
      "bool"
    ]
    || (isList x && builtins.all lib.isConvertibleWithToString x);

  /**
    Is the value a store path itself (not something below one)?
    Example: `isStorePath "/nix/store"` => `false`
  */
  isStorePath =
    x:
    if isStringLike x then
      let
        str = toString x;
        isBase = dirOf str == builtins.storeDir;
      in
      substring 0 1 str == "/" && isBase || match "/[a-z0-9]{52}" str != null
    else
      false;

  /**
    The integer in a string; leading zeroes are refused as ambiguous.
    Example: `toInt " 42 "` => `42`
  */
  toInt = parseInt "toInt" false;

  /**
    The integer in a string, leading zeroes ignored.
    Example: `toIntBase10 "0042"` => `42`
  */
  toIntBase10 = parseInt "toIntBase10" true;

  /**
    The lines of a file.
  */
  fileContents = file: lib.removeSuffix "\n" (builtins.readFile file);

  /**
    Make a string fit for the name of a store path.
    Example: `sanitizeDerivationName "a b"` => `"a-b"`
  */
  sanitizeDerivationName =
    let
      okRegex = match "^[[:alnum:]+_?=-][[:alnum:]+._?=-]*$";
    in
    string:
    let
      plain = builtins.unsafeDiscardStringContext (toString string);
      noDots = head (match "\\.*(.*)" plain);
      safe = concatStringsSep "-" (filter isString (split "[^[:alnum:]+._?=-]+" noDots));
      short = substring (lib.max (stringLength safe - 207) 0) (-1) safe;
    in
    if stringLength plain <= 207 && okRegex plain != null then
      plain
    else if short == "" then
      "unknown"
    else
      short;

  /**
    The number of single-character edits between two strings.
    Example: `levenshtein "kitten" "sitting"` => `3`
  */
  levenshtein =
    a: b:
    let
      n = stringLength b;
      ca = lib.stringToCharacters a;
      cb = lib.stringToCharacters b;
      # One row of the matrix from the row above it.
      nextRow =
        row: c:
        foldl' (
          acc: j:
          acc
          ++ [
            (lib.min (lib.min (elemAt acc j + 1) (elemAt row (j + 1) + 1)) (
              elemAt row j + (if elemAt cb j == c then 0 else 1)
            ))
          ]
        ) [ (head row + 1) ] (genList (j: j) n);
    in
    lib.last (foldl' nextRow (genList (j: j) (n + 1)) ca);

  /**
    The length of the common beginning. Example: `lib.strings.commonPrefixLength "abc" "abd"` => `2`
  */
  commonPrefixLength =
    a: b:
    let
      m = lib.min (stringLength a) (stringLength b);
      go = i: if i >= m || substring i 1 a != substring i 1 b then i else go (i + 1);
    in
    go 0;

  /**
    The length of the common end. Example: `lib.strings.commonSuffixLength "abc" "bc"` => `2`
  */
  commonSuffixLength =
    a: b:
    let
      m = lib.min (stringLength a) (stringLength b);
      at = s: i: substring (stringLength s - i - 1) 1 s;
      go = i: if i >= m || at a i != at b i then i else go (i + 1);
    in
    go 0;

  /**
    Is the edit distance of two strings at most k?
    Example: `levenshteinAtMost 1 "foo" "fox"` => `true`
  */
  levenshteinAtMost =
    k: a: b:
    let
      diff = stringLength a - stringLength b;
      pre = lib.strings.commonPrefixLength a b;
      restA = substring pre (-1) a;
      restB = substring pre (-1) b;
    in
    (if diff < 0 then -diff else diff) <= k && (k > 0 || a == b) && lib.levenshtein restA restB <= k;

  /**
    Split before or at each character for which a predicate on it and the one before holds.
    Example: `splitStringBy (prev: curr: curr == ".") false "a.b"` => `[ "a" "b" ]`
  */
  splitStringBy =
    predicate: keepSplit: str:
    let
      step =
        {
          parts,
          current,
          prev,
        }:
        c:
        if predicate prev c then
          {
            parts = parts ++ [ current ];
            current = if keepSplit then c else "";
            prev = c;
          }
        else
          {
            inherit parts;
            current = current + c;
            prev = c;
          };
      end = foldl' step {
        parts = [ ];
        current = "";
        prev = "";
      } (lib.stringToCharacters str);
    in
    map (lib.addContextFrom str) (end.parts ++ [ end.current ]);

  /**
    Join with a separator. Example: `join "," [ "a" "b" ]` => `"a,b"`
  */
  join = concatStringsSep;

  /**
    Replace every occurrence. Example: `replaceString "a" "b" "banana"` => `"bbnbnb"`
  */
  replaceString = from: to: replaceStrings [ from ] [ to ];

  # Builtins about strings.
  inherit (builtins)
    appendContext
    compareVersions
    concatStringsSep
    elem
    elemAt
    filter
    fromJSON
    genList
    getContext
    head
    isAttrs
    isInt
    isList
    isPath
    isString
    length
    match
    parseDrvName
    readFile
    replaceStrings
    split
    storeDir
    stringLength
    substring
    tail
    toJSON
    typeOf
    unsafeDiscardStringContext
    ;
}
