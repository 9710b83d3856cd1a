# From modules to options with values: matching declarations with definitions, name by name.
#
# `mergeTree` walks the tree of option declarations. On each level definitions are pieces
# (properties.nix): the attribute set as written, its file, and a wrapper for the properties around
# it. Nothing below a name is looked at before its value is.
lib:
let
  inherit (builtins)
    all
    any
    attrNames
    concatLists
    concatMap
    filter
    foldl'
    head
    isAttrs
    length
    mapAttrs
    unsafeGetAttrPos
    zipAttrsWith
    ;
  inherit (lib) addErrorContext;
  inherit (lib.options)
    isOption
    showDefs
    showFiles
    showOption
    ;
  inherit (lib.modules)
    defaultOverridePriority
    dischargeProperties
    filterOverrides'
    mkOptionDefault
    pieces
    sortProperties
    ;

  # The declarations of one module on one level, by name.
  declarationsOf =
    prefix: module:
    if !isAttrs module.options then
      throw (lib.modules.declarationNotAttrs prefix module.options)
    else
      mapAttrs (name: options: {
        inherit (module) _file;
        inherit options;
        pos = unsafeGetAttrPos name module.options;
      }) module.options;

  # The definitions of one piece on one level, by name.
  definitionsOf =
    prefix: piece:
    if !isAttrs piece.attrs then
      throw (lib.modules.notAttrs prefix piece)
    else
      mapAttrs (_: value: {
        inherit piece value;
      }) piece.attrs;

  # A definition as types see it.
  toDefinition =
    name:
    { piece, value }:
    {
      inherit (piece) file;
      value = if piece.wrap == null then value else piece.wrap value;
      pos = unsafeGetAttrPos name piece.attrs;
    };

  gather = zipAttrsWith (_: values: values);

  isOptionDecl =
    loc: decl:
    decl.options ? _type
    && (
      decl.options._type == "option"
      || throw (lib.modules.wrongDeclaration loc decl.options._type decl._file)
    );

  # Options declared below an option of a submodule type become a module of that submodule.
  treeAsSubmodule =
    decl:
    if isOption decl.options then
      decl
    else
      decl
      // {
        options = lib.mkOption {
          type = lib.types.submoduleWith {
            modules = [ { inherit (decl) options; } ];
            shorthandOnlyDefinesConfig = null;
          };
        };
      };

  # `node` is the library's folder at this level, or null; `library` adds what nobody mentioned.
  mergeTree =
    library: node: prefix: modules: defs:
    let
      declared = gather (map (declarationsOf prefix) modules);
      declarations =
        if node == null then
          declared
        else
          declared
          // mapAttrs (name: child: declared.${name} or [ ] ++ library.unmentioned child) node.children;
      definitions = gather (map (definitionsOf prefix) defs);

      results = mapAttrs (
        name: decls:
        let
          loc = prefix ++ [ name ];
          optionDecls = filter (isOptionDecl loc) decls;
          here = definitions.${name} or [ ];
          subtree = mergeTree library (
            if node == null then null else node.children.${name} or null
          ) loc decls (concatMap (d: pieces d.piece.file d.piece.wrap d.value) here);
          evaluated =
            decls':
            evalOptionValue loc (fixupOptionType loc (mergeOptionDecls loc decls')) (
              map (toDefinition name) here
            );
        in
        if optionDecls == [ ] then
          subtree
        else if length optionDecls == length decls then
          leaf (evaluated decls)
        else if all (decl: decl.options.type.name or null == "submodule") optionDecls then
          leaf (evaluated (map treeAsSubmodule decls))
        else
          throw (
            lib.modules.optionAboveOptions loc (head optionDecls) (filter (decl: !isOption decl.options) decls)
          )
      ) declarations;

      unmatchedAt =
        name:
        map (def: def // { prefix = [ name ] ++ def.prefix or [ ]; }) (
          if results ? ${name} then results.${name}.unmatched else map (toDefinition name) definitions.${name}
        );
    in
    {
      options = mapAttrs (_: result: result.options) results;
      values = mapAttrs (_: result: result.values) results;
      unmatched = if defs == [ ] then [ ] else concatMap unmatchedAt (attrNames definitions);
    };

  leaf = option: {
    options = option;
    values = option.value;
    unmatched = [ ];
  };

  position =
    decl:
    if decl.pos != null then
      decl.pos
    else
      {
        file = decl._file;
        line = null;
        column = null;
      };

  # The modules that a declaration's type brings, marked with the declaration's file.
  submodulesOf =
    decl:
    let
      modules = decl.options.type.getSubModules or null;
    in
    if modules == null then [ ] else map (lib.modules.setDefaultModuleLocation decl._file) modules;

  # Add a declaration to those merged before it.
  addDeclaration =
    loc: merged: decl:
    let
      opt = decl.options;
      both = k: merged ? ${k} && opt ? ${k};
      again = throw "The option `${showOption loc}' in `${decl._file}' is already declared in ${showFiles merged.declarations}.";
      type = merged.type.typeMerge opt.type.functor;
    in
    if both "default" || both "example" || both "description" || both "apply" then
      again
    else
      opt
      // merged
      // {
        declarations = merged.declarations ++ [ decl._file ];
        declarationPositions = merged.declarationPositions ++ [ (position decl) ];
        options = submodulesOf decl ++ merged.options;
      }
      // (if both "type" then { type = if type == null then again else type; } else { });

  /**
    Several declarations of one option as one.
    Type: `Loc -> [{ _file, options, pos }] -> Option`
  */
  mergeOptionDecls =
    loc: decls:
    let
      first = head decls;
      start = first.options // {
        inherit loc;
        declarations = [ first._file ];
        declarationPositions = [ (position first) ];
        options = submodulesOf first;
      };
    in
    foldl' (addDeclaration loc) start (builtins.tail decls);

  fixupOptionType =
    _loc: opt:
    if opt.type.getSubModules or null == null then
      opt // { type = opt.type or lib.types.unspecified; }
    else
      opt
      // {
        type = opt.type.substSubModules opt.options;
        options = [ ];
      };

  /**
    A declared option with definitions, as it stands in `options`.
    Type: `Loc -> Option -> [Definition] -> Option`
  */
  evalOptionValue =
    loc: opt: defs:
    let
      allDefs =
        if opt ? default then
          [
            {
              file = head opt.declarations;
              value = mkOptionDefault opt.default;
              pos = if opt ? declarationPositions then head opt.declarationPositions else null;
            }
          ]
          ++ defs
        else
          defs;
      merged =
        if opt.readOnly or false && length allDefs > 1 then
          throw "The option `${showOption loc}' is read-only, but it's set multiple times. Definition values:${
            showDefs (
              map (def: def // { value = (mergeDefinitions loc opt.type [ def ]).mergedValue; }) allDefs
            )
          }"
        else
          mergeDefinitions loc opt.type allDefs;
      value = if opt ? apply then opt.apply merged.mergedValue else merged.mergedValue;
      deprecation = opt.type.deprecationMessage or null;
      result = opt // {
        value = addErrorContext "while evaluating the option `${showOption loc}':" value;
        inherit (merged.defsFinal') highestPrio;
        definitions = map (def: def.value) merged.defsFinal;
        files = map (def: def.file) merged.defsFinal;
        definitionsWithLocations = merged.defsFinal;
        inherit (merged) isDefined;
        inherit (merged.checkedAndMerged) valueMeta;
        __toString = _: showOption loc;
      };
    in
    if deprecation == null then
      result
    else
      lib.warn "The type `types.${opt.type.name}' of option `${showOption loc}' defined in ${showFiles opt.declarations} is deprecated. ${deprecation}" result;

  # Definitions without properties, of the strongest priority, in order.
  settleDefinitions =
    defs:
    let
      context = def: addErrorContext "while evaluating definitions from `${def.file}':";
      plain =
        def: value:
        if value._type or null == "definition" then
          value
        else
          {
            inherit (def) file;
            inherit value;
            pos = def.pos or null;
          };
      discharged = concatMap (def: map (plain def) (context def (dischargeProperties def.value))) defs;
      strongest = filterOverrides' discharged;
      ordered = any (def: def.value._type or null == "order") strongest.values;
      only = head defs;
    in
    if length defs == 1 && context only (!(isAttrs only.value && only.value ? _type)) then
      {
        values = defs;
        highestPrio = defaultOverridePriority;
      }
    else
      {
        values = if ordered then sortProperties strongest.values else strongest.values;
        inherit (strongest) highestPrio;
      };

  # Types with `merge.v2` check and merge in one go; `type // { check = ...; }` would be ignored
  # there.
  checkV2MergeCoherence =
    loc: type: result:
    if type.check.isV2MergeCoherent or false then
      result
    else
      throw ''
        The option `${showOption loc}' has a type `${type.description}' that uses
        an ad-hoc `type // { check = ...; }' override, which is incompatible with
        the v2 merge mechanism.
        Please use `lib.types.addCheck` instead of `type // { check }' to add
        custom validation.
      '';

  /**
    Definitions merged by a type: `{ mergedValue, isDefined, optionalValue, defsFinal, ... }`.
    Type: `Loc -> Type -> [Definition] -> AttrSet`
    Example: `(mergeDefinitions [ "a" ] types.int [ { file = "f"; value = mkForce 1; } { file = "g"; value = 2; } ]).mergedValue` => `1`
  */
  mergeDefinitions =
    loc: type: defs:
    let
      defsFinal' = settleDefinitions defs;
      defsFinal = defsFinal'.values;
      isDefined = defsFinal != [ ];
      isV2 = type.merge ? v2;
      mistyped = "A definition for option `${showOption loc}' is not of type `${type.description}'.";

      checkedAndMerged =
        if isV2 then
          let
            result = checkV2MergeCoherence loc type (
              type.merge.v2 {
                inherit loc;
                defs = defsFinal;
              }
            );
          in
          result
          // {
            valueMeta = result.valueMeta // {
              _internal = { inherit type; };
            };
          }
        else
          {
            headError = null;
            value = mergedValue;
            valueMeta = { };
          };

      mergedValue =
        if !isDefined then
          type.emptyValue.value
            or (throw "The option `${showOption loc}' was accessed but has no value defined. Try setting the option.")
        else if isV2 then
          if checkedAndMerged.headError or null != null then
            throw "${mistyped} TypeError: ${checkedAndMerged.headError.message}"
          else
            checkedAndMerged.value
        else if all (def: type.check def.value) defsFinal then
          type.merge loc defsFinal
        else
          throw "${mistyped} Definition values:${showDefs (filter (def: !type.check def.value) defsFinal)}";
    in
    {
      inherit
        defsFinal'
        defsFinal
        isDefined
        checkedAndMerged
        mergedValue
        ;
      optionalValue = if isDefined then { value = mergedValue; } else { };
    };
