# Looking at values while they are evaluated, and tests.
lib:
let
  inherit (builtins)
    attrNames
    concatMap
    deepSeq
    isAttrs
    isList
    mapAttrs
    match
    trace
    ;
in
{
  /**
    Trace if the condition holds.
  */
  traceIf =
    pred: msg: x:
    if pred then trace msg x else x;

  /**
    Trace a function of the value.
  */
  traceValFn = f: x: trace (f x) x;

  /**
    Trace a value and return it.
  */
  traceVal = x: trace x x;

  /**
    Trace a function of the deeply forced value.
  */
  traceValSeqFn =
    f: v:
    let
      shown = f v;
    in
    deepSeq shown (trace shown v);

  /**
    Trace a deeply forced value and return it.
  */
  traceValSeq = lib.traceValSeqFn lib.id;

  /**
    Trace the first value, deeply forced, and return the second.
  */
  traceSeq = x: y: trace (deepSeq x x) y;

  /**
    The same to a depth.
  */
  traceSeqN =
    depth: x: y:
    let
      cut =
        n: v:
        if n == 0 then
          if isList v && v != [ ] then
            "[…]"
          else if isAttrs v && v != { } then
            "{…}"
          else
            v
        else if isList v then
          map (cut (n - 1)) v
        else if isAttrs v then
          mapAttrs (_: cut (n - 1)) v
        else
          v;
      shown = lib.generators.toPretty { allowPrettyValues = true; } (cut depth x);
    in
    trace shown y;

  traceValSeqN = depth: v: lib.traceSeqN depth v v;

  traceValSeqNFn =
    f: depth: v:
    lib.traceSeqN depth (f v) v;

  inherit (builtins) addErrorContext trace unsafeGetAttrPos;

  /**
    A function that traces its argument and result.
  */
  traceFnSeqN =
    depth: name: f: v:
    let
      res = f v;
    in
    lib.traceSeqN (depth + 1) {
      fn = name;
      from = v;
      to = res;
    } res;

  /**
    The tests that fail: sets whose names begin with "test", each `{ expr, expected }`.
    Example: `runTests { testOk = { expr = 1; expected = 1; }; }` => `[ ]`
  */
  runTests =
    tests:
    let
      only = tests.tests or [ ];
      wanted = name: if only != [ ] then builtins.elem name only else match "test.*" name != null;
    in
    concatMap (
      name:
      let
        inherit (tests.${name}) expr expected;
      in
      if wanted name && expr != expected then
        [
          {
            inherit name expected;
            result = expr;
          }
        ]
      else
        [ ]
    ) (attrNames tests);

  /**
    runTests that throws, showing what differs. Example: `lib.debug.throwTestFailures { failures = [ ]; }` => `null`
  */
  throwTestFailures =
    {
      failures,
      description ? "tests",
      ...
    }:
    if failures == [ ] then
      null
    else
      throw "${toString (builtins.length failures)} ${description} failed:\n${
        lib.concatMapStringsSep "\n" (
          f:
          "- ${f.name}: expected ${lib.generators.toPretty { } f.expected}\n  but got ${
            lib.generators.toPretty { } f.result
          }"
        ) failures
      }";

  /**
    Is every name of a list of results true?
  */
  testAllTrue = expr: {
    inherit expr;
    expected = map (_: true) expr;
  };
}
