# Pieces of text that say which others must come before them, as activation scripts are made of.
lib:
let
  inherit (builtins) foldl' isAttrs;

  # `state.done` has the names already placed; `state.texts` what is placed so far.
  place =
    predefined: state: entry:
    if isAttrs entry then
      let
        after = foldl' (place predefined) state entry.deps;
      in
      after // { texts = after.texts ++ [ entry.text ]; }
    else if state.done ? ${entry} then
      state
    else
      place predefined (
        state
        // {
          done = state.done // {
            ${entry} = null;
          };
        }
      ) predefined.${entry};

  entry = deps: text: { inherit deps text; };
in
{
  /**
    The texts of named entries and all that they depend on, in order.
    Example: `textClosureList { a = fullDepEntry "A" [ "b" ]; b = noDepEntry "B"; } [ "a" ]` => `[ "B" "A" ]`
  */
  textClosureList =
    predefined: names:
    (foldl' (place predefined) {
      done = { };
      texts = [ ];
    } names).texts;

  /**
    The same mapped and joined with newlines.
  */
  textClosureMap =
    f: predefined: names:
    lib.concatMapStringsSep "\n" f (lib.textClosureList predefined names);

  /**
    Text that depends on nothing.
  */
  noDepEntry = entry [ ];

  /**
    Text and the names it depends on.
  */
  fullDepEntry = text: deps: entry deps text;

  /**
    A name for several others.
  */
  packEntry = deps: entry deps "";

  /**
    The names a text depends on, and the text.
  */
  stringAfter = entry;
}
