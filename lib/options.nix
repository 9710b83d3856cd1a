# Options: declaring them, merging their definitions, showing them.
#
# A definition is `{ file, value, pos }`: the file that the module's `_file` names, the value
# without properties, and where the value's attribute stands in the source (null when unknown).
lib:
let
  inherit (builtins)
    all
    concatLists
    concatMap
    concatStringsSep
    filter
    foldl'
    head
    isAttrs
    isBool
    isInt
    isList
    isString
    length
    mapAttrs
    ;

  mkOption = attrs: attrs // { _type = "option"; };

  /**
    Is the value a declared option?
    Type: `a -> Bool`
    Example: `isOption (mkOption { })` => `true`
  */
  isOption = v: v._type or null == "option";

  unknownModule = "<unknown-file>";

  prioritySuggestion = "Use `lib.mkForce value` or `lib.mkDefault value` to change the priority on any of these definitions.";

  /**
    The values of definitions.
    Type: `[Definition] -> [a]`
  */
  getValues = map (def: def.value);

  /**
    The files of definitions.
    Type: `[Definition] -> [String]`
  */
  getFiles = map (def: def.file);

  # A part stays bare where it is `*` or `<placeholder>`.
  showPart =
    part:
    if part == "*" || builtins.match "<.*>" part != null then part else lib.escapeNixIdentifier part;

  /**
    The option's names joined as Nix would write them.
    Example: `showOption [ "a" "b c" "<name>" ]` => `"a.\"b c\".<name>"`
  */
  showOption = loc: concatStringsSep "." (map showPart loc);

  /**
    Files in quotes, joined by "and".
    Example: `showFiles [ "a" "b" ]` => ``"`a' and `b'"``
  */
  showFiles = files: concatStringsSep " and " (map (f: "`${f}'") files);

  # ":LINE" if the position is in the file that the definition names.
  showLine =
    def:
    let
      pos = def.pos or null;
    in
    if pos != null && pos.file == toString def.file then ":${toString pos.line}" else "";

  # The value in at most five lines; nothing when it cannot be evaluated.
  showValue =
    value:
    let
      shown = builtins.tryEval (
        lib.generators.toPretty { } (
          lib.generators.withRecursion {
            depthLimit = 10;
            throwOnDepthLimit = false;
          } value
        )
      );
      lines = lib.splitString "\n" shown.value;
      kept = lib.take 5 lines ++ lib.optional (length lines > 5) "...";
    in
    if !shown.success then
      ""
    else if length lines > 1 then
      ":\n    " + concatStringsSep "\n    " kept
    else
      ": " + shown.value;

  /**
    One line for each definition: file, line and value.
    Example: `lib.options.showDefs [ { file = "f"; value = 1; } ]` => ``"\n- In `f': 1"``
  */
  showDefs =
    defs: lib.concatMapStrings (def: "\n- In `${def.file}${showLine def}'${showValue def.value}") defs;

  /**
    The only definition merged by `merge`, or an error with a message that says why there must be one.
    Type: `{ message, merge ? } -> Loc -> [Definition] -> a`
  */
  mergeUniqueOption =
    {
      message,
      merge ? _loc: defs: (head defs).value,
    }:
    loc: defs:
    if length defs == 1 then
      merge loc defs
    else
      throw "The option `${showOption loc}' is defined multiple times while it's expected to be unique.\n${message}\nDefinition values:${showDefs defs}\n${prioritySuggestion}";

  /**
    The value that all definitions agree on.
    Type: `Loc -> [Definition] -> a`
    Example: `mergeEqualOption [ "a" ] [ { file = "f"; value = 1; } { file = "g"; value = 1; } ]` => `1`
  */
  mergeEqualOption =
    loc: defs:
    let
      first = head defs;
      differing = filter (def: def.value != first.value) defs;
    in
    if length defs == 1 || differing == [ ] then
      first.value
    else
      throw "The option `${showOption loc}' has conflicting definition values:${
        showDefs [
          first
          (head differing)
        ]
      }\n${prioritySuggestion}";

  /**
    Merge by what the values are: lists and strings are joined, sets united, booleans or-ed.
    Type: `Loc -> [Definition] -> a`
    Example: `mergeDefaultOption [ "a" ] [ { file = "f"; value = [ 1 ]; } { file = "g"; value = [ 2 ]; } ]` => `[ 1 2 ]`
  */
  mergeDefaultOption =
    loc: defs:
    let
      list = getValues defs;
      first = head list;
    in
    if length list == 1 then
      first
    else if all lib.isFunction list then
      x: mergeDefaultOption loc (map (def: def // { value = def.value x; }) defs)
    else if all isList list then
      concatLists list
    else if all isAttrs list then
      foldl' (a: b: a // b) { } list
    else if all isBool list then
      lib.any lib.id list
    else if all isString list then
      lib.concatStrings list
    else if all isInt list && all (x: x == first) list then
      first
    else
      throw "Cannot merge definitions of `${showOption loc}'. Definition values:${showDefs defs}";

  tagged =
    tag: text:
    if isString text then
      {
        _type = tag;
        inherit text;
      }
    else
      throw "${tag} expects a string.";

  /**
    Nix source as text, for `defaultText` and `example`.
    Example: `literalExpression "pkgs.hello"` => `{ _type = "literalExpression"; text = "pkgs.hello"; }`
  */
  literalExpression = tagged "literalExpression";
  /**
    Markdown text, for `defaultText` and `example`.
  */
  literalMD = tagged "literalMD";

  /**
    A value as documentation shows it.
    Type: `a -> { _type, text }`
  */
  renderOptionValue =
    v:
    if v ? _type && v ? text then
      v
    else
      literalExpression (
        lib.generators.toPretty {
          multiline = true;
          allowPrettyValues = true;
        } v
      );

  # What documentation tools read of one option.
  docOf =
    opt:
    let
      name = showOption opt.loc;
      visible = opt.visible or true;
      type = opt.type or { };
      implied = type.emptyValue or { } ? value && type.getSubModules or null == null;
      hasDefault = opt ? defaultText || opt ? default || implied;
      context = what: builtins.addErrorContext "while evaluating the ${what} of option `${name}`";
    in
    {
      inherit (opt) loc;
      inherit name;
      description = opt.description or null;
      declarations = filter (x: x != unknownModule) opt.declarations;
      internal = opt.internal or false;
      visible = if isBool visible then visible else visible == "shallow";
      readOnly = opt.readOnly or false;
      type = type.description or "unspecified";
    }
    // lib.optionalAttrs (opt ? example) {
      example = context "example" (renderOptionValue opt.example);
    }
    // lib.optionalAttrs hasDefault {
      default = context (if opt ? defaultText then "defaultText" else "default value") (
        renderOptionValue (opt.defaultText or opt.default or type.emptyValue.value)
      );
    }
    // lib.optionalAttrs (opt.relatedPackages or null != null) { inherit (opt) relatedPackages; };

  optionAttrSetToDocList' =
    _: options:
    concatMap (
      opt:
      let
        visible = opt.visible or true;
        sub = opt.type.getSubOptions opt.loc;
        showSub = if isBool visible then visible else visible == "transparent";
      in
      [ (docOf opt) ] ++ lib.optionals (showSub && sub != { }) (optionAttrSetToDocList' opt.loc sub)
    ) (lib.collect isOption options);
in
{
  inherit
    showOption
    showFiles
    showDefs
    literalExpression
    literalMD
    ;

  inherit
    isOption
    getValues
    getFiles
    unknownModule
    mergeUniqueOption
    mergeEqualOption
    mergeDefaultOption
    renderOptionValue
    optionAttrSetToDocList'
    ;

  /**
    Declare an option. All of `default`, `defaultText`, `example`, `description`, `type`, `apply`,
    `internal`, `visible`, `readOnly`, `relatedPackages` may be left out.
    Type: `AttrSet -> Option`
    Example: `mkOption { default = 1; }` => `{ _type = "option"; default = 1; }`
  */
  mkOption =
    {
      default ? null,
      defaultText ? null,
      example ? null,
      description ? null,
      relatedPackages ? null,
      type ? null,
      apply ? null,
      internal ? null,
      visible ? null,
      readOnly ? null,
    }@attrs:
    mkOption attrs;

  /**
    Declare a boolean option, off by default, described as "Whether to enable NAME.".
    Type: `String -> Option`
    Example: `(mkEnableOption "the web server").description` => `"Whether to enable the web server."`
  */
  mkEnableOption =
    name:
    mkOption {
      default = false;
      example = true;
      description = "Whether to enable ${name}.";
      type = lib.types.bool;
    };

  /**
    Declare an option that holds a package of a package set.
    Type: `Pkgs -> (String | [String]) -> { nullable ?, default ?, example ?, extraDescription ?, pkgsText ? } -> Option`
    Example: `(mkPackageOption { hello = 1; } "hello" { }).defaultText.text` => `"pkgs.hello"`
  */
  mkPackageOption =
    pkgs: name:
    {
      nullable ? false,
      default ? name,
      example ? null,
      extraDescription ? "",
      pkgsText ? "pkgs",
    }:
    let
      path = lib.toList default;
      pathText = lib.showAttrPath path;
      what = if isList name then lib.last name else name;
    in
    mkOption (
      {
        description =
          "The ${what} package to use." + lib.optionalString (extraDescription != "") " ${extraDescription}";
        type = if nullable then lib.types.nullOr lib.types.package else lib.types.package;
      }
      // lib.optionalAttrs (default != null) {
        default = lib.attrByPath path (throw "${pathText} cannot be found in ${pkgsText}") pkgs;
        defaultText = literalExpression "${pkgsText}.${pathText}";
      }
      // lib.optionalAttrs (default == null && nullable) { default = null; }
      // lib.optionalAttrs (example != null) {
        example = literalExpression (
          if isList example then "${pkgsText}.${lib.showAttrPath example}" else example
        );
      }
    );

  /**
    Declare an option that swallows definitions and cannot be read.
    Type: `AttrSet -> Option`
  */
  mkSinkUndeclaredOptions =
    attrs:
    mkOption (
      {
        internal = true;
        visible = false;
        default = false;
        description = "Sink for option definitions.";
        type = lib.mkOptionType {
          name = "sink";
          check = _: true;
          merge = _loc: _defs: false;
        };
        apply = _: throw "Option value is not readable because the option is not declared.";
      }
      // attrs
    );

  /**
    The only definition, or an error that shows all.
    Type: `Loc -> [Definition] -> a`
    Example: `mergeOneOption [ "a" ] [ { file = "f"; value = 1; } ]` => `1`
  */
  mergeOneOption = mergeUniqueOption { message = ""; };

  /**
    An option and the files that define it.
    Type: `Option -> String`
  */
  showOptionWithDefLocs = opt: ''
    ${showOption opt.loc}, with values defined in:
    ${lib.concatMapStringsSep "\n" (file: "  - ${file}") opt.files}
  '';

  /**
    A fenced block of code in a language, for `defaultText` and `example`.
  */
  literalCode = language: text: literalMD "```${language}\n${text}\n```";

  /**
    The options of a tree as a flat list for documentation.
  */
  optionAttrSetToDocList = optionAttrSetToDocList' [ ];

  /**
    Replace what documentation must not evaluate (packages) by names.
  */
  scrubOptionValue =
    x:
    if lib.isDerivation x then
      {
        type = "derivation";
        drvPath = x.name;
        outPath = x.name;
        inherit (x) name;
      }
    else if isList x then
      map lib.options.scrubOptionValue x
    else if isAttrs x then
      mapAttrs (_: lib.options.scrubOptionValue) (removeAttrs x [ "_args" ])
    else
      x;
}
