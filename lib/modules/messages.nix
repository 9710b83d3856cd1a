# What the module system says when it must refuse.
#
# The first words of each message are those of nixpkgs, because people and test suites search for
# them.
lib:
let
  inherit (builtins)
    attrNames
    concatStringsSep
    filter
    head
    length
    sort
    ;
  inherit (lib.options) showOption showDefs;

  # From this many names on only close ones are suggested.
  manyNames = 100;

  # The (at most three) names most like a wrong one.
  similarNames =
    wrong: names:
    let
      near = if length names < manyNames then names else filter (lib.levenshteinAtMost 2 wrong) names;
    in
    lib.take 3 (lib.sortOn (lib.levenshtein wrong) near);

  # A value without the properties around it, for showing.
  bareValue =
    value:
    let
      tag = value._type or null;
    in
    if tag == "if" || tag == "override" || tag == "order" then bareValue value.content else value;
in
{
  inherit similarNames;

  /**
    "\n\nDid you mean ...?" for a wrong name below a parent; "" when nothing is near.
  */
  didYouMean =
    parent: wrong: names:
    let
      quoted = map (name: "`${showOption (parent ++ [ name ])}'") (similarNames wrong names);
    in
    if quoted == [ ] then
      ""
    else if length quoted == 1 then
      "\n\nDid you mean ${head quoted}?"
    else
      "\n\nDid you mean ${concatStringsSep ", " (lib.init quoted)} or ${lib.last quoted}?";

  /**
    A value of some other type stands where a module belongs.
  */
  notAModule =
    {
      file,
      type,
      class,
      prefix,
    }:
    let
      whileLoading =
        lib.optionalString (
          file != null && file != lib.options.unknownModule
        ) ", while trying to load a module into ${toString file}"
        + lib.optionalString (prefix != [ ]) ", while trying to load a module into ${showOption prefix}";
      hint =
        {
          configuration = "\n\nTo reuse a configuration, please only import the modules that make up the configuration;\nput them into a file, an attribute or a `let` binding that both can use.";
          flake = "\n\nPerhaps an attribute is missing: instead of `inputs.someflake` write `inputs.someflake.modules.${
            if class == null then "someApp" else class
          }.default`${
            lib.optionalString (
              class == "nixos" || class == "darwin"
            ) " or `inputs.someflake.${class}Modules.default`"
          }.";
        }
        .${type} or "";
    in
    "Expected a module, but found a value of type ${lib.escapeNixString type}${whileLoading}.\nEach item of `imports = [ ... ];` and `modules = [ ... ];` must be a module.${hint}";

  /**
    A module of one class in an evaluation of another.
  */
  wrongClass =
    m: class:
    let
      quote = lib.escapeNixString;
    in
    ''
      The module `${m._file or m.key}` (class: ${quote m._class}) cannot be imported into a module evaluation that expects class ${quote class}.

      Import a module of class ${quote class}, or correct the module's `_class`.
    '';

  /**
    A definition that is no attribute set where options lie deeper.
  */
  notAttrs =
    prefix: piece:
    let
      path = concatStringsSep "." prefix;
    in
    ''
      In module `${piece.file}', you're trying to define a value of type `${builtins.typeOf piece.attrs}'
      rather than an attribute set for the option
      `${path}'!

      The options lie deeper: define one of those below `${path}'.
    '';

  /**
    A declaration that is no attribute set.
  */
  declarationNotAttrs = prefix: subtree: ''
    An option declaration for `${concatStringsSep "." prefix}' has type
    `${builtins.typeOf subtree}' rather than an attribute set.
    Did you mean to define this outside of `options'?
  '';

  /**
    A tagged set that is no option, where an option is declared.
  */
  wrongDeclaration =
    loc: tag: file:
    "In module ${file}: expected an option declaration at option path `${showOption loc}` but got an attribute set with type ${tag}"
    + lib.optionalString (tag == "option-type") ''


      When declaring an option, you must wrap the type in a `mkOption` call. It should look somewhat like:
          ${lib.escapeNixIdentifier (lib.last loc)} = lib.mkOption {
            description = ...;
            type = <the type you wrote for ${lib.escapeNixIdentifier (lib.last loc)}>;
          };
    '';

  /**
    An option declared above others, with a type that has no inner options.
  */
  optionAboveOptions =
    loc: option: nested:
    let
      below = lib.concatMap (
        decl:
        map (name: " - option(s) with prefix `${showOption (loc ++ [ name ])}' in module `${decl._file}'") (
          attrNames decl.options
        )
      ) nested;
    in
    "The option `${showOption loc}' in module `${option._file}' would be a parent of the following options, but its type `${
      option.options.type.description or "<no description>"
    }' does not support nested options.\n${concatStringsSep "\n" (sort builtins.lessThan below)}";

  /**
    A definition without an option. `candidates` are the names that stand beside the wrong one.
  */
  unknownOption =
    {
      prefix,
      def,
      candidates,
      noOptionsAtAll,
    }:
    let
      loc = prefix ++ def.prefix;
      text = showOption loc;
      values =
        lib.addErrorContext
          "while evaluating the error message for definitions for `${text}', which is an option that does not exist"
          (
            lib.addErrorContext "while evaluating a definition from `${def.file}'" (showDefs [
              (def // { value = bareValue def.value; })
            ])
          );
      hint =
        if !noOptionsAtAll then
          ""
        else if prefix == [ ] then
          "\n\nIt seems as if you're trying to declare an option by placing it into `config' rather than `options'!\n"
        else
          "\n\nHowever there are no options defined in `${showOption prefix}'. Are you sure you've\ndeclared your options properly? This can happen if you e.g. declared your options in `types.submodule'\nunder `config' rather than `options'.\n";
    in
    "The option `${text}' does not exist. Definition values:${values}${
      lib.modules.didYouMean (lib.init loc) (lib.last loc) candidates
    }${hint}";
}
