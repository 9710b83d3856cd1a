# if, assert, throw, abort, tryEval, trace, laziness.

#: if_takes_one_branch
[ (if true then 1 else throw "a") (if false then throw "b" else 2) ]
#= [ 1 2 ]

#: if_needs_a_boolean
if 1 then 2 else 3
#! expected a Boolean but found an integer: 1
#@ 1:1

#: if_needs_an_else
if true then 1
#! syntax error, unexpected end of file, expecting 'else'
#@ 1:15

#: nested_if
if false then 1 else if false then 2 else 3
#= 3

#: assert_passes
assert true; 1
#= 1

#: assert_fails
assert 1 > 2; 1
#! assertion '(__lessThan 2 1)' failed
#@ 1:1

#: assert_needs_a_boolean
assert "yes"; 1
#! expected a Boolean but found a string: "yes"
#@ 1:1

#: failed_equality_says_what_differs
assert { a = 1; } == { a = 2; }; 1
#! an integer with value '1' is not equal to an integer with value '2'

#: failed_equality_of_lists
assert [ 1 2 ] == [ 1 ]; 1
#! list of size '2' is not equal to list of size '1', left hand side is '[ 1 2 ]', right hand side is '[ 1 ]'

#: failed_equality_of_strings
assert "a" == "b"; 1
#! string '"a"' is not equal to string '"b"'

#: failed_equality_of_names
assert { a = 1; } == { b = 1; }; 1
#! attribute name 'a' is contained in '{ a = 1; }', but not in '{ b = 1; }'

#: failed_equality_of_types
assert 1 == "1"; 1
#! an integer of value '1' is not equal to a string of value '"1"'

#: throw
throw "message with ${toString 1} number"
#! message with 1 number

#: throw_over_lines
throw "one\ntwo"
#! one
#! two

#: throw_needs_a_string
throw { }
#! cannot coerce a set to a string: { }

#: abort
abort "stop"
#! evaluation aborted with the following error message: 'stop'

#: try_eval_of_a_value
builtins.tryEval 1
#= { success = true; value = 1; }

#: try_eval_of_throw
builtins.tryEval (throw "x")
#= { success = false; value = false; }

#: try_eval_of_assert
builtins.tryEval (assert false; 1)
#= { success = false; value = false; }

#: try_eval_is_shallow
(builtins.tryEval { a = throw "x"; }).success
#= true

#: try_eval_does_not_catch_abort
builtins.tryEval (abort "x")
#! evaluation aborted with the following error message: 'x'

#: try_eval_does_not_catch_type_errors
builtins.tryEval (1 + "a")
#! cannot add a string to an integer
#@ 1:23

#: try_eval_does_not_catch_missing_attributes
builtins.tryEval { }.a
#! attribute 'a' missing
#@ 1:18

#: a_failed_thunk_fails_once
let x = builtins.trace "evaluated" (throw "x"); in [ (builtins.tryEval x).success (builtins.tryEval x).success ]
#~ trace: evaluated
#= [ false false ]

#: a_thunk_is_evaluated_once
let x = builtins.trace "evaluated" 1; in x + x
#~ trace: evaluated
#= 2

#: trace_of_a_set (ours)
builtins.trace { a = 1; b = x: x; c = [ 1 2 ]; } 1
#~ trace: { a = 1; b = «lambda b @ «string»:1:29»; c = «thunk»; }
#= 1

#: trace_of_an_unevaluated_set
builtins.trace { a = 1 + 1; } 1
#~ trace: { a = «thunk»; }
#= 1

#: trace_of_a_string_has_no_quotes
builtins.trace "hello" null
#~ trace: hello
#= null

#: trace_verbose_is_silent
builtins.traceVerbose "hello" 1
#= 1

#: warn
builtins.warn "careful" 1
#~ evaluation warning: careful
#= 1

#: warn_needs_a_string
builtins.warn 1 2
#! expected a string but found an integer: 1

#: seq_is_shallow
builtins.seq { a = throw "never"; } 1
#= 1

#: deep_seq_is_deep
builtins.deepSeq { a = [ (throw "seen") ]; } 1
#! seen

#: deep_seq_knows_cycles
let s = { inherit s; }; in builtins.deepSeq s 1
#= 1

#: list_elements_are_lazy
builtins.length [ (throw "a") (throw "b") ]
#= 2

#: element_of_a_lazy_list
builtins.elemAt [ (throw "a") 2 ] 1
#= 2

#: attributes_are_lazy
{ a = throw "never"; b = 1; }.b
#= 1

#: an_error_in_a_list_is_found_when_printed
[ 1 (throw "seen") ]
#! seen

#: error_context_does_not_change_the_message
builtins.addErrorContext "while testing" (throw "inner")
#! inner

#: interpolation_forces
"a${throw "seen"}"
#! seen

#: interpolation_of_a_number
"a${1}"
#! cannot coerce an integer to a string: 1

#: interpolation_of_null
"a${null}"
#! cannot coerce null to a string: null

#: interpolation_of_a_list
"a${[ "b" ]}"
#! cannot coerce a list to a string: [ "b" ]

#: to_string_takes_more
map toString [ 1 1.5 true false null [ 1 [ 2 ] "x" ] "s" ]
#= [ "1" "1.500000" "1" "" "" "1 2 x" "s" ]

#: to_string_refuses_functions
toString (x: x)
#! cannot coerce a function to a string: «lambda @ «string»:1:11»

#: assertions_print_their_condition
let a = { b = 1; }; in assert a.b + 1 == 3 && !(a ? c); 1
#! assertion '((((a).b + 1) == 3) && (! ((a) ? c)))' failed
#@ 1:24

#: tests_of_names_that_are_bound_later
[
  (let a = b == null; b = 2; in a)
  (let a = b == null; b = null; in a)
  (rec { a = if b == null then "null" else "value"; b = 1; }).a
  (({ a ? b != null, b ? 1 }: a) { })
]
#= [ false true "value" true ]

#: tests_of_what_is_known
let
  x = null;
  s = { a.b = 1; c = null; };
  known = builtins.seq s.a (builtins.seq s.c [
    (x == null)
    (x != null && x.missing)
    (s ? a.b)
    (s ? a.c.d)
    (!(s ? z) -> s.c == 1)
    (s.d or [ ])
    (if s.c == null || throw "no" then s.a.b else throw "no")
    (if x == null then s.a else 1)
  ]);
in known
#= [ true false true false false [ ] 1 { b = 1; } ]
