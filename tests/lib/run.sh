#!/bin/sh
# Run the library's tests: the suites of this folder, the examples of lib's doc comments, and, where
# PICNIX_NIXPKGS_LIB names a checkout of nix-community/nixpkgs.lib, that library's own tests with our lib
# in the place of theirs (nothing of it is copied into this repository).
#
#   NIX_INSTANTIATE   the evaluator, "nix-instantiate" unless set; words are split
#   PICNIX_KEEP       keep the temporary folder and print its name
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(dirname -- "$(dirname -- "$here")")
nix=${NIX_INSTANTIATE:-nix-instantiate}
work=$(mktemp -d)
if [ -n "${PICNIX_KEEP:-}" ]; then echo "temporary folder: $work"; else trap 'rm -rf "$work"' EXIT; fi
failed=0

# A suite evaluates to the list of its failures.
suite() {
  name=$1
  file=$2
  # shellcheck disable=SC2086  # the evaluator may be several words
  if result=$($nix --eval --strict "$file" 2>"$work/stderr") && [ "$result" = "[ ]" ]; then
    echo "ok    $name"
  else
    echo "FAIL  $name"
    echo "${result:-}"
    cat "$work/stderr"
    failed=1
  fi
}

for file in "$here"/*.nix; do
  suite "$(basename "$file")" "$file"
done

# A file of messages/ must fail with every text that its `#~` lines hold; those that begin with `_` are
# read by others.
for file in "$here"/messages/[!_]*.nix; do
  name=messages/$(basename "$file")
  # shellcheck disable=SC2086
  if $nix --eval --strict --show-trace "$file" >"$work/stdout" 2>"$work/stderr"; then
    echo "FAIL  $name: no error"
    failed=1
    continue
  fi
  grep '^#~ ' "$file" | cut -c4- >"$work/expected"
  missing=0
  while IFS= read -r text; do
    grep -qF -- "$text" "$work/stderr" || { missing=1; echo "FAIL  $name: not in the message: $text"; }
  done <"$work/expected"
  if [ "$missing" = 0 ]; then echo "ok    $name"; else cat "$work/stderr"; failed=1; fi
done

# Example: `EXPRESSION` => `VALUE`     (two backticks each where there is one inside)
examples=$work/examples.nix
{
  echo "let lib = import $root/lib; in with lib; runTests {"
  find "$root/lib" -name '*.nix' | LC_ALL=C sort | while read -r file; do
    awk -v name="${file#"$root"/}" '
      match($0, /Example: ``?.*``?/) {
        text = substr($0, RSTART + 9)
        sub(/[ \t]*\*\/[ \t]*$/, "", text)
        at = index(text, "` => `")
        if (!at) next
        expr = substr(text, 1, at - 1)
        value = substr(text, at + 6)
        gsub(/^`+|`+$/, "", expr)
        gsub(/^`+|`+$/, "", value)
        printf "  \"test %s:%d\" = { expr = %s; expected = %s; };\n", name, NR, expr, value
      }' "$file"
  done
  echo "}"
} >"$examples"
suite "doc comments ($(grep -c expected "$examples") examples)" "$examples"

# nixpkgs' tests, beside a copy of our lib in the temporary folder.
if [ -z "${PICNIX_NIXPKGS_LIB:-}" ]; then
  echo "skip  nixpkgs' own tests: PICNIX_NIXPKGS_LIB is not set"
  exit "$failed"
fi

theirs=$work/nixpkgs/lib
mkdir -p "$work/bin" "$work/nixpkgs"
cp -R "$root/lib" "$theirs"
cp -R "$PICNIX_NIXPKGS_LIB/lib/tests" "$theirs/tests"
cp "$PICNIX_NIXPKGS_LIB/lib/path/tests/unit.nix" "$work/nixpkgs/path-unit.nix"
printf '#!/bin/sh\nexec %s "$@"\n' "$nix" >"$work/bin/nix-instantiate"
chmod +x "$work/bin/nix-instantiate"
# An evaluation may be slow on a loaded machine: no limit of a second.
sed -i 's/--timeout 1 //' "$theirs/tests/modules.sh"

# sources.sh is left out: it enters store paths, which a rootless store has elsewhere.
for script in modules filesystem debug; do
  if (cd "$work/nixpkgs" && PATH=$work/bin:$PATH TEST_LIB=$theirs bash "lib/tests/$script.sh") \
    >"$work/log" 2>&1; then
    echo "ok    nixpkgs $script.sh $(grep ' Pass$' "$work/log" || true)"
  else
    echo "FAIL  nixpkgs $script.sh"
    cat "$work/log"
    failed=1
  fi
done

suite "nixpkgs misc.nix" "$theirs/tests/misc.nix"
cat >"$work/nixpkgs/path.nix" <<'NIX'
builtins.seq (import ./path-unit.nix { libpath = ./lib; }) [ ]
NIX
suite "nixpkgs path/tests/unit.nix" "$work/nixpkgs/path.nix"

exit "$failed"
