# Assertions that say what is wrong.
lib: {
  /**
    Return true, or throw the message.
    Example: `assertMsg true "never"` => `true`
  */
  assertMsg = pred: msg: pred || throw msg;

  /**
    Assert that a value is one of a list.
    Example: `assertOneOf "mode" "a" [ "a" "b" ]` => `true`
  */
  assertOneOf =
    name: val: xs:
    lib.assertMsg (builtins.elem val xs) "${name} must be one of ${lib.generators.toPretty { } xs}, but is: ${
      lib.generators.toPretty { } val
    }";

  /**
    Assert that every value of a list is one of another.
    Example: `assertEachOneOf "modes" [ "a" ] [ "a" "b" ]` => `true`
  */
  assertEachOneOf =
    name: vals: xs:
    lib.assertMsg (builtins.all (val: builtins.elem val xs) vals)
      "each element in ${name} must be one of ${lib.generators.toPretty { } xs}, but is: ${
        lib.generators.toPretty { } vals
      }";

  /**
    Return the value if all assertions (`{ assertion, message }`) hold; throw the failed ones' messages.
    Example: `lib.asserts.checkAssertWarn [ { assertion = true; message = "no"; } ] [ ] 1` => `1`
  */
  checkAssertWarn =
    assertions: warnings: val:
    let
      failed = map (x: x.message) (builtins.filter (x: !x.assertion) assertions);
    in
    if failed != [ ] then
      throw "\nFailed assertions:\n${builtins.concatStringsSep "\n" (map (x: "- ${x}") failed)}"
    else
      builtins.foldl' (x: w: lib.warn w x) val warnings;
}
