# Messages about wrong arguments, as people meet them most.

#: length_of_a_number
builtins.length 1
#! expected a list but found an integer: 1

#: map_over_a_set
map (x: x) { }
#! expected a list but found a set: { }

#: map_with_no_function_is_lazy
builtins.length (map 1 [ 1 2 ])
#! expected a function but found an integer: 1

#: map_with_no_function_fails_at_the_element
map 1 [ 1 ]
#! expected a function but found an integer: 1

#: filter_needs_booleans
builtins.filter (x: 1) [ 1 ]
#! expected a Boolean but found an integer: 1

#: element_out_of_bounds
builtins.elemAt [ 1 2 ] 5
#! 'builtins.elemAt' called with index 5 on a list of size 2

#: element_at_a_negative_index
builtins.elemAt [ 1 2 ] (-1)
#! 'builtins.elemAt' called with index -1 on a list of size 2

#: head_of_nothing
builtins.head [ ]
#! 'builtins.head' called on an empty list

#: tail_of_nothing
builtins.tail [ ]
#! 'builtins.tail' called on an empty list

#: get_attr_of_a_missing_name
builtins.getAttr "b" { a = 1; }
#! attribute 'b' missing

#: attr_names_of_a_list
builtins.attrNames [ ]
#! expected a set but found a list: [ ]

#: list_to_attrs_needs_names
builtins.listToAttrs [ { value = 1; } ]
#! attribute 'name' missing

#: list_to_attrs_first_wins
builtins.listToAttrs [ { name = "a"; value = 1; } { name = "a"; value = 2; } ]
#= { a = 1; }

#: concat_strings_sep_needs_strings
builtins.concatStringsSep "," [ 1 ]
#! cannot coerce an integer to a string: 1

#: substring_from_a_negative_place
builtins.substring (-1) 2 "abc"
#! negative start position in 'substring'

#: replace_strings_of_different_lengths
builtins.replaceStrings [ "a" ] [ ] "a"
#! 'from' and 'to' arguments passed to builtins.replaceStrings have different lengths

#: match_with_a_bad_pattern
builtins.match "(" "a"
#! invalid regular expression '('

#: from_json_that_is_none
builtins.fromJSON "{"
#! [json.exception.parse_error.101] parse error at line 1, column 2: syntax error while parsing object key - unexpected end of input; expected string literal

#: to_json_of_a_function
builtins.toJSON (x: x)
#! cannot convert a function to JSON
#@ 1:18

#: to_int_of_a_word
builtins.fromJSON "abc"
#! [json.exception.parse_error.101] parse error at line 1, column 1: syntax error while parsing value - invalid literal; last read: 'a'

#: sort_needs_a_function
builtins.sort 1 [ 2 1 ]
#! expected a function but found an integer: 1

#: sort_needs_booleans
builtins.sort (a: b: 1) [ 2 1 ]
#! expected a Boolean but found an integer: 1

#: fold_over_a_number
builtins.foldl' (a: b: a) 0 1
#! expected a list but found an integer: 1

#: gen_list_of_a_negative_length
builtins.genList (x: x) (-1)
#! cannot create list of size -1

#: gen_list_needs_an_integer
builtins.genList (x: x) "3"
#! expected an integer but found a string: "3"

#: import_of_nothing
import /no/such/file.nix
#! path '/no/such/file.nix' does not exist

#: import_of_a_number
import 1
#! cannot coerce an integer to a string: 1

#: read_file_that_is_not_there
builtins.readFile /no/such/file
#! path '/no/such/file' does not exist

#: a_name_in_brackets_that_is_nowhere
<no-such-thing>
#! file 'no-such-thing' was not found in the Nix search path (add it using $NIX_PATH or -I)

#: hash_of_an_unknown_kind
builtins.hashString "md4" "a"
#! unknown hash algorithm 'md4', expect 'blake3', 'md5', 'sha1', 'sha256', or 'sha512'

#: a_derivation_without_builder
(derivation { name = "x"; system = "y"; }).drvPath
#! required attribute 'builder' missing

#: a_derivation_without_name
(derivation { builder = "x"; system = "y"; }).drvPath
#! attribute 'name' missing

#: a_derivation_with_a_bad_name
(derivation { name = "a b"; builder = "x"; system = "y"; }).drvPath
#! invalid derivation name: name 'a b' contains illegal character ' '. Please pass a different 'name'.

#: a_derivation_with_a_function_for_an_attribute
(derivation { name = "x"; builder = "x"; system = "y"; f = x: x; }).drvPath
#! cannot coerce a function to a string: «lambda f @ «string»:1:60»

#: a_derivation
(derivation { name = "x"; builder = "/bin/sh"; system = "y"; }).drvPath
#= "/nix/store/8r26l1pmjgczh2asasxjk8vc1bfix9xw-x.drv"

#: to_file_with_a_bad_name
builtins.toFile "a/b" "c"
#! path '5dw7wrvlsrgxnazj941dch7y41lxc4hr-a/b' is not a valid store path: name 'a/b' contains illegal character '/'

#: an_unknown_builtin_with_a_likely_name
builtins.lenght [ ]
#! attribute 'lenght' missing
#@ 1:1
#? length

#: a_wrong_type_says_what_it_is
builtins.stringLength { a = 1; b = [ 1 2 3 ]; }
#! cannot coerce a set to a string: { a = 1; b = «thunk»; }

#: long_values_are_cut_in_messages
builtins.stringLength (builtins.genList (x: { inherit x; }) 100)
#! cannot coerce a list to a string: [ «thunk» «thunk» «thunk» «thunk» «thunk» «thunk» «thunk» «thunk» «thunk» «thunk» «90 items elided» ]

#: unevaluated_values_are_thunks_in_messages
builtins.stringLength { a = 1 + 1; }
#! cannot coerce a set to a string: { a = «thunk»; }

#: get_attr_from_a_call
(x: { a = x; }) 1 + 1
#! cannot coerce a set to a string: { a = 1; }
