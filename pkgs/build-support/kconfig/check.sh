# shellcheck shell=sh
# check_config WANTED CONFIG SYMBOLS WHAT
#
# Compares the file WANTED (lines of option, value and who asked, separated by tabs) with the final
# configuration CONFIG. Where they differ it says so, with what SYMBOLS knows of the option, and
# returns 1. WHAT names what is configured in messages.

check_config() {
    awk -F '\t' -v config="$2" -v symbols="$3" -v what="$4" '
        # The number of edits between two names, or 3 where there are more than two.
        function distance(a, b,    i, j, n, m, cost, best, row, last) {
            n = length(a); m = length(b)
            if (n - m > 2 || m - n > 2) return 3
            for (j = 0; j <= m; j++) last[j] = j
            for (i = 1; i <= n; i++) {
                row[0] = i; best = i
                for (j = 1; j <= m; j++) {
                    cost = substr(a, i, 1) != substr(b, j, 1)
                    row[j] = last[j - 1] + cost
                    if (last[j] + 1 < row[j]) row[j] = last[j] + 1
                    if (row[j - 1] + 1 < row[j]) row[j] = row[j - 1] + 1
                    if (row[j] < best) best = row[j]
                }
                if (best > 2) return 3
                for (j = 0; j <= m; j++) last[j] = row[j]
            }
            return last[m]
        }
        function similar(name,    other, found, d) {
            for (other in depends) {
                d = distance(name, other)
                if (d < 3) found = found (found == "" ? "" : ", ") other
            }
            return found
        }
        BEGIN {
            while ((getline line <config) > 0) {
                if (line !~ /^CONFIG_/) continue
                name = line; sub(/=.*/, "", name); sub(/^CONFIG_/, "", name)
                sub(/^[^=]*=/, "", line)
                have[name] = line
            }
            while ((getline line <symbols) > 0) {
                name = line; sub(/\t.*/, "", name)
                sub(/^[^\t]*\t?/, "", line)
                depends[name] = name in depends && depends[name] != "" && line != "" \
                    ? depends[name] "; " line : depends[name] line
            }
        }
        {
            got = $1 in have ? have[$1] : "n"
            if (got == $2 && $1 in depends) next
            if (!($1 in depends)) {
                print what ": there is no option " $1
                near = similar($1)
                if (near != "") print "  did you mean " near "?"
            } else {
                print what ": " $1 " was asked to be " $2 " but came out as " got
                if (depends[$1] != "") print "  it depends on: " depends[$1]
            }
            if ($3 != "") print "  asked for by " $3
            failed = 1
        }
        END { exit failed }
    ' "$1" >&2
}

# Prints the options that the files $@ in the language of Kconfig declare, each with what it depends
# on after a tab.
list_symbols() {
    awk '
        function flush() { if (name != "") print name "\t" needs; name = ""; needs = "" }
        FNR == 1 { flush() }
        /^[ \t]*(menu)?config[ \t]+[A-Za-z0-9_]+/ { flush(); name = $2; next }
        /^(menu|endmenu|if|endif|choice|endchoice|source|comment)/ { flush(); next }
        name != "" && $1 == "depends" {
            line = $0; sub(/^[ \t]*depends on[ \t]*/, "", line)
            needs = needs (needs == "" ? "" : " && ") line
        }
        END { flush() }
    ' "$@"
}
