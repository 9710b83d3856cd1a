# Option types: what a definition must look like and how several become one value.
#
# A type's `merge` is either `loc -> defs -> value` behind a separate `check`, or has `v2`: `{ loc,
# defs } -> { headError, value, valueMeta }`, which checks and merges in one go. Composed types use
# v2, so that a type error deep inside is found while merging, once.
lib:
let
  inherit (builtins) all filter;
  inherit (lib.options) mergeDefaultOption showDefs;

  # Two declarations of one option: the type that serves both, or null.
  defaultTypeMerge =
    f: f':
    if f.name != f'.name then
      null
    else if f.payload == null && f'.payload == null then
      f.type
    else
      let
        payload = f.binOp f.payload f'.payload;
      in
      assert (f.payload == null) == (f'.payload == null);
      if payload == null then null else f.type payload;

  defaultFunctor = name: {
    inherit name;
    type = lib.types.${name} or null;
    payload = null;
    binOp = _: _: null;
  };

  /**
    Define a type. Only `name` is needed.
  */
  mkOptionType =
    {
      name,
      description ? null,
      descriptionClass ? null,
      check ? (_: true),
      merge ? mergeDefaultOption,
      emptyValue ? { },
      getSubOptions ? _prefix: { },
      getSubModules ? null,
      substSubModules ? _m: null,
      functor ? defaultFunctor name,
      typeMerge ? defaultTypeMerge functor,
      deprecationMessage ? null,
      nestedTypes ? { },
    }:
    {
      _type = "option-type";
      description = if description == null then name else description;
      inherit
        name
        descriptionClass
        check
        merge
        emptyValue
        getSubOptions
        getSubModules
        substSubModules
        functor
        typeMerge
        deprecationMessage
        nestedTypes
        ;
    };

  # What type authors and the other files here build types with.
  tools = {
    inherit defaultTypeMerge defaultFunctor mkOptionType;

    # The functor of a type around one other.
    elemTypeFunctor = name: payload: {
      inherit name payload;
      type = lib.types.${name};
      binOp =
        a: b:
        let
          merged = a.elemType.typeMerge b.elemType.functor;
        in
        if merged == null then null else { elemType = merged; };
    };

    # A check and a merge that belong together.
    coherent = check: {
      __functor = _: check;
      isV2MergeCoherent = true;
    };
    mergeV2 = v2: {
      inherit v2;
      __functor =
        self: loc: defs:
        (self.v2 { inherit loc defs; }).value;
    };

    # Check and merge definitions with any type, v2 or not.
    checkAndMerge =
      type: args:
      if type.merge ? v2 then
        lib.modules.checkV2MergeCoherence args.loc type (type.merge.v2 args)
      else
        {
          value = type.merge args.loc args.defs;
          headError = tools.headError type.check args.defs;
          valueMeta = { };
        };

    # Null when all definitions pass, else what is wrong with those that do not.
    headError =
      check: defs:
      if all (def: check def.value) defs then
        null
      else
        { message = "Definition values: ${showDefs (filter (def: !check def.value) defs)}"; };

    # A description, in parentheses unless its class is one of those named.
    phrase =
      classes: type:
      if builtins.elem (type.descriptionClass or null) classes then
        type.description
      else
        "(${type.description})";
  };

  scalars = import ./scalars.nix lib tools;
  composed = import ./composed.nix lib tools;
  modular = import ./modular.nix lib tools;
in
{
  inherit
    mkOptionType
    ;

  /**
    Is the value tagged with that type? Example: `lib.types.isType "a" { _type = "a"; }` => `true`
  */
  isType = type: x: x._type or "" == type;

  /**
    Tag a set with a type. Example: `lib.types.setType "a" { }` => `{ _type = "a"; }`
  */
  setType = typeName: value: value // { _type = typeName; };

  /**
    Is the value an option type? Example: `lib.types.isOptionType types.int` => `true`
  */
  isOptionType = x: x._type or "" == "option-type";

  inherit defaultTypeMerge defaultFunctor;

  /**
    A description, in parentheses unless its class passes the predicate.
  */
  optionDescriptionPhrase =
    unparenthesize: type:
    if unparenthesize (type.descriptionClass or null) then
      type.description
    else
      "(${type.description})";

  /**
    The type that serves both, or a "merge-error".
  */
  mergeTypes =
    a: b:
    let
      merged = a.typeMerge b.functor;
    in
    assert lib.isOptionType a && lib.isOptionType b;
    if merged == null then lib.setType "merge-error" { error = "Cannot merge types"; } else merged;

  types = lib.types;

  inherit (scalars)
    raw
    anything
    unspecified
    bool
    boolByOr
    int
    ints
    port
    float
    number
    numbers
    str
    nonEmptyStr
    singleLineStr
    strMatching
    separatedString
    lines
    commas
    envVar
    string
    passwdEntry
    path
    pathInStore
    externalPath
    pathWith
    package
    shellPackage
    pkgs
    enum
    fileset
    luaInline
    attrs
    optionDeclaration
    optionType
    ;

  inherit (composed)
    listOf
    nonEmptyListOf
    attrListOf
    attrListWith
    attrsOf
    lazyAttrsOf
    attrsWith
    loaOf
    attrTag
    uniq
    unique
    nullOr
    functionTo
    either
    oneOf
    coercedTo
    addCheck
    serializableValueWith
    json
    toml
    ;

  inherit (modular)
    submodule
    submoduleWith
    deferredModule
    deferredModuleWith
    noCheckForDocsModule
    ;
}
