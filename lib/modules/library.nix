# Modules on demand: a folder whose tree is the tree of options.
#
# `evalModules { modules; library = ./modules; }` reads of the library only what is needed.
#
# WHERE AN OPTION IS DECLARED. The path of a file in the library is the path of the options it
# declares:
#
#     modules/services/dnsmasq.nix        services.dnsmasq and everything below it
#     modules/environment/etc.nix         environment.etc
#     modules/networking/default.nix      the options directly in `networking` that have no file or
#                                         folder of their own, such as networking.hostName
#     modules/networking/firewall/        a folder again: default.nix and files, as above
#     modules/default.nix                 options on the top level without a file of their own
#
# `a/b.nix` and `a/b/default.nix` mean the same. Names that begin with `_` or `.` are not options,
# so data and shared code can lie beside the modules (`_fragments.nix`), as can files that do not
# end in `.nix`. A library module is an ordinary module: it writes the full path
# (`options.services.dnsmasq = ...`), and may import others. It declares options at its own path
# only; anything else is an error.
#
# WHICH FILES ARE READ. An option is MENTIONED where a module that takes part defines it or declares
# options at it. Mentioning is a matter of form: `mkIf`, `mkMerge`, `mkOverride` are looked through
# without asking the condition. The library modules of mentioned options take part too, and what
# they mention in turn, until nothing new is mentioned. A mention of `networking.hostName` brings
# networking/default.nix; one of `networking.firewall.enable` brings networking/firewall.nix alone;
# the empty `networking = { }` brings networking/default.nix.
#
# READING an option that nobody mentioned gives its declared default: the module's `options` are
# read at that moment, its `config` contributes nothing. So a library module must state what it does
# in the absence of definitions as defaults of its options, and whoever wants its `config` mentions
# it, if only by `services.dnsmasq = { };`. Looking a name up in a folder reads the folder's listing
# and its default.nix.
#
# WHAT FOLLOWS. As which modules take part depends on the names that definitions use in the
# library's folders (not below its files), those names must not depend on `config`. `services =
# listToAttrs (... config.x ...)` is infinite recursion; `environment.etc = listToAttrs (...
# config.x ...)` is fine. `disabledModules` counts in the caller's modules and their imports, and
# its relative paths are relative to the library.
lib:
let
  inherit (builtins)
    any
    attrNames
    concatMap
    elemAt
    filter
    genericClosure
    intersectAttrs
    isAttrs
    length
    listToAttrs
    mapAttrs
    readDir
    seq
    stringLength
    substring
    ;
  inherit (lib.options) isOption showOption;
  inherit (lib.modules) pieces;

  isHidden =
    name:
    let
      first = substring 0 1 name;
    in
    first == "_" || first == ".";

  # "dnsmasq" for "dnsmasq.nix", null for what is no Nix file.
  stemOf =
    name:
    let
      n = stringLength name - 4;
    in
    if n > 0 && substring n 4 name == ".nix" then substring 0 n name else null;

  # Refuse a module that declares options elsewhere than at its path.
  checkPlace =
    item: children: options:
    let
      depth = length item.path;
      outside =
        loc:
        throw "The library module `${item.key}' declares the option `${showOption loc}', but a library module declares options at its own path, which is `${showOption item.path}'. Move the declaration to the file of that path.";
      go =
        i: opts:
        if i == depth then
          inside opts
        else
          let
            name = elemAt item.path i;
            others = filter (n: n != name) (attrNames opts);
          in
          if others != [ ] then
            outside (lib.take i item.path ++ [ (builtins.head others) ])
          else if opts ? ${name} then
            go (i + 1) opts.${name}
          else
            true;
      inside =
        opts:
        let
          own = if isAttrs opts then attrNames (intersectAttrs children opts) else [ ];
        in
        if own != [ ] then
          throw "The library module `${item.key}' declares the option `${
            showOption (item.path ++ [ (builtins.head own) ])
          }', which has a file or folder of its own. Move the declaration there."
        else if isOption opts && children != { } then
          throw "The library module `${item.key}' declares `${showOption item.path}' as an option, but the library has options below it. Declare them in the option's type."
        else
          true;
    in
    go 0 options;

  # The part of a module's options at a path, as a declaration; none when it has nothing there.
  declarationAt =
    path: module:
    let
      parent = lib.attrByPath (lib.init path) { } module.options;
      name = lib.last path;
    in
    if path == [ ] then
      [
        {
          inherit (module) _file options;
          pos = null;
        }
      ]
    else if parent ? ${name} then
      [
        {
          inherit (module) _file;
          options = parent.${name};
          pos = builtins.unsafeGetAttrPos name parent;
        }
      ]
    else
      [ ];

  # The library modules that a tree of definitions or declarations mentions.
  mentions =
    open: node: value:
    if node.children == { } then
      node.own
    else
      concatMap (
        attrs:
        if !isAttrs attrs || isOption attrs then
          node.own
        else
          let
            names = attrNames attrs;
            known = filter (name: node.children ? ${name}) names;
          in
          (if names != [ ] && length known == length names then [ ] else node.own)
          ++ concatMap (name: mentions open node.children.${name} attrs.${name}) known
      ) (open value);

  openDefinitions = value: map (piece: piece.attrs) (pieces null null value);
  openDeclarations = value: [ value ];
