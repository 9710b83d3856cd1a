# The codes of the ASCII characters that Nix strings can hold (all but NUL).
let
  printable = " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~";
in
builtins.listToAttrs (
  builtins.genList (i: {
    name = builtins.substring i 1 printable;
    value = i + 32;
  }) (builtins.stringLength printable)
)
// {
  "\t" = 9;
  "\n" = 10;
  "\r" = 13;
}
