# shellcheck shell=sh
# Links the union of the trees $paths into $out; see build-env.nix. $paths is in the order in
# which packages win, $priorities has their priorities in that order.

: "${paths?}" "${priorities?}" "${pathsToLink:?}" "${ignoreCollisions?}" "${out:?}"

# The packages that have the file or folder $1, in order.
providers_of() {
    for package in $paths; do
        if [ -e "$package$1" ] || [ -L "$package$1" ]; then
            echo "$package"
        fi
    done
}

# The priority of the package $1.
priority_of() {
    echo "$paths" "$priorities" | awk -v want="$1" '
        { for (i = 1; i <= NF / 2; i++) if ($i == want) { print $(i + NF / 2); exit } }'
}

all_folders() {
    for package in $providers; do
        [ -d "$package$path" ] || return 1
    done
}

# Whether the file $path of the first provider may hide that of all others.
may_win() {
    [ -z "$ignoreCollisions" ] || return 0
    for package in $providers; do
        [ "$package" != "$first" ] || continue
        same_file "$first$path" "$package$path" ||
            [ "$(priority_of "$first")" -lt "$(priority_of "$package")" ] || return 1
    done
}

same_file() {
    [ -f "$1" ] && [ -f "$2" ] && cmp -s "$1" "$2"
}

# Links $1 where it comes from one package, merges it where it is a folder of several. A
# subshell, because it calls itself.
link() (
    path=$1
    providers=$(providers_of "$path")
    [ -n "$providers" ] || exit 0
    first=${providers%%[!0-9a-zA-Z/._+?=-]*}
    mkdir -p "$out$(dirname "$path")"
    if [ "$first" = "$providers" ] && [ -n "$path" ]; then
        ln -s "$first$path" "$out$path"
    elif all_folders; then
        mkdir -p "$out$path"
        for package in $providers; do ls -A "$package$path/"; done | sort -u |
            while read -r name; do link "$path/$name"; done
    elif may_win; then
        ln -s "$first$path" "$out$path"
    else
        echo "buildEnv: these packages all have '$path'; leave one out, or give one a" \
            "better meta.priority with lib.hiPrio:" >&2
        echo "$providers" >&2
        exit 1
    fi
)

mkdir -p "$out"
for path_to_link in $pathsToLink; do
    link "${path_to_link%/}"
done
