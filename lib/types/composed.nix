# Types made of other types: lists, attribute sets, unions, functions, coercions.
lib: tools:
let
  inherit (builtins)
    all
    attrNames
    concatLists
    concatMap
    elemAt
    filter
    foldl'
    head
    intersectAttrs
    isAttrs
    isList
    length
    mapAttrs
    sort
    tail
    typeOf
    unsafeGetAttrPos
    zipAttrsWith
    ;
  inherit (tools)
    checkAndMerge
    coherent
    defaultFunctor
    elemTypeFunctor
    headError
    mergeV2
    mkOptionType
    phrase
    ;
  inherit (lib.options)
    getFiles
    mergeOneOption
    mergeUniqueOption
    showDefs
    showFiles
    showOption
    ;
  inherit (lib.modules) mergeDefinitions;

  nounOrComposite = phrase [
    "noun"
    "composite"
  ];
  nounOrConjunction = phrase [
    "noun"
    "conjunction"
  ];

  isDefined = eval: eval.optionalValue ? value;

  # What a type around another hands through.
  passOn = elemType: rebuild: {
    inherit (elemType) getSubModules;
    substSubModules = m: rebuild (elemType.substSubModules m);
    nestedTypes.elemType = elemType;
  };

  # A v2 merge, where the check is the type's own.
  headChecked = check: f: {
    check = coherent check;
    merge = mergeV2 (args: f args // { headError = headError check args.defs; });
  };

  /**
    A list; definitions are concatenated.
    Type: `Type -> Type`
  */
  listOf =
    elemType:
    let
      entry =
        loc: n: def: m: value:
        mergeDefinitions (loc ++ [ "[definition ${toString n}-entry ${toString m}]" ]) elemType [
          (def // { inherit value; })
        ];
    in
    mkOptionType (
      {
        name = "listOf";
        description = "list of ${nounOrComposite elemType}";
        descriptionClass = "composite";
        emptyValue.value = [ ];
        getSubOptions = prefix: elemType.getSubOptions (prefix ++ [ "*" ]);
        functor = elemTypeFunctor "listOf" { inherit elemType; } // {
          type = payload: listOf payload.elemType;
        };
      }
      // passOn elemType listOf
      // headChecked isList (
        { loc, defs }:
        let
          evals = filter isDefined (
            concatLists (lib.imap1 (n: def: lib.imap1 (entry loc n def) def.value) defs)
          );
        in
        {
          value = map (eval: eval.optionalValue.value) evals;
          valueMeta.list = map (eval: eval.checkedAndMerged.valueMeta) evals;
        }
      )
    );

  /**
    A set of values of one type: `{ elemType, lazy ?, placeholder ? }`.
    Type: `AttrSet -> Type`
  */
  attrsWith =
    {
      elemType,
      lazy ? false,
      placeholder ? "name",
    }:
    let
      same =
        a: b:
        if a == b then
          a
        else if a == "name" then
          b
        else if b == "name" then
          a
        else
          null;
      binOp =
        a: b:
        let
          merged = {
            elemType = a.elemType.typeMerge b.elemType.functor;
            lazy = if a.lazy == b.lazy then a.lazy else null;
            placeholder = same a.placeholder b.placeholder;
          };
        in
        if merged.elemType == null || merged.lazy == null || merged.placeholder == null then
          null
        else
          merged;
      # Each attribute's definitions, with the place where it is written.
      definitionsIn =
        def:
        mapAttrs (name: value: {
          inherit (def) file;
          inherit value;
          pos = unsafeGetAttrPos name def.value;
        }) def.value;
    in
    mkOptionType (
      {
        name = if lazy then "lazyAttrsOf" else "attrsOf";
        description = "${
          if lazy then "lazy attribute set" else "attribute set"
        } of ${nounOrComposite elemType}";
        descriptionClass = "composite";
        emptyValue.value = { };
        getSubOptions = prefix: elemType.getSubOptions (prefix ++ [ "<${placeholder}>" ]);
        functor = elemTypeFunctor "attrsWith" { inherit elemType lazy placeholder; } // {
          inherit binOp;
        };
      }
      // passOn elemType (elemType: attrsWith { inherit elemType lazy placeholder; })
      // headChecked isAttrs (
        { loc, defs }:
        let
          merged = zipAttrsWith (name: mergeDefinitions (loc ++ [ name ]) elemType) (map definitionsIn defs);
          evals = if lazy then merged else lib.filterAttrs (_: isDefined) merged;
          lazyValue = eval: eval.optionalValue.value or elemType.emptyValue.value or eval.mergedValue;
        in
        {
          value = mapAttrs (_: if lazy then lazyValue else eval: eval.optionalValue.value) evals;
          valueMeta.attrs = mapAttrs (_: eval: eval.checkedAndMerged.valueMeta) evals;
        }
      )
    );

  # Take mkOrder and mkOverride off a value, remembering what they said.
  peel =
    value:
    let
      tag = value._type or null;
      inner = peel value.content;
    in
    if tag == "order" then
      {
        inherit (inner) value overridePrio;
        prio = value.priority;
      }
    else if tag == "override" then
      {
        inherit (inner) prio;
        overridePrio = value.priority;
        value = lib.mkOverride value.priority inner.value;
      }
    else
      {
        inherit value;
        prio = lib.modules.defaultOrderPriority;
        overridePrio = lib.modules.defaultOverridePriority;
      };

  # One element of an attribute list: its name, value and order.
  attrListItem =
    description: loc: def: raw:
    let
      isOrdered = raw._type or null == "order";
      item = if isOrdered then raw.content else raw;
      names = attrNames item;
      peeled = peel item.${head names};
      refuse =
        why:
        throw "A definition for option `${showOption loc}' is not of type `${description}'. ${why}${
          showDefs [ (def // { value = raw; }) ]
        }";
    in
    if !isAttrs item then
      refuse "Each list element must be an attribute set, but got ${typeOf item}."
    else if length names != 1 then
      refuse "Each list element must be a single-key attribute set, but got ${toString (length names)} keys."
    else
      peeled
      // {
        inherit (def) file;
        key = head names;
        prio = if isOrdered then raw.priority else peeled.prio;
      };

  attrListItems =
    description: loc: def:
    if isList def.value then
      map (attrListItem description loc def) def.value
    else
      map (
        key:
        peel def.value.${key}
        // {
          inherit (def) file;
          inherit key;
        }
      ) (attrNames def.value);

  /**
    A list of single attributes: `{ elemType, asAttrs ?, mergeAttrValues ? }`.
    Type: `AttrSet -> Type`
  */
  attrListWith =
    {
      elemType,
      asAttrs ? false,
      mergeAttrValues ? _name: values: values,
    }@args:
    let
      description = "attribute list of ${nounOrComposite elemType}";
    in
    mkOptionType (
      {
        name = "attrListOf";
        inherit description;
        descriptionClass = "composite";
        emptyValue.value = if asAttrs then { } else [ ];
        getSubOptions = prefix: elemType.getSubOptions (prefix ++ [ "*" ]);
        typeMerge = _: null;
      }
      // passOn elemType (elemType: attrListWith (args // { inherit elemType; }))
      // headChecked (x: isList x || isAttrs x) (
        { loc, defs }:
        let
          items = concatMap (attrListItems description loc) defs;
          strongest = zipAttrsWith (_: foldl' lib.min lib.modules.defaultOverridePriority) (
            map (item: { ${item.key} = item.overridePrio; }) items
          );
          winning = sort (a: b: a.prio < b.prio) (
            filter (item: item.overridePrio == strongest.${item.key}) items
          );
          evals = filter (item: isDefined item.eval) (
            map (
              item:
              item
              // {
                eval = mergeDefinitions (loc ++ [ item.key ]) elemType [
                  { inherit (item) file value; }
                ];
              }
            ) winning
          );
          single = item: { ${item.key} = item.eval.optionalValue.value; };
          attrListValue = map single evals;
        in
        {
          value = if asAttrs then zipAttrsWith mergeAttrValues attrListValue else attrListValue;
          valueMeta = {
            inherit attrListValue;
            attrList = map (item: item.eval.checkedAndMerged.valueMeta) evals;
            definitions = map (
              item:
              lib.mkDefinition {
                inherit (item) file;
                value = lib.mkOrder item.prio (single item);
              }
            ) evals;
          };
        }
      )
    );

  # A tag of an attrTag: an option that knows where it was declared.
  tagOption =
    tags: name: opt:
    let
      pos = unsafeGetAttrPos name tags;
      at = if pos == null then "" else " at ${pos.file}:${toString pos.line}:${toString pos.column}";
      quoted = lib.escapeNixIdentifier name;
      was =
        if !(opt ? _type) then
          "was not."
        else if opt._type == "option-type" then
          "was a bare type, not wrapped in mkOption."
        else
          "was of type ${lib.escapeNixString opt._type}.";
    in
    builtins.addErrorContext "while checking that attrTag tag ${quoted} is an option with a type${at}" (
      if opt._type or null != "option" then
        throw "In attrTag, each tag value must be an option, but tag ${quoted} ${was}"
      else
        opt
        // {
          declarations = opt.declarations or (lib.optional (pos != null) pos.file);
          declarationPositions = opt.declarationPositions or (lib.optional (pos != null) pos);
        }
    );

  mergeTags =
    a: b:
    let
      declaration = options: {
        inherit options;
        _file = "<attrTag {...}>";
        pos = null;
      };
      both =
        name: opt:
        lib.modules.mergeOptionDecls
          [ name ]
          [
            (declaration a.${name})
            (declaration opt)
          ]
        // {
          declarations = a.${name}.declarations ++ opt.declarations;
          declarationPositions = a.${name}.declarationPositions ++ opt.declarationPositions;
        };
    in
    a // b // mapAttrs both (intersectAttrs a b);

  /**
    A set with exactly one of the named options in it.
    Type: `{ [String] = Option; } -> Type`
  */
  attrTag =
    written:
    let
      tags = mapAttrs (tagOption written) written;
      choices = lib.concatMapStringsSep ", " lib.escapeNixIdentifier (attrNames tags);
      tagOf = def: head (attrNames def.value);
    in
    mkOptionType {
      name = "attrTag";
      description = "attribute-tagged union with choices: ${choices}";
      descriptionClass = "noun";
      getSubOptions = prefix: mapAttrs (name: opt: opt // { loc = prefix ++ [ name ]; }) tags;
      check = v: isAttrs v && length (attrNames v) == 1 && tags ? ${head (attrNames v)};
      merge =
        loc: defs:
        let
          tag = tagOf (head defs);
          inner =
            def:
            if tagOf def != tag then
              throw "The option `${showOption loc}` is defined both as `${tag}` and `${tagOf def}`, in ${showFiles (getFiles defs)}."
            else
              {
                inherit (def) file;
                value = def.value.${tag};
                pos = unsafeGetAttrPos tag def.value;
              };
        in
        if tags ? ${tag} then
          { ${tag} = (lib.modules.evalOptionValue (loc ++ [ tag ]) tags.${tag} (map inner defs)).value; }
        else
          throw "The option `${showOption loc}` is defined as ${lib.escapeNixIdentifier tag}, but ${lib.escapeNixIdentifier tag} is not among the valid choices (${choices}). Value ${tag} was defined in ${showFiles (getFiles defs)}.";
      nestedTypes = tags;
      functor = defaultFunctor "attrTag" // {
        type = payload: attrTag payload.tags;
        payload = { inherit tags; };
        binOp = a: b: { tags = mergeTags a.tags b.tags; };
      };
    };

  /**
    One definition only; `message` says why.
    Type: `{ message } -> Type -> Type`
  */
  unique =
    { message }:
    type:
    mkOptionType (
      {
        name = "unique";
        inherit (type)
          description
          descriptionClass
          check
          emptyValue
          getSubOptions
          ;
        merge = mergeUniqueOption {
          inherit message;
          inherit (type) merge;
        };
        functor = elemTypeFunctor "unique" { elemType = type; } // {
          type = payload: unique { inherit message; } payload.elemType;
        };
      }
      // passOn type (unique {
        inherit message;
      })
    );

  /**
    Null, or a value of a type.
    Type: `Type -> Type`
  */
  nullOr =
    elemType:
    mkOptionType (
      {
        name = "nullOr";
        description = "null or ${nounOrConjunction elemType}";
        descriptionClass = "conjunction";
        check = x: x == null || elemType.check x;
        merge =
          loc: defs:
          let
            nulls = filter (def: def.value == null) defs;
          in
          if nulls == [ ] then
            elemType.merge loc defs
          else if length nulls == length defs then
            null
          else
            throw "The option `${showOption loc}` is defined both null and not null, in ${showFiles (getFiles defs)}.";
        emptyValue.value = null;
        inherit (elemType) getSubOptions;
        functor = elemTypeFunctor "nullOr" { inherit elemType; } // {
          type = payload: nullOr payload.elemType;
        };
      }
      // passOn elemType nullOr
    );

  /**
    A function whose results are of a type.
    Type: `Type -> Type`
  */
  functionTo =
    elemType:
    let
      body = "<function body>";
    in
    mkOptionType (
      {
        name = "functionTo";
        description = "function that evaluates to a(n) ${nounOrComposite elemType}";
        descriptionClass = "composite";
        check = lib.isFunction;
        merge = loc: defs: {
          __functionArgs = zipAttrsWith (_: all (optional: optional)) (
            map (def: lib.functionArgs def.value) defs
          );
          __functor =
            _: args:
            (mergeDefinitions (loc ++ [ body ]) elemType (map (def: def // { value = def.value args; }) defs))
            .mergedValue;
        };
        getSubOptions = prefix: elemType.getSubOptions (prefix ++ [ body ]);
        functor = elemTypeFunctor "functionTo" { inherit elemType; } // {
          type = payload: functionTo payload.elemType;
        };
      }
      // passOn elemType functionTo
    );

  # Neither side took the definitions: warn and take the only one, as nixpkgs does.
  neither =
    a: b: loc: defs:
    let
      message = "The option `${showOption loc}` is neither a value of type `${a.description}` nor `${b.description}`, Definition values: ${showDefs defs}";
    in
    {
      headError = { inherit message; };
      valueMeta.headError = { inherit message; };
      value = lib.warn ''
        One or more definitions did not pass the type-check of the 'either' type.
        ${message}
        If `either`, `oneOf` or similar is used in freeformType, ensure that it is preceded by an 'attrsOf' such as: `freeformType = types.attrsOf (types.either t1 t2)`.
        Otherwise consider using the correct type for the option `${showOption loc}`.
      '' (mergeOneOption loc defs);
    };

  /**
    A value of one type or, failing that, of another.
    Type: `Type -> Type -> Type`
  */
  either =
    a: b:
    let
      self = mkOptionType {
        name = "either";
        description =
          if a.descriptionClass or null == "nonRestrictiveClause" then
            "${a.description}, or ${nounOrConjunction b}"
          else
            "${nounOrConjunction a} or ${
              phrase [
                "noun"
                "conjunction"
                "composite"
              ] b
            }";
        descriptionClass = "conjunction";
        check = coherent (x: a.check x || b.check x);
        merge = mergeV2 (
          { loc, defs }@args:
          let
            first = checkAndMerge a args;
            second = checkAndMerge b args;
          in
          if first.headError == null then
            first
          else if second.headError == null then
            second
          else
            neither a b loc defs
        );
        typeMerge =
          f:
          let
            left = a.typeMerge (head f.payload.elemType).functor;
            right = b.typeMerge (elemAt f.payload.elemType 1).functor;
          in
          if f.name == "either" && left != null && right != null then either left right else null;
        functor = elemTypeFunctor "either" {
          elemType = [
            a
            b
          ];
        };
        nestedTypes = {
          left = a;
          right = b;
        };
      };
    in
    self;

  /**
    A value of the first type that takes it.
    Type: `[Type] -> Type`
  */
  oneOf =
    ts:
    if ts == [ ] then
      throw "types.oneOf needs to get at least one type in its argument"
    else
      foldl' either (head ts) (tail ts);

  /**
    A value of the last type, or of the first, which a function turns into one.
    Type: `Type -> (a -> b) -> Type -> Type`
  */
  coercedTo =
    coercedType: coerce: finalType:
    let
      check = x: (coercedType.check x && finalType.check (coerce x)) || finalType.check x;
      accepts =
        loc: def:
        if coercedType.merge ? v2 then
          (checkAndMerge coercedType {
            inherit loc;
            defs = [ def ];
          }).headError == null
        else
          coercedType.check def.value;
      coerced = loc: def: if accepts loc def then def // { value = coerce def.value; } else def;
    in
    assert lib.assertMsg (
      coercedType.getSubModules == null
    ) "coercedTo: coercedType must not have submodules (it’s a ${coercedType.description})";
    mkOptionType {
      name = "coercedTo";
      description = "${phrase [ "noun" ] finalType} or ${phrase [ "noun" ] coercedType} convertible to it";
      check = coherent check;
      merge = mergeV2 (
        { loc, defs }:
        let
          merged = checkAndMerge finalType {
            inherit loc;
            defs = map (coerced loc) defs;
          };
        in
        if finalType.merge ? v2 then merged else merged // { headError = headError check defs; }
      );
      inherit (finalType) emptyValue getSubOptions getSubModules;
      substSubModules = m: coercedTo coercedType coerce (finalType.substSubModules m);
      typeMerge = _: null;
      functor = defaultFunctor "coercedTo";
      nestedTypes = { inherit coercedType finalType; };
    };

  /**
    A type with one more condition.
    Type: `Type -> (a -> Bool) -> Type`
  */
  addCheck =
    type: check:
    let
      both = x: type.check x && check x;
    in
    if type.merge ? v2 then
      type
      // {
        check = coherent both;
        merge = mergeV2 (
          args:
          let
            merged = checkAndMerge type args;
          in
          merged
          // {
            headError = if merged.headError != null then merged.headError else headError check args.defs;
          }
        );
      }
    else
      type // { check = both; };

  /**
    What can be written as JSON, TOML and the like: `{ typeName, nullable ? }`.
    Type: `AttrSet -> Type`
  */
  serializableValueWith =
    {
      typeName,
      nullable ? true,
    }:
    let
      base = oneOf [
        lib.types.bool
        lib.types.int
        lib.types.float
        lib.types.str
        lib.types.path
        (attrsWith { elemType = value; })
        (listOf value)
      ];
      value = (if nullable then nullOr base else base) // {
        description = "${typeName} value";
      };
    in
    value;
