# Functions around packages: calling them with what they ask for, overriding, scopes.
lib:
let
  inherit (builtins)
    attrNames
    filter
    intersectAttrs
    isAttrs
    mapAttrs
    ;
  inherit (lib)
    functionArgs
    isFunction
    mirrorFunctionArgs
    optionalAttrs
    ;

  /**
    A derivation with other raw attributes; prefer `overrideAttrs`.
    Type: `Derivation -> (AttrSet -> AttrSet) -> Derivation`
  */
  overrideDerivation =
    drv: f:
    let
      new = derivation (drv.drvAttrs // f drv);
    in
    lib.flip (lib.extendDerivation (builtins.seq drv.drvPath true)) new (
      {
        inherit (drv) meta;
        passthru = drv.passthru or { };
      }
      // drv.passthru or { }
      // optionalAttrs (drv ? __spliced) {
        __spliced = { } // mapAttrs (_: s: overrideDerivation s f) drv.__spliced;
      }
    );

  crossIndex = [
    "buildBuild"
    "buildHost"
    "buildTarget"
    "hostHost"
    "hostTarget"
    "targetTarget"
  ];

  prefixed =
    prefix: name: prefix + lib.toUpper (builtins.substring 0 1 name) + builtins.substring 1 (-1) name;

  # The arguments of a package function that the set does not have, said well.
  missingArgument =
    fn: arg: known:
    let
      pos = builtins.unsafeGetAttrPos arg (functionArgs fn);
      at = if pos == null then "<unknown location>" else "${pos.file}:${toString pos.line}";
      near = lib.modules.similarNames arg (filter (lib.levenshteinAtMost 2 arg) known);
      hint =
        if near == [ ] then
          ""
        else
          ", did you mean ${lib.concatMapStringsSep " or " (n: "\"${n}\"") near}?";
    in
    "lib.customisation.callPackageWith: Function called without required argument \"${arg}\" at ${at}${hint}";

  callWith =
    make: autoArgs: fn: args:
    let
      f = if isFunction fn then fn else import fn;
      wanted = functionArgs f;
      all = intersectAttrs wanted autoArgs // args;
      missing = filter (name: !wanted.${name} && !(all ? ${name})) (attrNames wanted);
    in
    if missing == [ ] then
      make f all
    else
      abort (missingArgument f (builtins.head missing) (attrNames (autoArgs // args)));

  # A function with the formals of `f`, and, where `f` is a callable set, its other attributes.
  likeFunction =
    f: g:
    let
      plain = mirrorFunctionArgs f g;
    in
    if isAttrs f then
      f // plain // optionalAttrs (f ? override) { override = new: makeOverridable (f.override new); }
    else
      plain;

  /**
    A function whose result has `override`, to call it again with other arguments.
    Example: `((makeOverridable ({ a, b }: { sum = a + b; }) { a = 1; b = 2; }).override { a = 5; }).sum` => `7`
  */
  makeOverridable =
    f:
    likeFunction f (
      origArgs:
      let
        result = f origArgs;
        newArgs = new: origArgs // (if isFunction new then new origArgs else new);
        again = mirrorFunctionArgs f (new: makeOverridable f (newArgs new));
        overResult = g: makeOverridable (mirrorFunctionArgs f (args: g (f args))) origArgs;
      in
      if isAttrs result then
        result
        // {
          override = again;
          overrideDerivation = g: overResult (drv: overrideDerivation drv g);
        }
        // optionalAttrs (result ? overrideAttrs) {
          overrideAttrs = g: overResult (drv: drv.overrideAttrs g);
        }
      else if isFunction result then
        lib.setFunctionArgs result (functionArgs result) // { override = again; }
      else
        result
    );
in
{
  inherit
    overrideDerivation
    makeOverridable
    ;

  /**
    Call a package function (or file) with the arguments that it asks for and a set has; the result has `override`.
    Example: `(callPackageWith { a = 1; c = 3; } ({ a, b }: { sum = a + b; }) { b = 2; }).sum` => `3`
  */
  callPackageWith = callWith makeOverridable;

  /**
    Like callPackageWith for a function that gives a set of packages: each gets `override`.
  */
  callPackagesWith =
    autoArgs: fn: args:
    let
      f = if isFunction fn then fn else import fn;
      all = intersectAttrs (functionArgs f) autoArgs // args;
      pkgs = f all;
      one =
        name: _:
        if name == "recurseForDerivations" then
          pkgs.${name}
        else
          makeOverridable (mirrorFunctionArgs f (new: (f new).${name})) all;
    in
    if lib.isDerivation pkgs then
      throw "function `callPackages` was called on a *single* derivation \"${pkgs.name or "<unknown-name>"}\"; did you mean to use `callPackage` instead?"
    else
      mapAttrs one pkgs;

  /**
    A derivation with attributes added to it and to each of its outputs, evaluated under a condition.
    Type: `Bool -> AttrSet -> Derivation -> Derivation`
  */
  extendDerivation =
    condition: passthru: drv:
    let
      outputs = drv.outputs or [ "out" ];
      common = drv // lib.listToAttrs outputList // { all = map (o: o.value) outputList; } // passthru;
      outputList = map (name: {
        inherit name;
        value =
          common
          // {
            inherit (drv.${name}) type outputName;
            outputSpecified = true;
            drvPath =
              assert condition;
              drv.${name}.drvPath;
            outPath =
              assert condition;
              drv.${name}.outPath;
          }
          // optionalAttrs (drv.${name} ? __contentAddressed) { inherit (drv.${name}) __contentAddressed; };
      }) outputs;
    in
    common
    // {
      drvPath =
        assert condition;
        drv.drvPath;
      outPath =
        assert condition;
        drv.outPath;
    };

  /**
    A derivation stripped to what a Hydra job needs.
  */
  hydraJob =
    drv:
    let
      keep = {
        inherit (drv)
          drvPath
          outPath
          type
          name
          system
          outputs
          ;
        meta = drv.meta or { };
      };
    in
    if drv == null then null else keep;

  /**
    A package scope: a set with `callPackage`, `newScope`, `overrideScope` and `packages`.
    Example: `(makeScope (extra: callPackageWith extra) (self: { a = 1; b = self.a + 1; })).b` => `2`
  */
  makeScope =
    newScope: f:
    let
      scope = f self // {
        newScope = scope: newScope (self // scope);
        overrideScope = g: lib.makeScope newScope (lib.extends g f);
        packages = f;
      };
      self = {
        callPackage = self.newScope { };
      }
      // scope;
    in
    self;

  /**
    A function over each of the six build-host-target sets.
  */
  mapCrossIndex = f: set: lib.genAttrs crossIndex (name: f set.${name});

  /**
    The six sets by their names with a prefix, as `{ buildBuild, ... }`.
  */
  renameCrossIndexFrom = prefix: set: lib.genAttrs crossIndex (name: set.${prefixed prefix name});

  /**
    The six sets with a prefix before their names.
  */
  renameCrossIndexTo =
    prefix: set:
    lib.mapAttrs' (name: value: lib.nameValuePair (prefixed prefix name) value) (
      lib.getAttrs crossIndex set
    );

  /**
    A scope whose packages are spliced: build inputs come from the set of the right platform.
    Type: `{ splicePackages, newScope } -> { otherSplices, keep ?, extra ?, f } -> Scope`
  */
  makeScopeWithSplicing' =
    { splicePackages, newScope }@tools:
    {
      otherSplices,
      keep ? _self: { },
      extra ? _spliced: { },
      f,
    }@args:
    let
      base = splicePackages (
        lib.mapAttrs' (name: lib.nameValuePair (prefixed "pkgs" name)) (
          lib.genAttrs crossIndex (name: otherSplices.${prefixed "self" name})
        )
        // {
          # The set that is being made, not the one made before.
          pkgsHostTarget = self;
        }
      );
      spliced = extra base // base // keep self;
      self = f self // {
        newScope = scope: newScope (spliced // scope);
        callPackage = newScope spliced;
        overrideScope = overlay: lib.makeScopeWithSplicing' tools (args // { f = lib.extends overlay f; });
        packages = f;
      };
    in
    self;

  /**
    Extend a derivation builder: transform its arguments, and keep `overrideAttrs` meaningful.
    Type: `{ constructDrv, extendDrvArgs, excludeDrvArgNames ?, transformDrv ? } -> (AttrSet | Function) -> Derivation`
  */
  extendMkDerivation =
    {
      constructDrv,
      excludeDrvArgNames ? [ ],
      excludeFunctionArgNames ? [ ],
      extendDrvArgs,
      transformDrv ? lib.id,
      inheritFunctionArgs ? true,
    }:
    lib.setFunctionArgs
      (
        fpargs:
        transformDrv (
          constructDrv (
            finalAttrs:
            let
              given = if isFunction fpargs then fpargs finalAttrs else fpargs;
            in
            removeAttrs given excludeDrvArgNames // extendDrvArgs finalAttrs given
          )
        )
      )
      (
        removeAttrs (
          functionArgs (extendDrvArgs { }) // optionalAttrs inheritFunctionArgs (functionArgs constructDrv)
        ) excludeFunctionArgNames
      );
}
