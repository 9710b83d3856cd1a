# shellcheck shell=bash
# Before a package of tiny-stdenv.nix is stripped: without documents, and what only builds want in `dev`.

: "${outputs:?}"

# Manuals, translations and libtool's notes, which name folders of the build.
removeDocuments() {
    local output
    for output in $outputs; do
        rm -rf "${!output}"/share/{man,doc,info,locale,bash-completion}
        rmdir --ignore-fail-on-non-empty "${!output}/share" 2>/dev/null || true
        [ ! -d "${!output}/lib" ] || find "${!output}/lib" -name '*.la' -delete
    done
}

# Takes the place of setup.sh's. Libraries are static: nothing that runs reads them.
spreadOutputs() {
    local folder file
    [[ " $outputs " == *" dev "* ]] || return 0
    mkdir -p "${dev:?}"
    for folder in include lib; do
        if [ -d "${out:?}/$folder" ]; then
            mv "$out/$folder" "$dev/"
        fi
    done
    for file in "$dev"/lib/pkgconfig/*.pc; do
        sed -i "s|$out|$dev|g" "$file"
    done
}

removeDocuments
