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

# Whether the first provider of the file $path may hide the second.
may_win() {
    # shellcheck disable=SC2086 # a list of store paths
    set -- $providers
    [ -n "$ignoreCollisions" ] || cmp -s "$1$path" "$2$path" ||
        [ "$(priority_of "$1")" -lt "$(priority_of "$2")" ]
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
