# shellcheck shell=sh
# Copies the kernel modules named in $rootModules and their dependencies from $kernel to $out.
# The dependencies are depmod's, read from the modules themselves.

# Given by the derivation.
: "${kernel:?}" "${modDirVersion:?}" "${rootModules:?}" "${out:?}"

from=$kernel/lib/modules/$modDirVersion
to=$out/lib/modules/$modDirVersion
mkdir -p "$to"

depmod -n -b "$kernel" "$modDirVersion" | grep '^kernel/.*:' >dependencies

# Modules are named with "-" or "_" interchangeably; file names keep the author's choice.
awk -v roots="$rootModules" -v load="$to/modules.load" '
    function name_of(path) {
        sub(/.*\//, "", path)
        sub(/\.ko.*/, "", path)
        gsub(/-/, "_", path)
        return path
    }
    function add(path,    i, n, list) {
        if (path in added) return
        added[path] = 1
        n = split(needs[path], list, " ")
        for (i = 1; i <= n; i++) add(list[i])
        print path
    }
    FILENAME == "dependencies" {
        path = substr($0, 1, index($0, ":") - 1)
        needs[path] = substr($0, index($0, ":") + 1)
        path_of[name_of(path)] = path
        next
    }
    { builtin[name_of($0)] = 1 }
    END {
        n = split(roots, list, " ")
        for (i = 1; i <= n; i++) {
            name = name_of(list[i])
            if (name in path_of) {
                add(path_of[name])
                print name >load
            } else if (!(name in builtin)) {
                print "boot.kernelModules: this kernel has no module \"" list[i] "\"" >"/dev/stderr"
                failed = 1
            }
        }
        if (failed) exit 1
    }
' dependencies "$from/modules.builtin" >modules

while read -r module; do
    mkdir -p "$to/$(dirname "$module")"
    cp "$from/$module" "$to/$module"
done <modules

depmod -b "$out" "$modDirVersion"
# Only programs that resolve symbols by hand read this.
rm -f "$to/modules.symbols"
