# Options that moved, merged or went: modules that keep old configurations working.
lib:
let
  inherit (builtins)
    any
    concatMap
    foldl'
    ;
  inherit (lib)
    attrByPath
    getAttrFromPath
    mkOption
    optional
    optionalAttrs
    setAttrByPath
    ;
  inherit (lib.options) showFiles showOption;
  inherit (lib.modules)
    defaultOverridePriority
    mkIf
    mkMerge
    mkOverride
    ;

  mkAliasAndWrapDefinitions = wrap: option: mkIf option.isDefined (wrap (mkMerge option.definitions));

  mkAliasAndWrapDefsWithPriority =
    wrap: option:
    let
      priority = option.highestPrio or defaultOverridePriority;
    in
    mkIf option.isDefined (wrap (mkMerge (map (mkOverride priority) option.definitions)));

  doRename =
    {
      from,
      to,
      visible,
      warn,
      use,
      withPriority ? true,
      condition ? true,
    }:
    { config, options, ... }@args:
    let
      old = getAttrFromPath from options;
      # Which options there are depends on what modules define, where they are loaded on demand; so
      # then the folder is asked, not the options.
      hasWarnings =
        if args._library or null == null then options ? warnings else args._library.declares "warnings";
      new = attrByPath to (abort "Renaming error: option `${showOption to}' does not exist.") config;
      type = (attrByPath to { } options).type or (lib.types.submodule { });
      forward = if withPriority then mkAliasAndWrapDefsWithPriority else mkAliasAndWrapDefinitions;
    in
    {
      options = setAttrByPath from (mkOption {
        inherit visible type;
        description = "Alias of {option}`${showOption to}`.";
        apply = _: use new;
      });
      config = mkIf condition (mkMerge [
        (optionalAttrs hasWarnings {
          warnings =
            optional (warn && old.isDefined)
              "The option `${showOption from}' defined in ${showFiles old.files} has been renamed to `${showOption to}'.";
        })
        (forward (setAttrByPath to) old)
      ]);
    };

  notSet = "_mkMergedOptionModule";
in
{
  inherit doRename mkAliasAndWrapDefinitions mkAliasAndWrapDefsWithPriority;

  /**
    The definitions of an option, to be given to another.
  */
  mkAliasDefinitions = mkAliasAndWrapDefinitions lib.id;

  /**
    A definition that is there only if an option has a value. Use `mkIf option.isDefined`.
  */
  mkAliasIfDef = lib.warn "mkAliasIfDef is deprecated: use `mkIf option.isDefined`." (
    option: mkIf option.isDefined
  );

  /**
    An old name of `mkAliasOptionModule`.
  */
  mkAliasOptionModuleMD =
    lib.warn "mkAliasOptionModuleMD is deprecated: use mkAliasOptionModule."
      lib.modules.mkAliasOptionModule;

  /**
    Two names for one option.
    Type: `[String] -> [String] -> Module`
  */
  mkAliasOptionModule =
    from: to:
    doRename {
      inherit from to;
      visible = true;
      warn = false;
      use = lib.id;
    };

  /**
    An option under a new name; the old one still works and warns.
    Type: `[String] -> [String] -> Module`
  */
  mkRenamedOptionModule =
    from: to:
    doRename {
      inherit from to;
      visible = false;
      warn = true;
      use = builtins.trace "Obsolete option `${showOption from}' is used. It was renamed to `${showOption to}'.";
    };

  /**
    The same, warning only once the release that renamed it is the oldest supported one.
  */
  mkRenamedOptionModuleWith =
    {
      from,
      to,
      sinceRelease,
    }:
    let
      warn = lib.oldestSupportedReleaseIsAtLeast sinceRelease;
    in
    doRename {
      inherit from to warn;
      visible = false;
      use = lib.warnIf warn "Obsolete option `${showOption from}' is used. It was renamed to `${showOption to}'.";
    };

  /**
    An option that is gone; defining it fails an assertion that says what to do instead.
    Type: `[String] -> String -> Module`
  */
  mkRemovedOptionModule =
    path: instead:
    { options, ... }:
    let
      option = getAttrFromPath path options;
    in
    {
      options = setAttrByPath path (mkOption {
        visible = false;
        apply =
          _:
          throw "The option `${showOption path}' can no longer be used since it's been removed. ${instead}";
      });
      config.assertions = [
        {
          assertion = !option.isDefined;
          message = ''
            The option definition `${showOption path}' in ${showFiles option.files} no longer has any effect; please remove it.
            ${instead}
          '';
        }
      ];
    };

  /**
    Several old options whose values a function merges into a new one.
    Type: `[[String]] -> [String] -> (Config -> a) -> Module`
  */
  mkMergedOptionModule =
    from: to: merge:
    { config, options, ... }:
    let
      isSet = path: getAttrFromPath path config != notSet;
    in
    {
      options = foldl' lib.recursiveUpdate { } (
        map (
          path:
          setAttrByPath path (mkOption {
            visible = false;
            default = notSet;
          })
        ) from
      );
      config = {
        warnings = concatMap (
          path:
          optional (isSet path) "The option `${showOption path}' defined in ${showFiles (getAttrFromPath path options).files} has been changed to `${showOption to}' that has a different type. Please read `${showOption to}' documentation and update your configuration accordingly."
        ) from;
      }
      // setAttrByPath to (mkMerge (optional (any isSet from) (merge config)));
    };

  /**
    An old option whose value a function turns into that of a new one.
  */
  mkChangedOptionModule = from: lib.modules.mkMergedOptionModule [ from ];

  /**
    A definition that follows from another option's value, with that one's priority.
  */
  mkDerivedConfig =
    option: f: mkOverride (option.highestPrio or defaultOverridePriority) (f option.value);
}
