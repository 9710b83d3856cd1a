#!/bin/sh
# Re-pins the seed: resolves sets.txt against Debian's package index and prints or writes the
# data file with every package's version, path below the mirror, size and SHA-256.
#
#   update.sh [--stdout] [MIRROR]
#
# The index is read through a private apt root, so nothing of the host's apt state is changed
# and only the frozen main pool of the release is seen (no -updates, no -security: their files
# vanish from mirrors when the next point release comes). apt checks the archive's signature
# with Debian's keyring. MIRROR defaults to the one that this machine's own apt uses.
set -eu

release=bookworm
arch=amd64
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

die() {
    echo "update.sh: $*" >&2
    exit 1
}

to_stdout=
if [ "${1-}" = --stdout ]; then
    to_stdout=1
    shift
fi
[ $# -le 1 ] || die "usage: update.sh [--stdout] [MIRROR]"

for tool in apt-get apt-cache awk base64 basenc; do
    command -v "$tool" >/dev/null || die "needs '$tool' (run this on a Debian system)"
done
[ -r "$keyring" ] || die "needs '$keyring' (package debian-archive-keyring)"

# The first archive named Debian, without suffix, that this machine's apt knows.
own_mirror() {
    # shellcheck disable=SC2016 # apt expands these, not the shell
    apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' 'Created-By: Packages' |
        awk '$1 == "Debian" && $2 ~ /\/debian\/?$/ { print $2; exit }'
}
mirror=${1:-$(own_mirror)}
[ -n "$mirror" ] || die "this machine's apt names no Debian mirror; give one as argument"

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
trap 'exit 1' HUP INT TERM
mkdir -p "$work/parts" "$work/state/lists/partial" "$work/cache/archives/partial"
: >"$work/status"
echo "deb [arch=$arch signed-by=$keyring] $mirror $release main" >"$work/sources.list"
cat >"$work/apt.conf" <<EOF
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "$work/parts";
Dir::Etc::main "$work/none";
Dir::Etc::parts "$work/parts";
Dir::Etc::preferences "$work/none";
Dir::Etc::preferencesparts "$work/parts";
Dir::State "$work/state";
Dir::State::status "$work/status";
Dir::Cache "$work/cache";
APT::Architecture "$arch";
APT::Architectures { "$arch"; };
APT::Install-Recommends "false";
APT::Install-Suggests "false";
APT::Sandbox::User "";
Acquire::Languages "none";
EOF
export APT_CONFIG="$work/apt.conf" LC_ALL=C
apt-get -qq update >&2 || die "cannot read the index of '$mirror'"

closure() {
    apt-get -qq --simulate install "$@" | awk '$1 == "Inst" { print $2 }'
}

newest() {
    apt-cache pkgnames | while read -r name; do
        # shellcheck disable=SC2254 # a pattern on purpose
        case $name in $1) echo "$name" ;; esac
    done | sort -V | tail -n 1
}

# Prints "SET NAME" for every package of every set; a pattern that matches nothing is an error.
resolve() {
    drops="$work/drops"
    grep -v -e '^#' -e '^$' "$here/sets.txt" >"$work/sets"
    awk '$2 == "drop" { for (i = 3; i <= NF; i++) print $1, $i }' "$work/sets" >"$drops"
    set -f
    while read -r set_name kind args; do
        # shellcheck disable=SC2086 # the arguments are a list of names
        case $kind in
            exact) printf '%s\n' $args ;;
            newest) newest "$args" ;;
            closure) closure $args ;;
            drop) continue ;;
            *) die "sets.txt: '$kind' is not exact, newest, closure or drop" ;;
        esac >"$work/names"
        [ -s "$work/names" ] || die "sets.txt: nothing found for '$set_name $kind $args'"
        while read -r name; do
            dropped "$set_name" "$name" || echo "$set_name $name"
        done <"$work/names"
    done <"$work/sets"
    set +f
}

dropped() {
    while read -r drop_set pattern; do
        [ "$drop_set" = "$1" ] || continue
        # shellcheck disable=SC2254 # a pattern on purpose
        case $2 in $pattern) return 0 ;; esac
    done <"$drops"
    return 1
}

# Prints one package as a line of JSON: the fields of the index, the hash in SRI form.
package() {
    apt-cache show --no-all-versions "$1" >"$work/record" || die "no package '$1' in $release"
    field() { awk -v want="$1:" '$1 == want { print $2; exit }' "$work/record"; }
    hash=$(field SHA256 | tr a-f A-F | basenc --base16 -d | base64)
    [ "${#hash}" -eq 44 ] || die "the index has no SHA-256 for '$1'"
    printf '{ "name": "%s", "version": "%s", "path": "%s", "hash": "sha256-%s", "size": %s }' \
        "$1" "$(field Version)" "$(field Filename)" "$hash" "$(field Size)"
}

# The moment at which the index was made: the snapshot archive finds the files by it for ever.
snapshot() {
    made=$(sed -n 's/^Date: *//p' "$work"/state/lists/*InRelease | head -n 1)
    [ -n "$made" ] || die "the index of '$mirror' has no date"
    date -u -d "$made" +%Y%m%dT%H%M%SZ
}

snapshot=$(snapshot)
resolve >"$work/unsorted"
sort -u "$work/unsorted" >"$work/resolved"
{
    previous=
    printf '{\n  "snapshot": "%s",' "$snapshot"
    while read -r set_name name; do
        if [ "$set_name" = "$previous" ]; then
            printf ',\n    '
        else
            [ -z "$previous" ] || printf '\n  ],'
            printf '\n  "%s": [\n    ' "$set_name"
        fi
        previous=$set_name
        package "$name"
    done <"$work/resolved"
    printf '\n  ]\n}\n'
} >"$work/pins.json"

if [ -n "$to_stdout" ]; then
    cat "$work/pins.json"
else
    cp "$work/pins.json" "$here/$release-$arch.json"
    echo "update.sh: wrote $here/$release-$arch.json" >&2
fi
