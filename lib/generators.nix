# Rendering values as configuration files: INI, key-value, JSON, Lua, Nix, dconf, git config, plist.
lib:
let
  inherit (builtins)
    attrNames
    concatStringsSep
    isAttrs
    isBool
    isFloat
    isInt
    isList
    isPath
    isString
    mapAttrs
    match
    replaceStrings
    toJSON
    typeOf
    ;
  inherit (lib)
    concatMapStrings
    concatStrings
    escape
    isDerivation
    isFunction
    mapAttrsToList
    ;

  unsupported =
    name: kind: v:
    abort "generators.${name}: ${kind} not supported: ${toPretty { } v}";

  /**
    A scalar as configuration files usually hold it.
    Type: `AttrSet -> a -> String`
    Example: `generators.mkValueStringDefault { } true` => `"true"`
  */
  mkValueStringDefault =
    _args: v:
    let
      err = unsupported "mkValueStringDefault";
    in
    if isInt v then
      toString v
    else if isDerivation v then
      toString v
    else if isString v then
      v
    else if v == true then
      "true"
    else if v == false then
      "false"
    else if v == null then
      "null"
    else if isList v then
      err "lists" v
    else if isAttrs v then
      err "attrsets" v
    else if isFunction v then
      err "functions" v
    else if isFloat v then
      floatString v
    else
      err "this value is" (toString v);

  # The shortest text of a float that reads back as the same float.
  floatString = v: toJSON v;

  /**
    A key, a separator and a value.
    Type: `{ mkValueString ? } -> String -> String -> a -> String`
    Example: `generators.mkKeyValueDefault { } "=" "a" 1` => `"a=1"`
  */
  mkKeyValueDefault =
    {
      mkValueString ? mkValueStringDefault { },
    }:
    sep: k: v:
    "${escape [ sep ] k}${sep}${mkValueString v}";

  /**
    "key=value" lines.
    Example: `generators.toKeyValue { } { a = 1; b = true; }` => `"a=1\nb=true\n"`
  */
  toKeyValue =
    {
      mkKeyValue ? mkKeyValueDefault { } "=",
      listsAsDuplicateKeys ? false,
      indent ? "",
    }:
    let
      line = k: v: "${indent}${mkKeyValue k v}\n";
      lines = if listsAsDuplicateKeys then k: v: concatMapStrings (line k) (lib.toList v) else line;
    in
    attrs: concatStrings (mapAttrsToList lines attrs);

  /**
    An INI file from sections of keys and values.
    Example: `generators.toINI { } { s.a = 1; }` => `"[s]\na=1\n"`
  */
  toINI =
    {
      mkSectionName ? name: escape [ "[" "]" ] name,
      mkKeyValue ? mkKeyValueDefault { } "=",
      listsAsDuplicateKeys ? false,
    }:
    sections:
    concatStringsSep "\n" (
      mapAttrsToList (
        name: values:
        "[${mkSectionName name}]\n${toKeyValue { inherit mkKeyValue listsAsDuplicateKeys; } values}"
      ) sections
    );

  /**
    A value cut at a depth, or an error beyond it.
    Type: `{ depthLimit, throwOnDepthLimit ? } -> a -> a`
  */
  withRecursion =
    {
      depthLimit,
      throwOnDepthLimit ? true,
    }:
    assert isInt depthLimit;
    let
      # Functions that make a set printable or callable stay.
      special = [
        "__functor"
        "__functionArgs"
        "__toString"
        "__pretty"
      ];
      go =
        depth: v:
        if depth > depthLimit then
          if throwOnDepthLimit then
            throw "Exceeded maximum eval-depth limit of ${toString depthLimit} while trying to evaluate with `generators.withRecursion'!"
          else
            "<unevaluated>"
        else if isAttrs v then
          mapAttrs (name: value: if builtins.elem name special then value else go (depth + 1) value) v
        else if isList v then
          map (go (depth + 1)) v
        else if depth == depthLimit then
          go (depth + 1) v
        else
          v;
    in
    go 0;

  /**
    Nix source, for reading.
    Example: `generators.toPretty { multiline = false; } { a = [ 1 "b" ]; }` => `"{ a = [ 1 \"b\" ]; }"`
  */
  toPretty =
    {
      allowPrettyValues ? false,
      multiline ? true,
      indent ? "",
    }:
    let
      go =
        indent: v:
        let
          inner = "${indent}  ";
          open = if multiline then "\n${inner}" else " ";
          between = if multiline then "\n${inner}" else " ";
          close = if multiline then "\n${indent}" else " ";
        in
        if isInt v then
          toString v
        else if isFloat v then
          floatString v
        else if isString v then
          prettyString multiline indent v
        else if v == true then
          "true"
        else if v == false then
          "false"
        else if v == null then
          "null"
        else if isPath v then
          toString v
        else if isList v then
          if v == [ ] then "[ ]" else "[${open}${concatStringsSep between (map (go inner) v)}${close}]"
        else if isFunction v then
          prettyFunction v
        else if isAttrs v then
          if allowPrettyValues && v ? __pretty && v ? val then
            v.__pretty v.val
          else if v == { } then
            "{ }"
          else if isDerivation v then
            "<derivation ${v.name or "???"}>"
          else
            "{${open}${
              concatStringsSep between (
                mapAttrsToList (
                  name: value:
                  "${lib.escapeNixIdentifier name} = ${builtins.addErrorContext "while evaluating an attribute `${name}`" (go inner value)};"
                ) v
              )
            }${close}}"
        else
          abort "generators.toPretty: should never happen (v = ${v})";
    in
    go indent;

  prettyString =
    multiline: indent: v:
    let
      lines = builtins.filter isString (builtins.split "\n" v);
      body = map (replaceStrings [ "\${" "''" ] [ "''\${" "'''" ]) lines;
      single = "\"${
        replaceStrings [ "\\" "\"" "\${" "\n" "\r" "\t" ] [ "\\\\" "\\\"" "\\\${" "\\n" "\\r" "\\t" ] v
      }\"";
      last = lib.last body;
      indented = map (l: "${indent}  ${l}") (lib.init body);
    in
    if multiline && builtins.length lines > 1 then
      "''\n${concatStringsSep "\n" indented}\n${if last == "" then indent else "${indent}  ${last}"}''"
    else
      single;

  prettyFunction =
    v:
    let
      args = lib.functionArgs v;
      shown = concatStringsSep ", " (
        mapAttrsToList (name: optional: name + lib.optionalString optional "?") args
      );
    in
    if args == { } then "<function>" else "<function, args: {${shown}}>";
