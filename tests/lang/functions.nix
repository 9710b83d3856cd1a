# Functions, formals, calls, scopes.

#: identity
(x: x) 5
#= 5

#: currying
(a: b: c: [ a b c ]) 1 2 3
#= [ 1 2 3 ]

#: formals
({ a, b }: a - b) { a = 5; b = 3; }
#= 2

#: formals_with_defaults_see_each_other
({ a ? b + 1, b ? 10 }: [ a b ]) { }
#= [ 11 10 ]

#: defaults_are_lazy
({ a ? throw "never", b }: b) { b = 1; }
#= 1

#: formals_with_ellipsis
({ a, ... }: a) { a = 1; b = 2; }
#= 1

#: at_pattern_before_and_after
[ ((x@{ a, ... }: x) { a = 1; b = 2; }) (({ a, ... }@x: x) { a = 3; c = 4; }) ]
#= [ { a = 1; b = 2; } { a = 3; c = 4; } ]

#: at_pattern_has_no_defaults
({ a ? 1 }@x: x) { }
#= { }

#: missing_argument
({ a, b }: a) { a = 1; }
#! function 'anonymous lambda' called without required argument 'b'
#@ 1:2

#: missing_argument_names_the_function
let f = { first, second }: first; in f { first = 1; }
#! function 'f' called without required argument 'second'
#@ 1:9

#: unexpected_argument
({ a }: a) { a = 1; b = 2; }
#! function 'anonymous lambda' called with unexpected argument 'b'
#@ 1:2
#? a

#: unexpected_argument_with_a_likely_name
let f = { alpha, beta ? 1 }: alpha; in f { alpha = 1; betta = 2; }
#! function 'f' called with unexpected argument 'betta'
#@ 1:9
#? beta

#: formals_need_a_set
({ a }: a) 1
#! expected a set but found an integer: 1

#: formals_need_a_set_named
let function = { a }: a; in function [ ]
#! expected a set but found a list: [ ]

#: duplicate_formal
{ a, b, a }: a
#! duplicate formal function argument 'a'
#@ 1:9

#: duplicate_formal_and_whole
a@{ a }: a
#! duplicate formal function argument 'a'
#@ 1:1

#: calling_a_number
1 2
#! attempt to call something which is not a function but an integer: 1
#@ 1:1

#: calling_a_set
{ a = 1; } 2
#! attempt to call something which is not a function but a set: { a = 1; }
#@ 1:1

#: calling_a_string
let f = "f"; in f 1
#! attempt to call something which is not a function but a string: "f"
#@ 1:17

#: too_many_arguments
(x: x) 1 2
#! attempt to call something which is not a function but an integer: 1
#@ 1:1

#: functions_print
[ (x: x) builtins.map (builtins.map (x: x)) ]
#= [ <LAMBDA> <PRIMOP> <PRIMOP-APP> ]

#: functions_are_no_strings
"${x: x}"
#! cannot coerce a function to a string: «lambda @ «string»:1:4»

#: closures_keep_their_scope
let mk = n: x: x + n; add1 = mk 1; add10 = mk 10; in [ (add1 1) (add10 1) ]
#= [ 2 11 ]

#: inner_variables_shadow
let x = 1; f = x: let x = 3; in x; in [ (f 2) x ]
#= [ 3 1 ]

#: with
with { a = 1; b = 2; }; [ a b ]
#= [ 1 2 ]

#: inner_with_wins
with { a = 1; }; with { a = 2; }; a
#= 2

#: let_wins_over_with
let a = 1; in with { a = 2; }; a
#= 1

#: builtins_win_over_with
with { true = "no"; }; true
#= true

#: with_is_lazy
with throw "never"; 1
#= 1

#: with_needs_a_set
with 1; a
#! expected a set but found an integer: 1

#: with_without_the_name
with { alpha = 1; }; alhpa
#! undefined variable 'alhpa'
#@ 1:22

#: undefined_variable
undefined
#! undefined variable 'undefined'
#@ 1:1

#: undefined_variable_with_a_likely_name (ours)
let value = 1; in vaule
#! undefined variable 'vaule'
#@ 1:19
#? value

#: undefined_variable_like_a_builtin (ours)
builtin
#! undefined variable 'builtin'
#@ 1:1
#? builtins

#: undefined_variable_is_found_before_anything_is_evaluated
[ (throw "never") nope ]
#! undefined variable 'nope'
#@ 1:19

