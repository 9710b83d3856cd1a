# The module system: `evalModules` and everything that modules are written with.
#
# collect.nix finds the modules that take part, merge.nix gives options their values, properties.nix
# knows mkIf and its kin, renames.nix moves options, library.nix loads modules on demand (read its
# head for the rule), messages.nix holds the words. Written anew after the semantics of nixpkgs'
# lib.
lib:
let
  inherit (builtins)
    attrNames
    head
    listToAttrs
    seq
    ;
  inherit (lib) addErrorContext;
  inherit (lib.modules) mergeTree pieces;

  internalFile = "lib/modules.nix";

  # Options that every evaluation has. `args` is shown to users at the top level only.
  internalOptions = prefix: {
    _module = {
      args = lib.mkOption (
        {
          type = lib.types.lazyAttrsOf lib.types.raw;
          description = ''
            Additional arguments passed to each module, besides `lib`, `config`, `options` and the
            `specialArgs` of the evaluation, which alone are there while `imports` are resolved.
          '';
        }
        // lib.optionalAttrs (prefix != [ ]) { internal = true; }
      );
      check = lib.mkOption {
        type = lib.types.bool;
        internal = true;
        default = true;
        description = "Whether every definition must have an option.";
      };
      freeformType = lib.mkOption {
        type = lib.types.nullOr lib.types.optionType;
        internal = true;
        default = null;
        description = "The type that definitions without an option are merged with; null refuses them.";
      };
      specialArgs = lib.mkOption {
        readOnly = true;
        internal = true;
        description = "The arguments that were there from the start and that no module can change.";
      };
    };
  };

  # The throwing check, or null: definitions that no option takes.
  checkUnmatched =
    {
      prefix,
      unmatched,
      options,
    }:
    let
      def = head unmatched;
      parent = lib.init def.prefix;
      siblings = attrNames (lib.attrByPath parent { } options);
    in
    throw (
      lib.modules.unknownOption {
        inherit prefix def;
        candidates = if parent == [ ] then lib.remove "_module" siblings else siblings;
        noOptionsAtAll = attrNames options == [ "_module" ];
      }
    );

  # A value for each name of the declared options over one merged from the definitions without
  # option.
  withFreeform =
    prefix: unmatched: declared:
    let
      type = declared._module.freeformType;
      defs = map (def: {
        inherit (def) file;
        value = lib.setAttrByPath def.prefix def.value;
      }) unmatched;
    in
    if type == null || defs == [ ] then
      declared
    else
      lib.recursiveUpdate (type.merge prefix defs) declared;

  /**
    Evaluate modules: merge their option declarations and definitions into a configuration.

    - `modules`: paths, functions or sets.
    - `specialArgs`: arguments for modules that exist before any module is read.
    - `prefix`: the path under which error messages show the options.
    - `class`: what kind of modules these are; a module with another `_class` is refused.
    - `library`: a folder of modules that are read when an option of theirs is mentioned
      (modules/library.nix).

    The result has `config`, `options`, `extendModules`, `type` (the submodule type of these modules),
    `class`, `graph` (the modules and their imports) and `activeModules` (keys of all that took part).

    Example: `(evalModules { modules = [ { options.a = mkOption { default = 1; }; } ]; }).config` => `{ a = 1; }`
  */
  evalModules =
    evalArgs@{
      modules,
      prefix ? [ ],
      specialArgs ? { },
      class ? null,
      library ? null,
    }:
    let
      internalModule = {
        _file = internalFile;
        key = internalFile;
        options = internalOptions prefix;
        config._module = {
          args = {
            inherit extendModules;
            moduleType = type;
          };
          inherit specialArgs;
        };
      };

      collected = lib.modules.collect {
        inherit class;
        modulesPath = specialArgs.modulesPath or (if library == null then "" else library);
        library = if library == null then null else lib.modules.openLibrary library;
        modules = modules ++ [ internalModule ];
        args = {
          inherit lib options specialArgs;
          _class = class;
          _prefix = prefix;
          _library = collected.library;
          config = addErrorContext "if you get an infinite recursion here, you probably reference `config` in `imports`. Import unconditionally instead, and let an option with `mkEnableOption` and `mkIf` decide what the module does." config;
        }
        // specialArgs;
      };

      merged =
        let
          taking = lib.reverseList collected.modules;
          defs = builtins.concatMap (m: pieces m._file null m.config) taking;
          tree = collected.library.tree;
          passive = collected.library.passive (
            listToAttrs (
              map (key: {
                name = builtins.unsafeDiscardStringContext key;
                value = null;
              }) collected.keys
            )
          );
        in
        if library == null then
          mergeTree null null prefix taking defs
        else
          mergeTree passive tree prefix (taking ++ passive.unmentioned tree) defs;

      inherit (merged) options;
      config = withFreeform prefix merged.unmatched merged.values;

      mustMatch = config._module.check && config._module.freeformType == null;
      checked = seq (
        if merged.unmatched != [ ] && mustMatch then
          checkUnmatched {
            inherit prefix options;
            inherit (merged) unmatched;
          }
        else
          null
      );

      extendModules =
        more@{
          modules ? [ ],
          specialArgs ? { },
          prefix ? [ ],
        }:
        evalModules (
          evalArgs
          // {
            modules = evalArgs.modules ++ modules;
            specialArgs = evalArgs.specialArgs or { } // specialArgs;
            prefix = more.prefix or evalArgs.prefix or [ ];
          }
        );

      type = lib.types.submoduleWith (
        {
          inherit modules specialArgs class;
        }
        // lib.optionalAttrs (library != null) { inherit library; }
      );
    in
    {
      _type = "configuration";
      options = checked options;
      config = checked (removeAttrs config [ "_module" ]);
      _module = checked config._module;
      inherit (collected) graph;
      activeModules = collected.keys;
      inherit extendModules type class;
    };
in
{
  inherit evalModules;

  /**
    A module that is a file applied to arguments of its own, and still known by its file.
    Type: `Path -> a -> Module`
  */
  importApply = path: arg: lib.modules.setDefaultModuleLocation path (import path arg);

  /**
    A module whose definitions are a JSON file.
  */
  importJSON = file: {
    _file = file;
    config = lib.importJSON file;
  };

  /**
    A module whose definitions are a TOML file.
  */
  importTOML = file: {
    _file = file;
    config = lib.importTOML file;
  };
}
