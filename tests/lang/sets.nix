# Attribute sets, selection, recursion, inherit, dynamic names.

#: order_is_by_name
{ c = 1; a = 2; B = 3; b = 4; a1 = 5; }
#= { B = 3; a = 2; a1 = 5; b = 4; c = 1; }

#: nested_definitions_merge
{ a.b = 1; a.c.d = 2; a = { e = 3; }; }
#= { a = { b = 1; c = { d = 2; }; e = 3; }; }

#: duplicate_attribute
{
  a = 1;
  b = 2;
  a = 3;
}
#! attribute 'a' already defined at «string»:2:3
#@ 4:3

#: duplicate_nested_attribute
{ a.b = 1; a.b.c = 2; }
#! attribute 'a.b' already defined at «string»:1:3
#@ 1:12

#: a_value_and_a_nested_definition_collide
{ a = 1; a.b = 2; }
#! attribute 'a' already defined at «string»:1:3
#@ 1:10

#: rec_sees_itself
rec { a = b + 1; b = 1; c = rec { a = 5; d = a + b; }; }
#= { a = 2; b = 1; c = { a = 5; d = 6; }; }

#: without_rec_names_are_those_around
let a = 1; in { a = 2; b = a; }
#= { a = 2; b = 1; }

#: inherit_from_scope
let a = 1; b = 2; in { inherit a b; }
#= { a = 1; b = 2; }

#: inherit_from_a_set
{ inherit ({ a = 1; b.c = 2; }) a b; }
#= { a = 1; b = { c = 2; }; }

#: inherit_in_rec_is_from_around
let a = 1; in rec { inherit a; b = a; }
#= { a = 1; b = 1; }

#: inherit_of_an_undefined_variable
{ inherit nope; }
#! undefined variable 'nope'
#@ 1:11

#: inherit_of_a_missing_attribute
{ inherit ({ a = 1; }) b; }
#! attribute 'b' missing
#@ 1:24
#? a

#: inherit_of_string_names
let "a b" = 1; in { inherit "a b"; }
#= { "a b" = 1; }

#: inherit_twice
let a = 1; in { inherit a; inherit a; }
#! attribute 'a' already defined at «string»:1:25
#@ 1:36

#: inherit_is_lazy
(let x = throw "never"; in { inherit x; y = 1; }).y
#= 1

#: selection
{ a.b.c = 1; }.a.b.c
#= 1

#: selection_with_default
[ ({ }.a or 1) ({ a.b = 1; }.a.c or 2) ({ a = 1; }.a.b or 3) ({ a = 5; }.a or 4) ]
#= [ 1 2 3 5 ]

#: default_is_lazy
{ a = 1; }.a or (throw "never")
#= 1

#: default_does_not_hide_errors
{ a = throw "seen"; }.a or 1
#! seen

#: missing_attribute
{ alpha = 1; beta = 2; }.alhpa
#! attribute 'alhpa' missing
#@ 1:1
#? alpha

#: missing_attribute_with_several_likely_names
{ foo1 = 1; foo2 = 2; foo3 = 3; }.foo
#! attribute 'foo' missing
#@ 1:1
#? one of foo1, foo2 or foo3

#: missing_attribute_with_nothing_alike
{ alpha = 1; }.omega
#! attribute 'omega' missing
#@ 1:1

#: missing_nested_attribute
let s = { a.b = 1; }; in s.a.c.d
#! attribute 'c' missing
#@ 1:26
#? b

#: missing_attribute_of_a_quoted_name
{ }."a b"
#! attribute '"a b"' missing
#@ 1:1

#: selection_from_something_else
let x = 5; in x.a
#! expected a set but found an integer: 5

#: selection_from_null
null.a or "default"
#= "default"

#: selection_from_a_function
(x: x).a
#! expected a set but found a function: «lambda @ «string»:1:2»

#: dynamic_names
let n = "x"; in { ${n} = 1; "${n}y" = 2; a.${n}.b = 3; }
#= { a = { x = { b = 3; }; }; x = 1; xy = 2; }

#: a_null_name_leaves_the_attribute_out
{ ${null} = 1; a = 2; }
#= { a = 2; }

#: dynamic_names_must_be_strings
{ ${1} = 2; }
#! expected a string but found an integer: 1
#@ 1:3

#: dynamic_duplicate
{ a = 1; ${"a"} = 2; }
#! attribute 'a' already defined at «string»:1:3
#@ 1:10

#: dynamic_names_in_rec_are_no_variables
rec { ${"a" + ""} = 1; b = 2; }.b
#= 2

#: dynamic_names_in_let
let ${"a"} = 1; in a
#= 1

#: dynamic_selection
let s = { a = { b = 1; }; }; n = "b"; in s.a.${n}
#= 1

#: dynamic_selection_needs_a_string (ours)
{ a = 1; }.${1}
#! expected a string but found an integer: 1
#@ 1:14

#: selection_with_a_string_that_has_interpolation
{ ab = 1; }."a${"b"}"
#= 1

#: overrides
rec { __overrides = { a = 2; }; a = 1; b = a; }
#= { __overrides = { a = 2; }; a = 2; b = 2; }

#: a_set_is_callable_by_functor
let f = { __functor = self: x: x + self.y; y = 10; }; in [ (f 1) ((f // { y = 20; }) 1) ]
#= [ 11 21 ]

#: functor_must_be_a_function
{ __functor = 1; } 2
#! attempt to call something which is not a function but an integer: 1
#@ 1:3

#: to_string_of_a_set
"${{ __toString = self: "<${self.x}>"; x = "y"; }}"
#= "<y>"

#: out_path_of_a_set
"${{ outPath = "/x"; }}"
#= "/x"

#: a_set_is_no_string
"${{ a = 1; }}"
#! cannot coerce a set to a string: { a = 1; }

#: ancient_let
let { body = x + y; x = 1; y = 2; }
#= 3

#: ancient_let_needs_a_body (ours)
let { x = 1; }
#! attribute 'body' missing
#@ 1:1

#: attribute_names_are_strict_values_lazy
builtins.attrNames { a = throw "a"; b = throw "b"; }
#= [ "a" "b" ]

#: position_of_an_attribute_in_a_text_is_unknown
builtins.unsafeGetAttrPos "a" { a = 1; }
#= null

#: sets_with_cycles_print
let s = { a = 1; self = s; }; in s
#= { a = 1; self = «repeated»; }

#: lists_with_cycles_print
let l = [ 1 l ]; in l
#= [ 1 [ 1 «repeated» ] ]

#: shared_lists_print_once
rec { a = [ (toString 1) ]; b = [ a [ a ] ]; c = map (n: n) [ 1 2 3 ]; d = { inherit a c; }; }
#= { a = [ "1" ]; b = [ «repeated» [ «repeated» ] ]; c = [ 1 2 3 ]; d = { a = «repeated»; c = «repeated»; }; }

#: shared_sets_print_once
let s = { b = 1; }; in [ s s ]
#= [ { b = 1; } «repeated» ]

#: empty_sets_are_never_repeated
let s = { }; in [ s s ]
#= [ { } { } ]

#: attribute_paths_may_use_or
{ or = 1; }.or
#= 1

#: map_attrs_keeps_names_lazy
(builtins.mapAttrs (n: v: throw n) { a = 1; }) ? a
#= true
