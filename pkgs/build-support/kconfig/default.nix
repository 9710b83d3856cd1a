# Configurations in the kernel's language, which busybox speaks too: values as attributes, and the
# check that what was asked for is what came out.
{ lib }:
let
  inherit (builtins) isAttrs isInt;

  # As `.config` has it: "y", "n" and "m" bare, numbers bare, other strings quoted.
  show =
    value:
    if isInt value then
      toString value
    else if builtins.match "[ynm]|0x[0-9a-fA-F]+" value != null then
      value
    else
      ''"${lib.escape [ ''"'' "\\" ] value}"'';

  plain = entry: if isAttrs entry then entry.value else entry;
in
{
  /**
    The lines of a fragment.

    Type: fragment :: { <OPTION> = value | { value, askedBy }; } -> string
    Example: fragment { PCI = "y"; VT = "n"; } => "CONFIG_PCI=y\n# CONFIG_VT is not set\n"
  */
  fragment =
    options:
    lib.concatStrings (
      lib.mapAttrsToList (
        name: entry:
        let
          text = show (plain entry);
        in
        if text == "n" then "# CONFIG_${name} is not set\n" else "CONFIG_${name}=${text}\n"
      ) options
    );

  /**
    What check.sh reads: option, value and who asked, separated by tabs.
  */
  wanted =
    options:
    lib.concatStrings (
      lib.mapAttrsToList (
        name: entry: "${name}\t${show (plain entry)}\t${if isAttrs entry then entry.askedBy else ""}\n"
      ) options
    );

  checkScript = ./check.sh;
  foreignScript = ./foreign.sh;
}
