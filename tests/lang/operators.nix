# Operators: what they give, how they bind, what they refuse.

#: arithmetic
[ (1 + 2) (7 - 10) (3 * 4) (7 / 2) (-7 / 2) (7.0 / 2) (1 + 0.5) (2 * 1.5) (- -3) ]
#= [ 3 -3 12 3 -3 3.5 1.5 3 3 ]

#: precedence_of_arithmetic
[ (2 + 3 * 4) (2 * 3 + 4) (-2 - 3) (10 - 3 - 2) (100 / 10 / 5) ]
#= [ 14 10 -5 5 2 ]

#: integer_overflow_of_addition
9223372036854775807 + 1
#! integer overflow in adding 9223372036854775807 + 1
#@ 1:23

#: integer_overflow_of_negation
(-(-9223372036854775807 - 1))
#! integer overflow in subtracting 0 - -9223372036854775808

#: division_by_zero
1 / 0
#! division by zero

#: division_by_float_zero
1 / 0.0
#! division by zero

#: comparison_of_numbers
[ (1 < 2) (1 < 1.5) (2.0 <= 2) (3 > 4) (3 >= 3) ]
#= [ true true true false true ]

#: comparison_of_strings_paths_lists
[ ("a" < "b") ("a" < "B") (/a < /b) ([ 1 2 ] < [ 1 3 ]) ([ 1 ] < [ 1 0 ]) ([ ] < [ ]) ]
#= [ true false true true true false ]

#: comparison_of_sets_is_refused
{ } < { }
#! cannot compare a set with a set; values of that type are incomparable (values are { } and { })

#: comparison_of_different_types_is_refused
1 < "a"
#! cannot compare an integer with a string; values are 1 and "a"

#: comparison_within_lists_is_refused_for_different_types
[ 1 "a" ] < [ 1 2 ]
#! cannot compare a string with an integer; values are "a" and 2

#: comparison_of_booleans_is_refused
true < false
#! cannot compare a Boolean with a Boolean; values of that type are incomparable (values are true and false)

#: equality
[ (1 == 1.0) ("a" == "a") ([ 1 2 ] == [ 1 2 ]) ({ a = 1; } == { a = 1; }) (null == false) (/a == "/a") ]
#= [ true true true true false false ]

#: functions_are_never_equal
let f = x: x; in [ (f == f) ([ f ] == [ f ]) ({ a = f; } == { a = f; }) ]
#= [ false true true ]

#: equality_of_derivations_is_that_of_their_outputs
{ type = "derivation"; outPath = "x"; a = 1; } == { type = "derivation"; outPath = "x"; a = 2; }
#= true

#: inequality_is_not_equality
[ (1 != 2) (1 != 1) ]
#= [ true false ]

#: logic_is_lazy
[ (false && throw "a") (true || throw "b") (false -> throw "c") (!false) (true -> false) ]
#= [ false true true true false ]

#: implication_groups_to_the_right
(false -> false) -> false
#= false

#: implication_without_parentheses
false -> false -> false
#= true

#: logic_needs_booleans
1 && true
#! expected a Boolean but found an integer: 1
#@ 1:3

#: or_needs_booleans_on_the_right_too
false || "x"
#! expected a Boolean but found a string: "x"
#@ 1:7

#: not_needs_a_boolean
!null
#! expected a Boolean but found null: null
#@ 1:2

#: and_binds_tighter_than_or
true || false && false
#= true

#: not_binds_tighter_than_equality
!true == false
#= true

#: update_takes_the_right
{ a = 1; b = 1; } // { b = 2; c = 2; } // { c = 3; }
#= { a = 1; b = 2; c = 3; }

#: update_is_shallow
{ a.b = 1; a.c = 2; } // { a.b = 3; }
#= { a = { b = 3; }; }

#: update_needs_sets
{ } // 1
#! expected a set but found an integer: 1

#: update_needs_sets_on_the_left
[ ] // { }
#! expected a set but found a list: [ ]

#: concatenation_of_lists
[ 1 ] ++ [ ] ++ [ 2 [ 3 ] ]
#= [ 1 2 [ 3 ] ]

#: concatenation_needs_lists
[ 1 ] ++ 2
#! expected a list but found an integer: 2

#: a_chain_of_lists_is_evaluated_from_the_left
[ ] ++ builtins.trace "one" [ 1 ] ++ (builtins.trace "two" [ 2 ] ++ [ ]) ++ builtins.trace "three" [ 3 ]
#~ trace: one
#~ trace: two
#~ trace: three
#= [ 1 2 3 ]

#: a_chain_of_lists_is_checked_from_the_right
1 ++ 2 ++ [ ] ++ [ ]
#! expected a list but found an integer: 2

#: the_last_two_of_a_chain_are_checked_in_order
[ ] ++ [ ] ++ 1 ++ 2
#! expected a list but found an integer: 1

#: a_chain_of_lists_is_evaluated_before_it_is_checked
1 ++ [ ] ++ throw "evaluated"
#! evaluated

#: has_attribute
let s = { a.b = null; }; in [ (s ? a) (s ? a.b) (s ? a.b.c) (s ? b) (1 ? a) (s ? "a") (s ? ${"a"}.b) ]
#= [ true true false false false true true ]

#: has_attribute_binds_tighter_than_not
!{ } ? a
#= true

#: plus_coerces_what_stands_right_of_a_string
"a" + "b" + "c"
#= "abc"

#: plus_refuses_a_number_right_of_a_string
"a" + 1
#! cannot coerce an integer to a string: 1

#: plus_refuses_a_string_right_of_a_number
1 + "a"
#! cannot add a string to an integer
#@ 1:5

#: plus_refuses_sets
{ } + 1
#! cannot coerce a set to a string: { }

#: plus_takes_sets_with_to_string
{ __toString = _: "x"; } + "y"
#= "xy"

#: plus_takes_sets_with_out_path
"y" + { outPath = "x"; }
#= "yx"

#: minus_of_a_string
(-"a")
#! expected an integer but found a string: "a"

#: non_associative_comparison
1 < 2 < 3
#! syntax error, unexpected '<'
#@ 1:7

#: non_associative_equality
1 == 1 == true
#! syntax error, unexpected '=='
#@ 1:8

#: operators_can_be_rebound
let __sub = a: b: "sub"; __lessThan = a: b: "less"; in [ (1 - 2) (1 < 2) (2 > 1) ]
#= [ "sub" "less" "less" ]

#: application_binds_tightest
let f = x: x + 1; in [ (f 1 + 1) (f (1 + 1)) (-f 1) ]
#= [ 3 3 -2 ]

#: selection_binds_tighter_than_application
let f = x: x; s.f = x: x * 2; s.v = 3; in s.f s.v
#= 6
