# Types of values without parts: numbers, strings, paths, packages, choices.
lib: tools:
let
  inherit (builtins)
    concatStringsSep
    elem
    foldl'
    head
    isAttrs
    isBool
    isFloat
    isInt
    isPath
    isString
    length
    match
    substring
    toJSON
    typeOf
    ;
  inherit (tools) defaultFunctor mkOptionType phrase;
  inherit (lib.options)
    getFiles
    getValues
    mergeEqualOption
    mergeOneOption
    showFiles
    showOption
    ;
  inherit (lib.types) addCheck strMatching;

  # A noun that may be defined several times if equally.
  scalar =
    name: description: check:
    mkOptionType {
      inherit name description check;
      descriptionClass = "noun";
      merge = mergeEqualOption;
    };

  /**
    An integer.
  */
  int = scalar "int" "signed integer" isInt;

  /**
    A floating point number.
  */
  float = scalar "float" "floating point number" isFloat;

  /**
    A string; several definitions must be equal.
  */
  str = scalar "str" "string" isString;

  inclusive = low: high: "${low} and ${high} (both inclusive)";

  restricted =
    type: name: description: check:
    addCheck type check
    // {
      inherit name description;
      descriptionClass = "nonRestrictiveClause";
    };

  between =
    low: high:
    assert lib.assertMsg (low <= high) "ints.between: lowest must be smaller than highest";
    addCheck int (x: x >= low && x <= high)
    // {
      name = "intBetween";
      description = "integer between ${inclusive (toString low) (toString high)}";
    };

  sized =
    name: what: low: high:
    between low high
    // {
      inherit name;
      description = "${what}; between ${inclusive (toString low) (toString high)}";
    };
  unsigned = bits: range: sized "unsignedInt${bits}" "${bits} bit unsigned integer" 0 (range - 1);
  signed =
    bits: range: sized "signedInt${bits}" "${bits} bit signed integer" (-(range / 2)) (range / 2 - 1);

  /**
    Strings joined by a separator.
    Type: `String -> Type`
  */
  separatedString =
    sep:
    mkOptionType {
      name = "separatedString";
      description = "strings concatenated with ${toJSON sep}";
      descriptionClass = "noun";
      check = isString;
      merge = _loc: defs: concatStringsSep sep (getValues defs);
      functor = defaultFunctor "separatedString" // {
        payload = { inherit sep; };
        type = payload: separatedString payload.sep;
        binOp = a: b: if a.sep == b.sep then { inherit (a) sep; } else null;
      };
    };

  /**
    A path, absolute or relative, in the store or not: `{ inStore ?, absolute ? }`.
    Type: `AttrSet -> Type`
  */
  pathWith =
    {
      inStore ? null,
      absolute ? null,
    }:
    let
      kind =
        if absolute == null then
          ""
        else if absolute then
          "absolute "
        else
          "relative ";
      place =
        if inStore == null then
          ""
        else if inStore then
          " in the Nix store"
        else
          " not in the Nix store";
      isInStore =
        x:
        lib.path.hasStorePathPrefix (
          if isPath x then x else /. + builtins.unsafeDiscardStringContext (toString x)
        );
      # A path value would be copied to the store later, so it is none outside of it.
      rightType = if inStore == null || inStore then lib.isStringLike else isString;
    in
    if inStore == true && absolute == false then
      throw "In pathWith, inStore means the path must be absolute"
    else
      mkOptionType {
        name = "path";
        description = "${kind}path${place}";
        descriptionClass = "noun";
        merge = mergeEqualOption;
        functor = defaultFunctor "path" // {
          type = pathWith;
          payload = { inherit inStore absolute; };
          binOp = a: b: if a == b then a else null;
        };
        check =
          x:
          let
            isAbsolute = substring 0 1 (toString x) == "/";
          in
          rightType x
          && (absolute == null || absolute == isAbsolute)
          && (inStore == null || inStore == (isAbsolute && isInStore x));
      };

  # Several definitions of any type, merged by what they are.
  anything = mkOptionType {
    name = "anything";
    description = "anything";
    descriptionClass = "noun";
    merge =
      loc: defs:
      let
        kindOf =
          value: if isAttrs value && lib.isStringLike value then "stringCoercibleSet" else typeOf value;
        kind = foldl' (
          kind: def:
          if kindOf def.value == kind then
            kind
          else
            throw "The option `${showOption loc}' has conflicting option types in ${showFiles (getFiles defs)}"
        ) (kindOf (head defs).value) defs;
        applied =
          arg:
          anything.merge (loc ++ [ "<function body>" ]) (
            map (def: {
              inherit (def) file;
              value = def.value arg;
            }) defs
          );
      in
      if kind == "set" then
        (lib.types.attrsOf anything).merge loc defs
      else if kind == "stringCoercibleSet" then
        mergeOneOption loc defs
      else if kind == "lambda" then
        applied
      else
        mergeEqualOption loc defs;
  };

  /**
    One of the listed values.
    Type: `[a] -> Type`
  */
  enum =
    values:
    let
      show =
        v:
        if isString v then
          ''"${v}"''
        else if isInt v then
          toString v
        else if isBool v then
          lib.boolToString v
        else
          "<${typeOf v}>";
      n = length values;
    in
    mkOptionType {
      name = "enum";
      description =
        if n == 0 then
          "impossible (empty enum)"
        else if n == 1 then
          "value ${show (head values)} (singular enum)"
        else
          "one of ${lib.concatMapStringsSep ", " show values}";
      descriptionClass = if n < 2 then "noun" else "conjunction";
      check = x: elem x values;
      merge = mergeEqualOption;
      functor = defaultFunctor "enum" // {
        payload = { inherit values; };
        type = payload: enum payload.values;
        binOp = a: b: { values = lib.unique (a.values ++ b.values); };
      };
    };

  /**
    A derivation or store path.
  */
  package = mkOptionType {
    name = "package";
    descriptionClass = "noun";
    check = x: lib.isDerivation x || lib.isStorePath x;
    merge =
      loc: defs:
      let
        value = mergeOneOption loc defs;
        isBare = isPath value || (isString value && !builtins.hasContext value);
      in
      if isBare then lib.toDerivation value else value;
  };
