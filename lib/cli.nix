# Command lines from attribute sets.
lib:
let
  inherit (builtins)
    isBool
    isList
    stringLength
    ;
in
{
  /**
    A shell-quoted command line from a set of options.
    Example: `cli.toGNUCommandLineShell { } { data = "a b"; v = true; x = false; n = null; }` => `"--data 'a b' -v"`
  */
  toGNUCommandLineShell =
    options: attrs: lib.escapeShellArgs (lib.cli.toGNUCommandLine options attrs);

  /**
    A list of arguments from a set of options: short names get one dash, long ones two; true is a flag,
    false and null are left out, lists repeat.
    Example: `cli.toGNUCommandLine { } { X = "PUT"; retry = 3; url = [ "a" "b" ]; }` => `[ "-X" "PUT" "--retry" "3" "--url" "a" "--url" "b" ]`
  */
  toGNUCommandLine =
    {
      mkOptionName ? k: if stringLength k == 1 then "-${k}" else "--${k}",
      mkBool ? k: v: lib.optional v (mkOptionName k),
      mkList ? k: lib.concatMap (mkOption k),
      mkOption ?
        k: v:
        if v == null then
          [ ]
        else if optionValueSeparator == null then
          [
            (mkOptionName k)
            (lib.generators.mkValueStringDefault { } v)
          ]
        else
          [ "${mkOptionName k}${optionValueSeparator}${lib.generators.mkValueStringDefault { } v}" ],
      optionValueSeparator ? null,
    }:
    attrs:
    let
      render =
        k: v:
        if isBool v then
          mkBool k v
        else if isList v then
          mkList k v
        else
          mkOption k v;
    in
    lib.concatLists (lib.mapAttrsToList render attrs);

  /**
    The shell-quoted form of toCommandLine.
  */
  toCommandLineShell =
    optionFormat: attrs: lib.escapeShellArgs (lib.cli.toCommandLine optionFormat attrs);

  /**
    A list of arguments where a function says how each name is written.
    Type: `(String -> { option, sep, explicitBool, formatArg ? }) -> AttrSet -> [String]`
    Example: `cli.toCommandLine (n: { option = "-${n}"; sep = "="; explicitBool = false; }) { a = 1; b = true; }` => `[ "-a=1" "-b" ]`
  */
  toCommandLine =
    optionFormat: attrs:
    let
      one =
        k: v:
        let
          format = optionFormat k;
          text = (format.formatArg or (lib.generators.mkValueStringDefault { })) v;
        in
        if v == null || (!format.explicitBool && v == false) then
          [ ]
        else if !format.explicitBool && v == true then
          [ format.option ]
        else if isList v then
          lib.concatMap (one k) v
        else if format.sep == null then
          [
            format.option
            text
          ]
        else
          [ "${format.option}${format.sep}${text}" ];
    in
    lib.concatLists (lib.mapAttrsToList one attrs);

  /**
    The shell-quoted form of toCommandLineGNU.
  */
  toCommandLineShellGNU =
    options: attrs: lib.escapeShellArgs (lib.cli.toCommandLineGNU options attrs);

  /**
    toCommandLine in GNU style. Example: `cli.toCommandLineGNU { } { a = 1; long = "x"; }` => `[ "-a1" "--long=x" ]`
  */
  toCommandLineGNU =
    {
      isLong ? name: stringLength name > 1,
      explicitBool ? false,
      formatArg ? lib.generators.mkValueStringDefault { },
    }:
    lib.cli.toCommandLine (name: {
      option = if isLong name then "--${name}" else "-${name}";
      sep = if isLong name then "=" else "";
      inherit explicitBool formatArg;
    });
}
