# Properties: what wraps a definition. Conditions, merges, priorities, order.
#
# A property is a set tagged `_type`. Properties on a set of definitions mean the same as properties
# on each of them; `pieces` makes that true without looking at a condition and without copying the
# set, so that attribute positions survive.
lib:
let
  inherit (builtins)
    concatMap
    foldl'
    head
    isBool
    length
    sort
    ;

  defaultOverridePriority = 100;
  defaultOrderPriority = 1000;

  /**
    A definition that counts only if the condition holds.
    Type: `Bool -> a -> a`
  */
  mkIf = condition: content: {
    _type = "if";
    inherit condition content;
  };

  /**
    Several definitions as one.
    Type: `[a] -> a`
  */
  mkMerge = contents: {
    _type = "merge";
    inherit contents;
  };

  /**
    A definition of a priority; of several definitions only those of the lowest number count.
    Type: `Int -> a -> a`
  */
  mkOverride = priority: content: {
    _type = "override";
    inherit priority content;
  };

  /**
    A definition's place among the others of a list or of lines; 1000 is usual.
    Type: `Int -> a -> a`
  */
  mkOrder = priority: content: {
    _type = "order";
    inherit priority content;
  };

  # Compose the wrapper of an enclosing property with one more; null wraps nothing.
  within = wrap: f: if wrap == null then f else content: wrap (f content);

  # The values below the properties of `value`, each `{ file, attrs, wrap }` where `wrap` puts the
  # properties back on a part of `attrs`.
  pieces =
    file: wrap: value:
    let
      tag = value._type or null;
    in
    if tag == null then
      [
        {
          inherit file wrap;
          attrs = value;
        }
      ]
    else if tag == "if" then
      pieces file (within wrap (mkIf value.condition)) value.content
    else if tag == "merge" then
      concatMap (pieces file wrap) value.contents
    else if tag == "override" then
      pieces file (within wrap (mkOverride value.priority)) value.content
    else
      [
        {
          inherit file wrap;
          attrs = value;
        }
      ];

  # The definitions that conditions and merges leave.
  dischargeProperties =
    value:
    let
      tag = value._type or null;
    in
    if tag == null then
      [ value ]
    else if tag == "merge" then
      concatMap dischargeProperties value.contents
    else if tag == "if" then
      if !isBool value.condition then
        throw "‘mkIf’ called with a non-Boolean condition"
      else if value.condition then
        dischargeProperties value.content
      else
        [ ]
    else
      [ value ];

  priorityOf =
    def: if def.value._type or null == "override" then def.value.priority else defaultOverridePriority;

  stripOverride =
    def: if def.value._type or null == "override" then def // { value = def.value.content; } else def;

  # The definitions of the strongest (lowest) priority, and that priority.
  filterOverrides' =
    defs:
    let
      strongest = foldl' (prio: def: lib.min prio (priorityOf def)) 9999 defs;
    in
    if length defs == 1 then
      {
        values = [ (stripOverride (head defs)) ];
        highestPrio = priorityOf (head defs);
      }
    else
      {
        values = concatMap (def: if priorityOf def == strongest then [ (stripOverride def) ] else [ ]) defs;
        highestPrio = strongest;
      };

  # Definitions in the order that mkOrder asks for; the sort is stable.
  sortProperties =
    defs:
    let
      strip =
        def:
        if def.value._type or null == "order" then
          def
          // {
            value = def.value.content;
            inherit (def.value) priority;
          }
        else
          def;
      rank = def: def.priority or defaultOrderPriority;
    in
    sort (a: b: rank a < rank b) (map strip defs);

  /**
    Apply a function to a definition's value, below all properties.
    Type: `(a -> b) -> Definition a -> Definition b`
    Example: `lib.modules.mapDefinitionValue (x: x + 1) (mkForce 1)` => `mkForce 2`
  */
  mapDefinitionValue =
    f: def:
    let
      tag = def._type or null;
    in
    if tag == "merge" then
      def // { contents = map (mapDefinitionValue f) def.contents; }
    else if tag == "if" || tag == "override" || tag == "order" then
      def // { content = mapDefinitionValue f def.content; }
    else if tag == "definition" then
      def // { value = mapDefinitionValue f def.value; }
    else
      f def;
in
{
  inherit
    mkIf
    mkMerge
    mkOverride
    mkOrder
    ;

  inherit
    defaultOverridePriority
    defaultOrderPriority
    pieces
    dischargeProperties
    filterOverrides'
    sortProperties
    mapDefinitionValue
    ;

  /**
    A definition that says of itself which file it comes from.
  */
  mkDefinition = args@{ file, value, ... }: args // { _type = "definition"; };

  /**
    `mkIf` that throws where the assertion does not hold.
  */
  mkAssert =
    assertion: message: content:
    mkIf (if assertion then true else throw "\nFailed assertion: ${message}") content;

  /**
    The priority of an option's declared default.
  */
  mkOptionDefault = mkOverride 1500;

  /**
    A default that any plain definition overrides.
  */
  mkDefault = mkOverride 1000;

  /**
    Between plain definitions and mkForce: what an image format imposes.
  */
  mkImageMediaOverride = mkOverride 60;

  /**
    Overrides plain definitions.
  */
  mkForce = mkOverride 50;

  /**
    Overrides mkForce: what running in a VM imposes.
  */
  mkVMOverride = mkOverride 10;

  /**
    Early in a list.
  */
  mkBefore = mkOrder 500;

  /**
    Late in a list.
  */
  mkAfter = mkOrder 1500;

  /**
    The definitions of the strongest priority, without it.
  */
  filterOverrides = defs: (filterOverrides' defs).values;

  /**
    Properties on a set pushed down to its attributes.
  */
  pushDownProperties =
    value:
    map (
      piece:
      if piece.wrap == null || !builtins.isAttrs piece.attrs then
        piece.attrs
      else
        builtins.mapAttrs (_: piece.wrap) piece.attrs
    ) (pieces null null value);
}