in
{
  inherit
    anything
    int
    float
    str
    separatedString
    pathWith
    enum
    package
    ;

  /**
    Any value, one definition, never looked into.
  */
  raw = mkOptionType {
    name = "raw";
    description = "raw value";
    descriptionClass = "noun";
    merge = mergeOneOption;
  };

  /**
    The type of options declared without one.
  */
  unspecified = mkOptionType {
    name = "unspecified";
    description = "unspecified value";
    descriptionClass = "noun";
  };

  bool = scalar "bool" "boolean" isBool;

  /**
    A boolean that is true if any definition is.
  */
  boolByOr = mkOptionType {
    name = "boolByOr";
    description = "boolean (merged using or)";
    descriptionClass = "noun";
    check = isBool;
    merge = _loc: foldl' (result: def: result || def.value) false;
  };

  ints = {
    inherit between;
    unsigned = restricted int "unsignedInt" "unsigned integer, meaning >=0" (x: x >= 0);
    positive = restricted int "positiveInt" "positive integer, meaning >0" (x: x > 0);
    u8 = unsigned "8" 256;
    u16 = unsigned "16" 65536;
    u32 = unsigned "32" 4294967296;
    s8 = signed "8" 256;
    s16 = signed "16" 65536;
    s32 = signed "32" 4294967296;
  };

  /**
    A TCP or UDP port.
  */
  port = unsigned "16" 65536;

  number = lib.types.either int float;

  numbers = {
    between =
      low: high:
      assert lib.assertMsg (low <= high) "numbers.between: lowest must be smaller than highest";
      addCheck lib.types.number (x: x >= low && x <= high)
      // {
        name = "numberBetween";
        description = "integer or floating point number between ${inclusive (toJSON low) (toJSON high)}";
      };
    nonnegative =
      restricted lib.types.number "numberNonnegative"
        "nonnegative integer or floating point number, meaning >=0"
        (x: x >= 0);
    positive =
      restricted lib.types.number "numberPositive" "positive integer or floating point number, meaning >0"
        (x: x > 0);
  };

  nonEmptyStr = scalar "nonEmptyStr" "non-empty string" (x: isString x && match "[ \t\n]*" x == null);

  singleLineStr =
    scalar "singleLineStr" "(optionally newline-terminated) single-line string" (
      x: isString x && match "[^\n\r]*\n?" x != null
    )
    // {
      merge = loc: defs: lib.removeSuffix "\n" (mergeEqualOption loc defs);
    };

  /**
    A string that a regular expression matches as a whole.
  */
  strMatching =
    pattern:
    mkOptionType {
      name = "strMatching ${lib.escapeNixString pattern}";
      description = "string matching the pattern ${pattern}";
      descriptionClass = "noun";
      check = x: isString x && match pattern x != null;
      merge = mergeEqualOption;
      functor = defaultFunctor "strMatching" // {
        type = payload: strMatching payload.pattern;
        payload = { inherit pattern; };
        binOp = a: b: if a == b then a else null;
      };
    };

  /**
    Text of several definitions, joined by newlines.
  */
  lines = separatedString "\n";
  commas = separatedString ",";
  envVar = separatedString ":";

  /**
    An old name of `separatedString ""`.
  */
  string = separatedString "" // {
    name = "string";
    deprecationMessage = "Use `types.str`, or `types.separatedString` where definitions are to be joined.";
  };

  /**
    A string fit for a field of /etc/passwd.
  */
  passwdEntry =
    entryType:
    restricted entryType "passwdEntry ${entryType.name}"
      "${phrase [ "noun" ] entryType}, not containing newlines or colons"
      (s: !(lib.hasInfix ":" s || lib.hasInfix "\n" s));

  path = pathWith { absolute = true; };
  pathInStore = pathWith { inStore = true; };
  externalPath = pathWith {
    absolute = true;
    inStore = false;
  };

  /**
    A package that is a login shell.
  */
  shellPackage = package // {
    check = x: lib.isDerivation x && x ? shellPath;
  };

  /**
    A package set.
  */
  pkgs = addCheck (
    lib.types.unique {
      message = "A Nixpkgs pkgs set can not be merged with another pkgs set.";
    } lib.types.attrs
    // {
      name = "pkgs";
      descriptionClass = "noun";
      description = "Nixpkgs package set";
    }
  ) (x: x._type or null == "pkgs");

  fileset = mkOptionType {
    name = "fileset";
    description = "fileset";
    descriptionClass = "noun";
    check = lib.fileset.isFileset;
    merge = _loc: defs: lib.fileset.unions (getValues defs);
    emptyValue.value = lib.fileset.empty;
  };

  luaInline = scalar "luaInline" "inline lua" (x: x._type or null == "lua-inline");

  /**
    A set; later definitions win, without looking deeper.
  */
  attrs = mkOptionType {
    name = "attrs";
    description = "attribute set";
    check = isAttrs;
    merge = _loc: foldl' (res: def: res // def.value) { };
    emptyValue.value = { };
  };

  /**
    The declaration of an option as a value.
  */
  optionDeclaration = mkOptionType {
    name = "optionDeclaration";
    description = "option declaration";
    descriptionClass = "noun";
    check = opt: lib.isOption opt && !(opt ? value);
  };

  /**
    A type as a value; several are merged as declarations of one option would be.
  */
  optionType = mkOptionType {
    name = "optionType";
    description = "optionType";
    descriptionClass = "noun";
    check = lib.isOptionType;
    merge =
      loc: defs:
      let
        declarations = map (def: {
          _file = def.file;
          pos = null;
          options = lib.mkOption { type = def.value; };
        }) defs;
      in
      if length defs == 1 then
        (head defs).value
      else
        (lib.modules.fixupOptionType loc (lib.modules.mergeOptionDecls loc declarations)).type;
  };
}
