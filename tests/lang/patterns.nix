# Regular expressions: `match` and `split` agree with Nix's, also where a pattern is odd. A case
# of ours is one that Nix would be at for longer than anyone waits.

#: repetitions_of_repetitions
[
  (builtins.match "a***b" "aaab")
  (builtins.match "(a**)(a+?)(a?+)b" "aaaab")
  (builtins.match "(a?+)(a+*)" "aa")
  (builtins.match "(a??)(a*)" "aa")
  (builtins.match "(a{0,2}*)b" "aaaab")
  (builtins.match "((a*)*)*b" "aab")
]
#= [ [ ] [ "aaaa" "" "" ] [ "aa" "" ] [ "a" "a" ] [ "aaaa" ] [ "" "" ] ]

#: many_repetitions_of_a_repetition_end (ours)
builtins.match ",a************b" ",aaaaaaaaaaaaaaaaaaaaaaaaa"
#= null