in
{
  /**
    The library in a folder, as `collect` wants it.
    Type: `Path -> { loader, importsOf } -> Library`
  */
  openLibrary =
    root:
    { loader, importsOf }:
    let
      itemOf =
        path: children: file:
        let
          key = toString file;
          item = {
            inherit key path module;
            imports = importsOf module;
          };
          loaded = loader key key file;
          module =
            if loaded.disabledModules != [ ] then
              throw "The library module `${key}' has `disabledModules', which only modules outside of the library may have."
            else
              seq (checkPlace { inherit key path; } children loaded.options) loaded;
        in
        item;

      # A folder, or a file, or both under one name.
      nodeOf =
        path: files: dir:
        let
          entries = if dir == null then { } else readDir dir;
          names = filter (name: !isHidden name) (attrNames entries);
          modulesHere = listToAttrs (
            concatMap (
              name:
              let
                stem = stemOf name;
              in
              if entries.${name} == "directory" || stem == null || stem == "default" then
                [ ]
              else
                [
                  {
                    name = stem;
                    value = dir + "/${name}";
                  }
                ]
            ) names
          );
          foldersHere = listToAttrs (
            concatMap (
              name:
              if entries.${name} == "directory" then
                [
                  {
                    inherit name;
                    value = dir + "/${name}";
                  }
                ]
              else
                [ ]
            ) names
          );
          children = mapAttrs (
            name: _:
            nodeOf (path ++ [ name ]) (if modulesHere ? ${name} then [ modulesHere.${name} ] else [ ]) (
              foldersHere.${name} or null
            )
          ) (modulesHere // foldersHere);
        in
        {
          inherit children;
          own = map (itemOf path children) (
            files ++ (if entries ? "default.nix" then [ (dir + "/default.nix") ] else [ ])
          );
        };

      tree = nodeOf [ ] [ ] root;

      # `_module` is the module system's own, and a module that says nothing mentions nothing.
      mentionsAtTop =
        open: attrs:
        let
          said = if attrs ? _module then removeAttrs attrs [ "_module" ] else attrs;
        in
        if said == { } then [ ] else mentions open tree said;
    in
    {
      inherit tree;

      mentionedBy =
        module:
        concatMap (mentionsAtTop openDefinitions) (openDefinitions module.config)
        ++ mentionsAtTop openDeclarations module.options;

      # Does the library have an option, or options, of that name on the top level?
      declares = name: tree.children ? ${name} || any (item: item.module.options ? ${name}) tree.own;

      # What `mergeTree` asks: the declarations of a node whose modules do not take part.
      passive = active: {
        unmentioned =
          node:
          concatMap (
            item:
            if active ? ${item.key} then
              [ ]
            else
              concatMap (found: declarationAt item.path found.module) (genericClosure {
                startSet = [ item ];
                operator = found: found.imports;
              })
          ) node.own;
      };
    };
}
