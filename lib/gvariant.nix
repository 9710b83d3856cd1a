# GVariant text, as dconf databases and GLib settings hold it.
lib:
let
  inherit (builtins)
    filter
    head
    isAttrs
    isBool
    isFloat
    isInt
    isList
    isString
    replaceStrings
    typeOf
    ;
  inherit (lib) concatMapStringsSep concatStrings escape;

  type = {
    arrayOf = t: "a${t}";
    maybeOf = t: "m${t}";
    tupleOf = ts: "(${concatStrings ts})";
    dictionaryEntryOf = name: value: "{${name}${value}}";
    string = "s";
    boolean = "b";
    uchar = "y";
    int16 = "n";
    uint16 = "q";
    int32 = "i";
    uint32 = "u";
    int64 = "x";
    uint64 = "t";
    double = "d";
    variant = "v";
  };

  make = type: value: show: {
    _type = "gvariant";
    inherit type value;
    __toString = show;
  };

  annotated = t: v: make t v (self: "@${self.type} ${toString self.value}");
  bare = t: v: make t v (self: toString self.value);

  join = concatMapStringsSep "," toString;

  intConstructors = [
    {
      name = "mkInt32";
      type = type.int32;
      min = -2147483648;
      max = 2147483647;
    }
    {
      name = "mkUint32";
      type = type.uint32;
      min = 0;
      max = 4294967295;
    }
    {
      name = "mkInt64";
      type = type.int64;
      min = null;
      max = null;
    }
    {
      name = "mkUint64";
      type = type.uint64;
      min = 0;
      max = null;
    }
    {
      name = "mkInt16";
      type = type.int16;
      min = -32768;
      max = 32767;
    }
    {
      name = "mkUint16";
      type = type.uint16;
      min = 0;
      max = 65535;
    }
    {
      name = "mkUchar";
      type = type.uchar;
      min = 0;
      max = 255;
    }
  ];

  unclearInt =
    v:
    let
      fitting = filter (
        c: (c.min == null || c.min <= v) && (c.max == null || v <= c.max)
      ) intConstructors;
    in
    throw ''
      The GVariant type for number “${toString v}” is unclear.
      Please wrap the value with one of the following, depending on the value type in GSettings schema:

      ${concatMapStringsSep "\n" (c: "- `lib.gvariant.${c.name}` for `${c.type}`") fitting}
    '';

  mkBoolean = v: make type.boolean v (self: if self.value then "true" else "false");
  mkString =
    v:
    make type.string v (
      self: "'${replaceStrings [ "\n" ] [ "\\n" ] (escape [ "'" "\\" ] self.value)}'"
    );
  mkDouble = bare type.double;

  mkArray =
    elems:
    let
      values = map mkValue elems;
      elemType = (head values).type;
    in
    if elems == [ ] then
      throw "Please create empty array with mkEmptyArray."
    else if !builtins.all (v: v.type == elemType) values then
      throw "Elements in a list should have same type."
    else
      make (type.arrayOf elemType) values (self: "@${self.type} [${join self.value}]");

  mkMaybe =
    elemType: elem:
    make (type.maybeOf elemType) elem (
      self: if self.value == null then "@${self.type} nothing" else "just ${toString self.value}"
    );

  isGVariant = v: v._type or "" == "gvariant";

  /**
    A GVariant of a Nix value whose type is clear.
    Example: `toString (gvariant.mkValue [ "a" ])` => `"@as ['a']"`
  */
  mkValue =
    v:
    if isBool v then
      mkBoolean v
    else if isFloat v then
      mkDouble v
    else if isString v then
      mkString v
    else if isList v then
      mkArray v
    else if isGVariant v then
      v
    else if isInt v then
      unclearInt v
    else if isAttrs v then
      throw "Cannot construct GVariant value from an attribute set. If you want to construct a dictionary, you will need to create an array containing items constructed with `lib.gvariant.mkDictionaryEntry`."
    else
      throw "The GVariant type of “${typeOf v}” can't be inferred.";
in
{
  inherit
    mkValue
    ;

  inherit
    type
    isGVariant
    intConstructors
    mkArray
    mkBoolean
    mkString
    mkDouble
    mkMaybe
    ;

  mkEmptyArray = elemType: make (type.arrayOf elemType) [ ] (self: "@${self.type} []");

  mkVariant = elem: make type.variant (mkValue elem) (self: "<${toString self.value}>");

  mkDictionaryEntry =
    name: value:
    let
      key = mkValue name;
      content = mkValue value;
    in
    make (type.dictionaryEntryOf key.type content.type) { inherit name value; } (
      self: "@${self.type} {${key},${content}}"
    );

  mkNothing = elemType: mkMaybe elemType null;

  mkJust =
    elem:
    let
      value = mkValue elem;
    in
    mkMaybe value.type value;

  mkTuple =
    elems:
    let
      values = map mkValue elems;
    in
    make (type.tupleOf (map (v: v.type) values)) values (self: "@${self.type} (${join self.value})");

  mkObjectpath = v: make type.string v (self: "objectpath '${escape [ "'" ] self.value}'");

  mkUchar = annotated type.uchar;
  mkInt16 = annotated type.int16;
  mkUint16 = annotated type.uint16;
  mkInt32 = bare type.int32;
  mkUint32 = annotated type.uint32;
  mkInt64 = annotated type.int64;
  mkUint64 = annotated type.uint64;
}
