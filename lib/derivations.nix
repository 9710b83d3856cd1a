# Derivations seen from outside: laziness, attributes that are there or not.
lib:
let
  inherit (builtins) mapAttrs;
in
{
  /**
    A derivation whose outputs are known before it is evaluated.
    Type: `{ derivation, meta ?, passthru ?, outputs ? [ "out" ] } -> Derivation`
  */
  lazyDerivation =
    args@{
      derivation,
      meta ? null,
      passthru ? { },
      outputs ? [ "out" ],
    }:
    let
      show = lib.generators.toPretty { multiline = false; };
      checked =
        if derivation.type or null != "derivation" then
          throw "lazyDerivation: input must be a derivation."
        else if derivation.outputs != outputs then
          throw ''
            lib.lazyDerivation: The derivation ${derivation.name or "<unknown>"} has outputs that don't match the assumed outputs.

            Assumed: ${show outputs}
            Actual: ${show derivation.outputs}

            Pass the actual outputs, in the same order, as `outputs`.
          ''
        else
          derivation;
    in
    {
      type = "derivation";
      inherit (checked)
        outPath
        outputName
        drvPath
        name
        system
        ;
      inherit outputs;
      meta = args.meta or checked.meta;
    }
    // lib.genAttrs outputs (name: checked.${name})
    // passthru;

  /**
    An attribute of a derivation that is there under a condition only: null is left out.
    Example: `optionalDrvAttr false 1` => `null`
  */
  optionalDrvAttr = cond: value: if cond then value else null;

  /**
    Warn when a derivation is instantiated, not when its name or meta is read.
  */
  warnOnInstantiate =
    msg: drv:
    let
      heavy = removeAttrs drv [
        "meta"
        "name"
        "type"
        "outputName"
      ];
    in
    drv
    // mapAttrs (_: lib.warn msg) heavy
    // lib.optionalAttrs (drv ? overrideAttrs) {
      overrideAttrs = f: lib.warnOnInstantiate msg (drv.overrideAttrs f);
    };
}
