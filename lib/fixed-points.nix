# Fixed points and overlays: sets that refer to themselves and can be extended later.
lib:
let
  /**
    The fixed point of a function: the value that it maps to itself.
    Type: `(a -> a) -> a`
    Example: `(fix (self: { a = 1; b = self.a + 1; })).b` => `2`
  */
  fix =
    f:
    let
      x = f x;
    in
    x;

  /**
    A function to be fixed, with an overlay over it.
    Type: `(a -> a -> a) -> (a -> a) -> (a -> a)`
    Example: `(fix (extends (final: prev: { b = prev.a; }) (self: { a = 1; }))).b` => `1`
  */
  extends =
    overlay: f: final:
    let
      prev = f final;
    in
    prev // overlay final prev;

  /**
    Two overlays as one, the first applied first.
    Type: `Overlay -> Overlay -> Overlay`
    Example: `composeExtensions (f: p: { a = 1; }) (f: p: { b = p.a; }) { } { }` => `{ a = 1; b = 1; }`
  */
  composeExtensions =
    f: g: final: prev:
    let
      fApplied = f final prev;
    in
    fApplied // g final (prev // fApplied);
in
{
  inherit fix extends composeExtensions;

  /**
    Like `fix`, but the result remembers the function as `__unfix__`.
    Type: `(a -> a) -> a`
  */
  fix' =
    f:
    let
      x = f x // {
        __unfix__ = f;
      };
    in
    x;

  /**
    Iterate a function until its result no longer changes.
    Example: `converge (x: x / 2) 16` => `0`
  */
  converge =
    f: x:
    let
      x' = f x;
    in
    if x' == x then x else lib.converge f x';

  /**
    Compose a list of overlays, the first applied first.
    Example: `(fix (extends (composeManyExtensions [ (f: p: { a = 2; }) (f: p: { b = p.a; }) ]) (self: { a = 1; }))).b` => `2`
  */
  composeManyExtensions = builtins.foldl' composeExtensions (_final: _prev: { });

  /**
    A fixed point that can be extended: the result has `extend overlay`.
    Example: `((makeExtensible (self: { a = 1; b = self.a; })).extend (f: p: { a = 2; })).b` => `2`
  */
  makeExtensible = lib.makeExtensibleWithCustomName "extend";

  /**
    `makeExtensible` with another name for `extend`.
    Type: `String -> (a -> a) -> a`
  */
  makeExtensibleWithCustomName =
    extenderName: rattrs:
    fix (
      self:
      rattrs self
      // {
        ${extenderName} = overlay: lib.makeExtensibleWithCustomName extenderName (extends overlay rattrs);
      }
    );

  /**
    Turn a set, a function of `prev`, or a function of `final: prev` into an overlay.
    Example: `toExtension { a = 1; } { } { }` => `{ a = 1; }`
  */
  toExtension =
    f:
    if lib.isFunction f then
      final: prev:
      let
        fPrev = f prev;
      in
      if lib.isFunction fPrev then f final prev else fPrev
    else
      _final: _prev: f;
}