#: let_is_recursive
let even = n: if n == 0 then true else odd (n - 1); odd = n: if n == 0 then false else even (n - 1); in even 100
#= true

#: let_order_does_not_matter
let a = b; b = c; c = 1; in a
#= 1

#: duplicate_variable
let a = 1; a = 2; in a
#! attribute 'a' already defined at «string»:1:5
#@ 1:12

#: let_with_inherit
let s = { a = 1; }; inherit (s) a; in a
#= 1

#: infinite_recursion_of_a_variable
let x = x; in x
#! infinite recursion encountered
#@ 1:9

#: infinite_recursion_of_two
let a = b + 1; b = a + 1; in a
#! infinite recursion encountered
#@ 1:20

#: infinite_recursion_of_an_attribute
rec { a = b; b = a; }
#! infinite recursion encountered
#@ 1:11

#: infinite_recursion_through_a_set
let s = s // { a = 1; }; in s
#! infinite recursion encountered
#@ 1:9

#: a_set_may_refer_to_itself
let s = { a = 1; b = s.a + 1; }; in s.b
#= 2

#: endless_calls_overflow_the_stack
let f = x: f (x + 1); in f 0
#! stack overflow; max-call-depth exceeded
#@ 1:12

#: endless_calls_not_in_tail_position
let f = x: 1 + f x; in f 0
#! stack overflow; max-call-depth exceeded
#@ 1:16

#: deep_recursion_works
let sum = n: if n == 0 then 0 else n + sum (n - 1); in sum 5000
#= 12502500

#: long_tail_calls_are_counted
let loop = n: if n == 0 then "done" else loop (n - 1); in loop 9000
#= "done"

#: folds_do_not_recurse
builtins.foldl' (a: b: a + b) 0 (builtins.genList (x: x) 100000)
#= 4999950000

#: fixed_points
let fix = f: let x = f x; in x; in fix (self: { a = 1; b = self.a + 1; })
#= { a = 1; b = 2; }

#: call_arguments_are_lazy
(x: 1) (throw "never")
#= 1

#: ellipsis_alone
({ ... }: 1) { a = 1; }
#= 1

#: default_may_use_the_whole
({ a ? x.b, ... }@x: a) { b = 7; }
#= 7

#: argument_sets_are_not_forced
({ a, b }: a) { a = 1; b = throw "never"; }
#= 1

#: function_in_a_list_needs_parentheses
builtins.length [ (x: x) ]
#= 1

#: function_body_extends_far
(x: x + 1 == 2) 1
#= true

#: scoped_variables_in_dynamic_names
let f = n: { ${n} = n; }; in f "a" // f "b"
#= { a = "a"; b = "b"; }

#: curried_functions_with_some_of_their_arguments
let
  f = a: b: c: d: e: [ a b c d e ];
  some = f 1 2;
in [ (some 3 4 5) (some 6 7 8) (map (f 1 2 3 4) [ 5 6 ]) ]
#= [ [ 1 2 3 4 5 ] [ 1 2 6 7 8 ] [ [ 1 2 3 4 5 ] [ 1 2 3 4 6 ] ] ]

#: curried_functions_see_what_is_around_them
let x = 10; f = a: let y = a; in b: with { c = 3; }; d: x + y + b + c + d; in f 1 2 4
#= 20

#: the_innermost_of_equal_parameters
(a: b: a: [ a b ]) 1 2 3
#= [ 3 2 ]

#: curried_functions_with_formals_between
({ a }: b: c: { d }: e: f: [ a b c d e f ]) { a = 1; } 2 3 { d = 4; } 5 6
#= [ 1 2 3 4 5 6 ]

#: arguments_are_evaluated_when_they_are_needed
(a: b: if b then [ a b ] else [ ]) (builtins.trace "a" 1) (builtins.trace "b" true)
#~ trace: b
#~ trace: a
#= [ 1 true ]

#: arguments_that_are_not_needed
[ ((a: b: b) (throw "never") 1) ((a: b: if b then 1 else a) (throw "never") (1 < 2)) ]
#= [ 1 1 ]

#: needed_arguments_that_fail
map (f: builtins.tryEval (f (throw "a"))) [ (x: if x then 1 else 2) (x: x.y or 1) (x: x + 1) ]
#= [ { success = false; value = false; } { success = false; value = false; } { success = false; value = false; } ]

#: a_deep_chain_of_needed_arguments_that_fails
let g = x: x + 1; f = n: if n == 0 then throw "deep" else g (f (n - 1)); in f 3000
#! deep
