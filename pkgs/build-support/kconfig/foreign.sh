# shellcheck shell=sh
# Options that only other architectures have: asking for one is refused by its own message.

# list_foreign FOLDER...
#
# Prints the options that the architectures in these folders declare, each with the folder's name
# after a tab; list_symbols is check.sh's.
list_foreign() {
    for folder; do
        folder=${folder%/}
        # shellcheck disable=SC2046 # a list of files
        list_symbols $(find "$folder" -name 'Kconfig*' -type f | LC_ALL=C sort) |
            awk -F '\t' -v arch="${folder##*/}" '{ print $1 "\t" arch }'
    done | LC_ALL=C sort -u
}

# refuse_foreign WANTED SYMBOLS FOREIGN ARCH WHAT
#
# Prints what is left of WANTED without the options that are in FOREIGN and not in SYMBOLS. Returns 1
# where one of those was asked to be anything but off, after saying who asked.
refuse_foreign() {
    awk -F '\t' -v symbols="$2" -v foreign="$3" -v arch="$4" -v what="$5" '
        BEGIN {
            while ((getline line <symbols) > 0) {
                sub(/\t.*/, "", line)
                known[line] = 1
            }
            while ((getline line <foreign) > 0) {
                split(line, part, "\t")
                before = part[1] in owners ? owners[part[1]] ", " : ""
                owners[part[1]] = before part[2]
            }
        }
        $1 in known || !($1 in owners) { print; next }
        $2 == "n" { next }
        {
            print what ": " $1 " cannot be had on " arch ", only on: " owners[$1] >"/dev/stderr"
            if ($3 != "") print "  asked for by " $3 >"/dev/stderr"
            print "  ask for it under lib.mkIf pkgs.hostPlatform.isX of such an architecture" \
                >"/dev/stderr"
            failed = 1
        }
        END { exit failed }
    ' "$1"
}