in
{
  inherit
    listOf
    attrsWith
    attrListWith
    attrTag
    unique
    nullOr
    functionTo
    either
    oneOf
    coercedTo
    addCheck
    serializableValueWith
    ;

  /**
    A list with at least one element.
  */
  nonEmptyListOf =
    elemType:
    let
      list = addCheck (listOf elemType) (l: l != [ ]);
    in
    list
    // {
      description = "non-empty ${phrase [ "noun" ] list}";
      emptyValue = { };
      substSubModules = m: lib.types.nonEmptyListOf (elemType.substSubModules m);
    };

  /**
    A list of single attributes: ordered, with names that may repeat.
  */
  attrListOf = elemType: attrListWith { inherit elemType; };

  /**
    A set whose values are all of one type; `mkIf` works on its attributes.
  */
  attrsOf = elemType: attrsWith { inherit elemType; };

  /**
    The same, lazy in its values: names do not depend on conditions.
  */
  lazyAttrsOf =
    elemType:
    attrsWith {
      inherit elemType;
      lazy = true;
    };

  /**
    An old name of attrsOf.
  */
  loaOf =
    elemType:
    attrsWith { inherit elemType; }
    // {
      name = "loaOf";
      deprecationMessage = "Mixing lists with attribute values is no longer possible; please use `types.attrsOf` instead.";
    };

  /**
    One definition only.
  */
  uniq = unique { message = ""; };

  json = serializableValueWith { typeName = "JSON"; };
  toml = serializableValueWith {
    typeName = "TOML";
    nullable = false;
  };
}
