# What does not parse, and what is said of it.

#: nothing_at_all
# only a comment
#! syntax error, unexpected end of file
#@ 1:17

#: an_unclosed_parenthesis
(1 + 2
#! syntax error, unexpected end of file, expecting ')'
#@ 1:7

#: an_unclosed_list
[ 1 2
#! syntax error, unexpected end of file
#@ 1:6

#: an_unclosed_set
{ a = 1;
#! syntax error, unexpected end of file, expecting 'inherit'
#@ 1:9

#: an_unclosed_string
"abc
#! syntax error, unexpected end of file, expecting '"'
#@ 1:5

#: an_unclosed_indented_string
''abc
#! syntax error, unexpected end of file, expecting indented string or '${' or end of an indented string
#@ 1:6

#: an_unclosed_interpolation
"${1"
#! syntax error, unexpected end of file, expecting '"'
#@ 1:6

#: an_unclosed_comment
/* abc
#! syntax error, unexpected '/'
#@ 1:1

#: a_missing_semicolon
{ a = 1 b = 2; }
#! syntax error, unexpected '=', expecting ';'
#@ 1:11

#: a_missing_value
{ a = ; }
#! syntax error, unexpected ';'
#@ 1:7

#: a_missing_name
{ = 1; }
#! syntax error, unexpected '=', expecting 'inherit'
#@ 1:3

#: a_missing_in
let a = 1; a
#! syntax error, unexpected end of file, expecting '.' or '='
#@ 1:13

#: a_missing_then
if true 1 else 2
#! syntax error, unexpected 'else', expecting 'then'
#@ 1:11

#: a_missing_body
x:
#! syntax error, unexpected end of file
#@ 1:3

#: a_stray_brace
}
#! syntax error, unexpected '}'
#@ 1:1

#: a_stray_semicolon
1; 2
#! syntax error, unexpected ';', expecting end of file
#@ 1:2

#: a_keyword_is_no_variable
let if = 1; in if
#! syntax error, unexpected 'if', expecting 'in' or 'inherit'
#@ 1:5

#: an_operator_without_operand
1 +
#! syntax error, unexpected end of file
#@ 1:4

#: an_operator_without_left_operand
* 2
#! syntax error, unexpected '*'
#@ 1:1

#: two_expressions
1 == 2 3 =
#! syntax error, unexpected '=', expecting end of file
#@ 1:10

#: a_bad_character
a & b
#! syntax error, unexpected invalid token, expecting end of file
#@ 1:3

#: a_lonely_dollar
$ 1
#! syntax error, unexpected invalid token
#@ 1:1

#: a_comma_in_a_list
[ 1, 2 ]
#! syntax error, unexpected ','
#@ 1:4

#: a_formal_after_the_ellipsis
{ ..., a }: a
#! syntax error, unexpected ',', expecting '}'
#@ 1:6

#: two_at_patterns
a@{ b }@c: b
#! syntax error, unexpected '@', expecting ':'
#@ 1:8

#: a_number_cannot_be_a_name
{ 1 = 2; }
#! syntax error, unexpected integer, expecting 'inherit'
#@ 1:3

#: with_needs_a_semicolon
with { } 1
#! syntax error, unexpected end of file, expecting ';'
#@ 1:11

#: assert_needs_a_semicolon
assert true 1
#! syntax error, unexpected end of file, expecting ';'
#@ 1:14

#: inherit_needs_names
{ inherit a = 1; }
#! syntax error, unexpected '='
#@ 1:13

#: an_equals_sign_in_an_expression
(a = 1)
#! syntax error, unexpected '=', expecting ')'
#@ 1:4

#: the_place_is_found_over_lines
{
  a = 1;
  b = [
    2
  c = 3;
}
#! syntax error, unexpected '='
#@ 5:5

#: pipes_are_off
1 |> (x: x)
#! experimental Nix feature 'pipe-operators' is disabled; add '--extra-experimental-features pipe-operators' to enable it
#@ 1:3

#: an_undefined_variable_in_a_function_is_found
x: y
#! undefined variable 'y'
#@ 1:4

#: dynamic_names_are_not_inherited
{ inherit ${"a"}; }
#! undefined variable 'a'
#@ 1:11

#: rec_needs_a_set
rec 1
#! syntax error, unexpected integer, expecting '{'
#@ 1:5

#: a_path_with_two_slashes_is_a_path
a//b
#! undefined variable 'a'
#@ 1:1

#: a_trailing_dot
{ a = 1; }.
#! syntax error, unexpected end of file, expecting identifier or 'or' or '${' or '"'
#@ 1:12

#: or_without_default
{ a = 1; }.a or
#! syntax error, unexpected end of file
#@ 1:16