in
{
  inherit
    toKeyValue
    toINI
    toPretty
    ;

  inherit
    mkValueStringDefault
    mkKeyValueDefault
    withRecursion
    ;

  /**
    An INI file with keys before the first section.
    Example: `generators.toINIWithGlobalSection { } { globalSection.a = 1; sections.s.b = 2; }` => `"a=1\n\n[s]\nb=2\n"`
  */
  toINIWithGlobalSection =
    {
      mkSectionName ? name: escape [ "[" "]" ] name,
      mkKeyValue ? mkKeyValueDefault { } "=",
      listsAsDuplicateKeys ? false,
    }:
    {
      globalSection,
      sections ? { },
    }:
    (
      if globalSection == { } then
        ""
      else
        toKeyValue { inherit mkKeyValue listsAsDuplicateKeys; } globalSection + "\n"
    )
    + toINI { inherit mkSectionName mkKeyValue listsAsDuplicateKeys; } sections;

  /**
    A git configuration file, sub-sections by depth.
    Example: `generators.toGitINI { url.x.insteadOf = "y"; }` => `"[url \"x\"]\n\tinsteadOf = \"y\"\n"`
  */
  toGitINI =
    attrs:
    let
      mkSectionName =
        name:
        let
          parts = lib.splitString "." name;
          section = builtins.head parts;
          rest = concatStringsSep "." (builtins.tail parts);
        in
        if lib.hasInfix "." name then ''${section} "${rest}"'' else name;
      quoted = v: if isString v then ''"${escape [ "\"" "\\" ] v}"'' else mkValueStringDefault { } v;
      line = k: v: "\t${mkKeyValueDefault { mkValueString = quoted; } " = " k v}";
      keyValue = k: v: concatStringsSep "\n" (map (line k) (lib.toList v));
      flatten =
        path: value:
        if isAttrs value && !isDerivation value then
          lib.concatMap (name: flatten ([ name ] ++ path) value.${name}) (attrNames value)
        else if builtins.length path > 1 then
          [
            {
              ${concatStringsSep "." (lib.reverseList (builtins.tail path))}.${builtins.head path} = value;
            }
          ]
        else
          [ { ${builtins.head path} = value; } ];
    in
    toINI {
      inherit mkSectionName;
      mkKeyValue = keyValue;
    } (lib.foldl lib.recursiveUpdate { } (flatten [ ] attrs));

  /**
    JSON text.
    Example: `generators.toJSON { } { a = [ 1 ]; }` => `"{\"a\":[1]}"`
  */
  toJSON = _: toJSON;

  /**
    YAML text; JSON is YAML.
  */
  toYAML = _: toJSON;

  /**
    Lua source.
    Example: `generators.toLua { multiline = false; } { a = [ true ]; }` => `"{ [\"a\"] = { true } }"`
  */
  toLua =
    {
      multiline ? true,
      indent ? "",
      asBindings ? false,
    }@args:
    v:
    let
      innerIndent = "${indent}  ";
      newline = if multiline then "\n" else " ";
      introSpace = if multiline then "\n${innerIndent}" else " ";
      outroSpace = if multiline then "\n${indent}" else " ";
      innerArgs = args // {
        indent = if asBindings then indent else innerIndent;
        asBindings = false;
      };
      concatItems = concatStringsSep ",${introSpace}";
      render = lib.generators.toLua innerArgs;
      isInline = v: v._type or null == "lua-inline";
      isIdentifier = s: match "[a-zA-Z_][a-zA-Z0-9_]*(\\.[a-zA-Z_][a-zA-Z0-9_]*)*" s != null;
      bindings =
        let
          bad = builtins.filter (name: !isIdentifier name) (attrNames v);
        in
        if bad != [ ] then
          throw "generators.toLua: bindings must be valid identifiers: ${concatStringsSep ", " bad}"
        else
          concatStrings (mapAttrsToList (key: value: "${indent}${key} = ${render value}${newline}") v);
    in
    if asBindings then
      bindings
    else if v == null then
      "nil"
    else if isInt v || isFloat v || isString v || isBool v then
      toJSON v
    else if isPath v || isDerivation v then
      toJSON "${v}"
    else if isList v then
      if v == [ ] then "{}" else "{${introSpace}${concatItems (map render v)}${outroSpace}}"
    else if isAttrs v then
      if isInline v then
        "(${v.expr})"
      else if v == { } then
        "{}"
      else
        "{${introSpace}${
          concatItems (mapAttrsToList (key: value: "[${toJSON key}] = ${render value}") v)
        }${outroSpace}}"
    else
      abort "generators.toLua: type ${typeOf v} is unsupported";

  /**
    Lua source as it is, for toLua.
  */
  mkLuaInline = expr: {
    _type = "lua-inline";
    inherit expr;
  };

  /**
    A dconf keyfile.
    Type: `AttrSet -> String`
  */
  toDconfINI = toINI {
    mkKeyValue = k: v: "${k}=${toString (lib.gvariant.mkValue v)}";
  };

  /**
    An XML property list.
    Type: `{ escape ? } -> a -> String`
  */
  toPlist =
    {
      escape ? false,
    }:
    v:
    let
      text = if escape then lib.escapeXML else s: s;
      line = indent: s: "${indent}${s}";
      expr =
        indent: x:
        if x == null then
          ""
        else if isBool x then
          line indent (if x then "<true/>" else "<false/>")
        else if isInt x then
          line indent "<integer>${toString x}</integer>"
        else if isString x then
          line indent "<string>${text x}</string>"
        else if isPath x then
          line indent "<string>${text (toString x)}</string>"
        else if isFloat x then
          line indent "<real>${toString x}</real>"
        else if isList x then
          concatStringsSep "\n" [
            (line indent "<array>")
            (concatStringsSep "\n" (map (expr "${indent}\t") x))
            (line indent "</array>")
          ]
        else if isAttrs x then
          concatStringsSep "\n" [
            (line indent "<dict>")
            (concatStringsSep "\n" (
              lib.concatLists (
                mapAttrsToList (name: value: [
                  (line "${indent}\t" "<key>${text name}</key>")
                  (expr "${indent}\t" value)
                ]) (lib.filterAttrs (_: value: value != null) x)
              )
            ))
            (line indent "</dict>")
          ]
        else
          abort "generators.toPlist: should never happen (v = ${typeOf v})";
    in
    ''
      <?xml version="1.0" encoding="UTF-8"?>
      <!DOCTYPE plist PUBLIC "-//Apple Computer//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
      <plist version="1.0">
      ${expr "" v}
      </plist>'';
}