in
{
  inherit
    mergeTree
    mergeOptionDecls
    fixupOptionType
    evalOptionValue
    mergeDefinitions
    checkV2MergeCoherence
    ;

  /**
    Options and unmatched definitions of modules in normal form.
  */
  mergeModules =
    prefix: modules:
    let
      merged = mergeTree null null prefix modules (concatMap (m: pieces m._file null m.config) modules);
    in
    {
      matchedOptions = merged.options;
      unmatchedDefns = merged.unmatched;
    };

  /**
    For an option of type attrsOf: each attribute's value and the priority of its definitions.
    Type: `Option -> AttrSet`
  */
  mergeAttrDefinitionsWithPrio =
    opt:
    let
      perAttr = gather (
        concatLists (
          map (
            def: map (mapAttrs (_: value: def // { inherit value; })) (lib.modules.pushDownProperties def.value)
          ) opt.definitionsWithLocations
        )
      );
    in
    assert opt.type.name == "attrsOf" || opt.type.name == "lazyAttrsOf";
    mapAttrs (
      name: defs:
      let
        merged = mergeDefinitions (opt.loc ++ [ name ]) opt.type.nestedTypes.elemType defs;
      in
      {
        value = merged.mergedValue;
        inherit (merged.defsFinal') highestPrio;
      }
    ) perAttr;
}
