# Numbers, strings, lists and what they print as.

#: integers
[ 0 7 (-7) 9223372036854775807 (-9223372036854775807 - 1) 007 ]
#= [ 0 7 -7 9223372036854775807 -9223372036854775808 7 ]

#: an_integer_beyond_64_bits
9223372036854775808
#! invalid integer '9223372036854775808'
#@ 1:1

#: floats
[ 1.0 .5 1.e3 1.5e-3 123456789.0 0.1 1.0e100 (-0.0) 3.14159265358979 ]
#= [ 1 0.5 1000 0.0015 1.23457e+08 0.1 1e+100 0 3.14159 ]

#: a_float_without_digits_before_the_point_is_no_selection
{ a = 1; }.a + .5
#= 1.5

#: an_exponent_needs_a_point
1e3
#! undefined variable 'e3'
#@ 1:2

#: strings_and_their_escapes
[ "a\nb" "tab\tend" "\r" "\"" "\\" "\${x}" "$" "$$" "$${x}" "\q" ]
#= [ "a\nb" "tab\tend" "\r" "\"" "\\" "\${x}" "$" "$$" "$\${x}" "q" ]

#: a_string_over_lines
"one
two"
#= "one\ntwo"

#: line_ends_of_windows_in_strings
builtins.stringLength "a
b"
#= 3

#: nested_interpolation
let x = "x"; in "a${"b${"c${x}"}"}d"
#= "abcxd"

#: indented_strings_lose_common_indentation
''
  one
    two
  three
''
#= "one\n  two\nthree\n"

#: indented_strings_first_line_after_quotes_counts
''  one
    two''
#= "one\n  two"

#: indented_strings_empty_lines_do_not_count
''

    a

    b
''
#= "\na\n\nb\n"

#: indented_strings_escapes
[ ''a''$b'' ''a''${b}'' ''a'''b'' ''a''\nb'' ''a''\tb'' ''$'' ''$$'' ''a\nb'' ]
#= [ "a$b" "a\${b}" "a''b" "a\nb" "a\tb" "$" "$$" "a\\nb" ]

#: indented_strings_with_interpolation_keep_inner_lines
let x = "1\n2"; in ''
  a ${x}
    b
''
#= "a 1\n2\n  b\n"

#: indented_strings_with_tabs
''
	a
	  b
''
#= "\ta\n\t  b\n"

#: urls_are_strings
[ http://example.org/a?b=c&d mailto:x@y a:b ]
#= [ "http://example.org/a?b=c&d" "mailto:x@y" "a:b" ]

#: a_colon_with_space_is_a_function
(x: x) 1
#= 1

#: lists_take_operands_not_calls
[ (builtins.length) 1 (-1) [ ] [ [ ] ] { } "a" ./b ]
#= [ <PRIMOP> 1 -1 [ ] [ [ ] ] { } "a" /case/b ]

#: booleans_and_null_are_variables
let true = 1; null = 2; in [ true null false ]
#= [ 1 2 false ]

#: comments
/* one */ 1 # two
+ /* three
four **/ 2
#= 3

#: attribute_names_may_be_strings_and_keywords
{ "a b" = 1; "if" = 2; or = 3; a' = 4; a-b = 5; _x = 6; "" = 7; "1" = 8; "ä" = 9; }
#= { "" = 7; "1" = 8; _x = 6; "a b" = 1; a' = 4; a-b = 5; "if" = 2; or = 3; "ä" = 9; }

#: absolute_and_relative_paths
[ /a/b ./x ../y ./x/../z /a//b /. ./. ]
#! syntax error, unexpected end of path, expecting '${'
#@ 1:29

#: paths_with_interpolation
let x = "b/c"; in [ (./a + "/d") ./a/${x}/d /${x} ]
#= [ /case/a/d /case/a/b/c/d /b/c ]

#: a_path_may_not_end_with_a_slash
./a/
#! path has a trailing slash
#@ 1:1

#: a_string_with_context_is_no_part_of_a_path
./a/${builtins.toFile "x" "y"}
#! a string that refers to a store path cannot be appended to a path
#@ 1:1

#: path_plus_string_and_string_plus_path_differ_in_type
map builtins.typeOf [ (/a + "b") (/a + /b) ]
#= [ "path" "path" ]

#: unicode_is_bytes
builtins.stringLength "aäb"
#= 4

#: null_bytes_are_refused
builtins.fromJSON ''"\u0000"''
#! input string '␀' cannot be represented as Nix string because it contains null bytes

#: minus_is_an_operator_unless_in_a_name
let a-b = 1; a = 5; b = 3; in [ a-b (a - b) (a -b) ]
#= [ 1 2 2 ]

#: a_number_may_touch_a_name
[ (1.5) 1a ]
#! undefined variable 'a'
#@ 1:10

#: cur_pos
builtins.typeOf __curPos
#= "null"
