# Types whose values are modules: submodules and modules kept for later.
lib: tools:
let
  inherit (builtins)
    attrNames
    intersectAttrs
    isAttrs
    ;
  inherit (tools)
    coherent
    defaultFunctor
    headError
    mergeV2
    mkOptionType
    phrase
    ;

  isModule = x: isAttrs x || lib.isFunction x || lib.types.path.check x;

  # Documentation evaluates without the definitions that would be needed.
  noCheckForDocsModule = {
    _file = "<built-in module that disables checks for the purpose of documentation generation>";
    config._module.check = lib.mkForce false;
  };

  # Two declarations of one submodule agree, or only one of them says.
  agree =
    what: a: b:
    if a == null || a == b then
      b
    else if b == null then
      a
    else
      throw "A submoduleWith option is declared multiple times with conflicting ${what}";

  mergeClasses =
    a: b:
    if a != null && b != null && a != b then
      throw "A submoduleWith option is declared multiple times with conflicting class values \"${a}\" and \"${b}\"."
    else
      agree "class values" a b;

  mergePayloads =
    a: b:
    let
      common = attrNames (intersectAttrs a.specialArgs b.specialArgs);
    in
    {
      modules = a.modules ++ b.modules;
      class = mergeClasses a.class b.class;
      specialArgs =
        if common == [ ] then
          a.specialArgs // b.specialArgs
        else
          throw "A submoduleWith option is declared multiple times with the same specialArgs \"${toString common}\"";
      shorthandOnlyDefinesConfig =
        agree "shorthandOnlyDefinesConfig values" a.shorthandOnlyDefinesConfig
          b.shorthandOnlyDefinesConfig;
      description = agree "descriptions" a.description b.description;
      library = agree "libraries" a.library b.library;
    };

  submoduleWith =
    {
      modules,
      specialArgs ? { },
      shorthandOnlyDefinesConfig ? false,
      description ? null,
      class ? null,
      library ? null,
    }@args:
    let
      base = lib.modules.evalModules {
        inherit class specialArgs library;
        modules = [ { _module.args.name = lib.mkOptionDefault "‹name›"; } ] ++ modules;
      };
      inherit (base._module) freeformType;
      documented =
        prefix:
        base.extendModules {
          modules = [ noCheckForDocsModule ];
          inherit prefix;
        };
      asModule =
        def:
        if isAttrs def.value && shorthandOnlyDefinesConfig then
          {
            _file = def.file;
            config = def.value;
          }
        else
          {
            _file = def.file;
            imports = [ def.value ];
          };
    in
    mkOptionType {
      name = "submodule";
      description =
        let
          open = (documented [ ])._module.freeformType;
        in
        if description != null then
          description
        else if open ? description then
          "open submodule of ${
            phrase [
              "noun"
              "composite"
            ] open
          }"
        else
          "submodule";
      check = coherent isModule;
      merge = mergeV2 (
        { loc, defs }:
        let
          configuration = base.extendModules {
            modules = [ { _module.args.name = lib.last loc; } ] ++ map asModule defs;
            prefix = loc;
          };
        in
        {
          headError = headError isModule defs;
          value = configuration.config;
          valueMeta = { inherit configuration; };
        }
      );
      emptyValue.value = base.config;
      getSubOptions =
        prefix:
        let
          evaluated = documented prefix;
          open = evaluated._module.freeformType;
        in
        evaluated.options
        // lib.optionalAttrs (open != null) { _freeformOptions = open.getSubOptions prefix; };
      getSubModules = modules;
      substSubModules = m: submoduleWith (args // { modules = m; });
      nestedTypes = lib.optionalAttrs (freeformType != null) { inherit freeformType; };
      functor = defaultFunctor "submodule" // {
        type = submoduleWith;
        payload = {
          inherit
            modules
            class
            specialArgs
            shorthandOnlyDefinesConfig
            description
            library
            ;
        };
        binOp = mergePayloads;
      };
    };

  deferredModuleWith =
    {
      staticModules ? [ ],
    }@args:
    let
      asSubmodule = submoduleWith { modules = staticModules; };
    in
    mkOptionType {
      name = "deferredModule";
      description = "module";
      descriptionClass = "noun";
      check = isModule;
      merge = loc: defs: {
        imports =
          staticModules
          ++ map (
            def:
            lib.modules.setDefaultModuleLocation "${def.file}, via option ${lib.options.showOption loc}" def.value
          ) defs;
      };
      inherit (asSubmodule) getSubOptions getSubModules;
      substSubModules = m: deferredModuleWith (args // { staticModules = m; });
      functor = defaultFunctor "deferredModuleWith" // {
        type = deferredModuleWith;
        payload = { inherit staticModules; };
        binOp = a: b: { staticModules = a.staticModules ++ b.staticModules; };
      };
    };
in
{
  inherit submoduleWith deferredModuleWith noCheckForDocsModule;

  /**
    A set with options of its own, declared by a module or a list of modules.
  */
  submodule =
    modules:
    submoduleWith {
      shorthandOnlyDefinesConfig = true;
      modules = lib.toList modules;
    };

  /**
    A module that is not evaluated here but handed on, to be imported elsewhere.
  */
  deferredModule = deferredModuleWith { };
}
