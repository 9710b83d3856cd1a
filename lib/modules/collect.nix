# From a list of modules to all modules that take part: loading, imports, classes,
# `disabledModules`, and the library modules that are mentioned.
#
# A node is `{ key, module, imports }`: the key that makes a module unique, its normal form
# `{ _file, _class, key, disabledModules, imports, options, config }`, and its imports as nodes.
lib:
let
  inherit (builtins)
    attrNames
    concatMap
    elem
    filter
    genericClosure
    head
    isAttrs
    isList
    isString
    mapAttrs
    substring
    typeOf
    ;
  inherit (lib) addErrorContext isFunction;
  inherit (lib.modules) mkMerge;

  # What a module may say besides `config` and `options`.
  structure = [
    "_class"
    "_file"
    "key"
    "disabledModules"
    "imports"
    "options"
    "config"
    "meta"
    "freeformType"
  ];

  # What a module without `config` and `options` may say besides its definitions.
  shorthandStructure = [
    "_class"
    "_file"
    "key"
    "disabledModules"
    "require"
    "imports"
    "freeformType"
  ];

  withFreeform =
    m: config:
    if m ? freeformType then
      mkMerge [
        config
        { _module.freeformType = m.freeformType; }
      ]
    else
      config;

  withMeta =
    m: config:
    if m ? meta then
      mkMerge [
        config
        { inherit (m) meta; }
      ]
    else
      config;

  # Bring what a module file or function gave into normal form.
  normalise =
    file: key: m:
    let
      extra = attrNames (removeAttrs m structure);
      common = {
        _file = toString m._file or file;
        _class = m._class or null;
        key = toString m.key or key;
        disabledModules = m.disabledModules or [ ];
      };
    in
    if !isAttrs m then
      throw "module ${file} (${key}) does not look like a module."
    else if !(m ? config || m ? options) then
      common
      // {
        imports = m.require or [ ] ++ m.imports or [ ];
        options = { };
        config = withFreeform m (removeAttrs m shorthandStructure);
      }
    else if extra != [ ] then
      throw "Module `${key}' has an unsupported attribute `${head extra}'. This is caused by introducing a top-level `config' or `options' attribute. Add configuration attributes immediately on the top level instead, or move all of them (namely: ${toString extra}) into the explicit `config' attribute."
    else
      common
      // {
        imports = m.imports or [ ];
        options = m.options or { };
        config = withFreeform m (withMeta m (m.config or { }));
      };

  # Call a module function. Arguments that nobody passes come from `_module.args`, on demand.
  applyModule =
    key: f: args:
    let
      argument =
        name: _:
        addErrorContext "while evaluating the module argument `${name}' in \"${key}\":" (
          args.${name} or (addErrorContext
            "noting that argument `${name}' is not externally provided, so querying `_module.args` instead, requiring `config`"
            args.config._module.args.${name}
          )
        );
    in
    f (args // mapAttrs argument (lib.functionArgs f));

  # A module as a path, function or set, in normal form.
  load =
    { class, args }:
    let
      go =
        file: key: m:
        if isFunction m then
          normalise file key (applyModule key m args)
        else if isAttrs m then
          if m._type or "module" == "module" then
            normalise file key m
          else if m._type == "if" || m._type == "override" then
            go file key { config = m; }
          else
            throw (
              lib.modules.notAModule {
                inherit file class;
                type = m._type;
                prefix = args._prefix;
              }
            )
        else if isList m then
          throw "Module imports can't be nested lists. Perhaps you meant to remove one level of lists? Definitions: ${
            lib.options.showDefs [
              {
                inherit file;
                value = m;
              }
            ]
          }"
        else
          let
            path = toString m;
            content = import m;
          in
          normalise path path (if isFunction content then applyModule path content args else content);
      checked =
        m: if m._class == null || m._class == class then m else throw (lib.modules.wrongClass m class);
    in
    if class == null then
      go
    else
      file: key: m:
      checked (go file key m);

  # The nodes of a list of modules that `file` imports.
  nodesOf =
    loader: file: parentKey: modules:
    lib.imap1 (
      n: m:
      let
        module = loader file "${parentKey}:anon-${toString n}" m;
      in
      {
        inherit (module) key;
        inherit module;
        imports = nodesOf loader module._file module.key module.imports;
      }
    ) modules;

  # The key that an item of `disabledModules` in a file names.
  disabledKey =
    modulesPath: file: item:
    if isString item then
      if substring 0 1 item == "/" then item else "${toString modulesPath}/${item}"
    else if lib.isConvertibleWithToString item then
      if item ? key && item.key != toString item then
        throw "Module `${file}` contains a disabledModules item that is an attribute set that can be converted to a string (${toString item}) but also has a `.key` attribute (${item.key}) with a different value. This makes it ambiguous which module should be disabled."
      else
        toString item
    else if item ? key then
      item.key
    else if isAttrs item then
      throw "Module `${file}` contains a disabledModules item that is an attribute set, presumably a module, that does not have a `key` attribute. Write a path, a string relative to modulesPath, or an attribute set with a `key`."
    else
      throw "Each disabledModules item must be a path, string, or a attribute set with a key attribute, or a value supported by toString. However, one of the disabledModules items in `${file}` is of type ${typeOf item}.";

  closure = operator: startSet: genericClosure { inherit operator startSet; };

  disabledKeys =
    modulesPath: nodes:
    concatMap (node: map (disabledKey modulesPath node.module._file) node.module.disabledModules) (
      closure (node: node.imports) nodes
    );
in
{
  inherit applyModule;

  /**
    Bring a loaded module into normal form.
  */
  unifyModuleSyntax = normalise;

  /**
    Call a module if it is a function.
  */
  applyModuleArgsIfFunction =
    key: f: args:
    if isFunction f then applyModule key f args else f;

  /**
    A module that says which file it comes from.
  */
  setDefaultModuleLocation = file: m: {
    _file = file;
    imports = [ m ];
  };

  /**
    All modules that take part in an evaluation.

    `library` is null or `loader -> library` (modules/library.nix). The result has `modules` in the
    order in which they were found, `graph` for tools, and `library`.
  */
  collect =
    {
      class,
      modulesPath,
      args,
      library,
      modules,
    }:
    let
      loader = load { inherit class args; };
      nodes = nodesOf loader lib.options.unknownModule "" modules;
      disabled = disabledKeys modulesPath nodes;
      enabled = if disabled == [ ] then list: list else filter (node: !elem node.key disabled);
      index =
        if library == null then
          null
        else
          library {
            inherit loader;
            importsOf = module: nodesOf loader module._file module.key module.imports;
          };
      successors =
        if library == null then
          node: enabled node.imports
        else
          node: enabled (node.imports ++ index.mentionedBy node.module);
      found = closure successors (enabled nodes);
      graphOf = node: {
        disabled = elem node.key disabled;
        inherit (node) key;
        file = node.module._file;
        imports = map graphOf node.imports;
      };
    in
    {
      modules = map (node: node.module) found;
      keys = map (node: node.key) found;
      graph = map graphOf (filter (node: node.key != "lib/modules.nix") nodes);
      library = if library == null then null else index;
    };
}
