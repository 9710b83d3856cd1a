# Values of kernel configuration options, as NixOS modules write them.
lib:
let
  tristate = t: {
    tristate = t;
    optional = false;
  };
in
{
  yes = tristate "y";
  no = tristate "n";
  module = tristate "m";
  unset = tristate null;

  /**
    A value that is no tristate: a number or string. Example: `(lib.kernel.freeform "64").freeform` => `"64"`
  */
  freeform = x: {
    freeform = x;
    optional = false;
  };

  /**
    The option may be missing from this kernel.
  */
  option = x: x // { optional = true; };

  /**
    Conditions on the kernel's version.
  */
  whenHelpers = version: {
    whenAtLeast = v: lib.mkIf (lib.versionAtLeast version v);
    whenOlder = v: lib.mkIf (lib.versionOlder version v);
    whenBetween = low: high: lib.mkIf (lib.versionAtLeast version low && lib.versionOlder version high);
  };
}
