# shellcheck shell=bash
# What runs inside a build of stdenv: search paths from the inputs, then the phases, each between its
# hooks. The names are those that nixpkgs' packages use; the code is our own.
#
# A phase is the variable or function of its name: a variable that a package sets wins, over a
# function that a hook defines, over ours. `preX` and `postX` are hooks of phase X, and so are all
# functions in the array `preXHooks` or `postXHooks`.

set -eu -o pipefail
shopt -s nullglob

: "${out:?}" "${name:?}" "${outputs:?}" "${NIX_BUILD_TOP:?}"

export PATH=/usr/bin:/usr/sbin
export LC_ALL=C TZ=UTC0 HOME=/homeless-shelter
# Time stamps that a build writes: 1980, the first year that ZIP files can hold.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-315532800}

# Messages ----------------------------------------------------------------------------------------

die() {
    echo "$name: $*" >&2
    exit 1
}

# Hooks and phases --------------------------------------------------------------------------------

# Runs what a package or a setup hook has put at the point $1.
runHook() {
    local hooks="$1Hooks[@]" hook
    for hook in ${!hooks+"${!hooks}"}; do
        "$hook"
    done
    runNamed "$1"
}

# Runs the variable or the function of the name $1, where there is one.
runNamed() {
    local text=${!1-}
    if [ -n "$text" ]; then
        eval "$text"
    elif declare -F "$1" >/dev/null; then
        "$1"
    fi
}

runPhase() {
    local phase=$1
    echo "$name: $phase"
    runNamed "$phase"
    if [ "$phase" = unpackPhase ]; then
        [ -n "${sourceRoot-}" ] || die "unpackPhase set no sourceRoot"
        cd -- "$sourceRoot" || die "unpackPhase left no folder '$sourceRoot'"
    fi
}

defaultPhases=(
    unpackPhase patchPhase configurePhase buildPhase checkPhase installPhase fixupPhase
    installCheckPhase
)

# A phase is left out by `dontX`; those that check, unless `doX` asks for them.
wanted() {
    case $1 in
        checkPhase) [ -n "${doCheck-}" ] ;;
        installCheckPhase) [ -n "${doInstallCheck-}" ] ;;
        unpackPhase) [ -z "${dontUnpack-}" ] ;;
        patchPhase) [ -z "${dontPatch-}" ] ;;
        configurePhase) [ -z "${dontConfigure-}" ] ;;
        buildPhase) [ -z "${dontBuild-}" ] ;;
        installPhase) [ -z "${dontInstall-}" ] ;;
        fixupPhase) [ -z "${dontFixup-}" ] ;;
    esac
}

genericBuild() {
    local phase
    cd -- "$NIX_BUILD_TOP"
    if [ -n "${buildCommand-}" ]; then
        eval "$buildCommand"
        return
    fi
    # shellcheck disable=SC2086 # a list of names
    for phase in ${phases-${prePhases-} ${defaultPhases[*]} ${postPhases-}}; do
        if wanted "$phase"; then
            runPhase "$phase"
        fi
    done
}

# Variables ---------------------------------------------------------------------------------------

# The flags of the variable or array $1, one a line, into the array `flags`. A string is split at
# white space; an array, such as `makeFlagsArray`, keeps spaces.
addFlags() {
    local variable
    for variable; do
        local array="${variable}[@]"
        if [[ $(declare -p "$variable" 2>/dev/null) == "declare -a"* ]]; then
            flags+=(${!array+"${!array}"})
        else
            local words
            read -r -d '' -a words <<<"${!variable-}" || true
            flags+=(${words+"${words[@]}"})
        fi
    done
}

appendToVar() {
    local variable=$1
    shift
    if [[ $(declare -p "$variable" 2>/dev/null) == "declare -a"* ]]; then
        local -n array=$variable
        array+=("$@")
    else
        printf -v "$variable" '%s' "${!variable-}${!variable:+ }$*"
    fi
}

prependToVar() {
    local variable=$1
    shift
    printf -v "$variable" '%s' "$*${!variable:+ }${!variable-}"
}

# Puts $2 last on the search path $1.
addToSearchPath() {
    printf -v "$1" '%s' "${!1-}${!1:+:}$2"
    export "${1?}"
}

# Inputs ------------------------------------------------------------------------------------------

# The packages $@ and what they propagate, each once.
closureOf() {
    local package
    for package; do
        [[ " ${seen-} " != *" $package "* ]] || continue
        seen="${seen-} $package"
        echo "$package"
        if [ -e "$package/nix-support/propagated-build-inputs" ]; then
            # shellcheck disable=SC2046 # a list of packages
            closureOf $(cat "$package/nix-support/propagated-build-inputs")
        fi
    done
}

# A program of the build: its folder of programs comes before the toolchain's.
addNativeInput() {
    [ ! -d "$1/bin" ] || PATH=$1/bin:$PATH
    [ ! -d "$1/share/aclocal" ] || addToSearchPath ACLOCAL_PATH "$1/share/aclocal"
}

# A library of the package: its headers and libraries are found by the compiler.
addHostInput() {
    if [ -d "$1/include" ]; then
        export NIX_CFLAGS_COMPILE="${NIX_CFLAGS_COMPILE-} -isystem $1/include"
    fi
    if [ -d "$1/lib" ]; then
        export NIX_CFLAGS_LINK="${NIX_CFLAGS_LINK-} -L$1/lib"
    fi
    [ ! -d "$1/lib/pkgconfig" ] || addToSearchPath PKG_CONFIG_PATH "$1/lib/pkgconfig"
}

sourceSetupHook() {
    if [ -e "$1/nix-support/setup-hook" ]; then
        # shellcheck source=/dev/null
        source "$1/nix-support/setup-hook"
    fi
}

addInputs() {
    local package seen=
    # shellcheck disable=SC2046,SC2086 # lists of packages
    for package in $(closureOf ${nativeBuildInputs-} ${propagatedNativeBuildInputs-}); do
        addNativeInput "$package"
        sourceSetupHook "$package"
    done
    # shellcheck disable=SC2046,SC2086
    for package in $(closureOf ${buildInputs-} ${propagatedBuildInputs-}); do
        addHostInput "$package"
        sourceSetupHook "$package"
    done
    export PATH
}

# The tools by their conventional variables, which makefiles and configure scripts read.
nameTools() {
    local tool
    export CC="${targetPrefix-}gcc" CPP="${targetPrefix-}cpp"
    for tool in ar as ld nm objcopy objdump ranlib readelf size strings strip; do
        export "${tool^^}=${targetPrefix-}$tool"
    done
    # Programs that run during the build are for the builder.
    export CC_FOR_BUILD=gcc HOSTCC=gcc BUILD_CC=gcc
}

# Outputs -----------------------------------------------------------------------------------------

# The output for a kind of file: the first of the names $@ that the package has, else `out`.
outputFor() {
    local candidate
    for candidate; do
        if [[ " $outputs " == *" $candidate "* ]]; then
            echo "$candidate"
            return
        fi
    done
    echo "${outputs%% *}"
}

# Moves the files that match the pattern $1, relative to an output, from all others to output $2.
moveToOutput() {
    local output file to=${!2}
    for output in $outputs; do
        [ "$output" != "$2" ] || continue
        # shellcheck disable=SC2086 # a pattern
        for file in "${!output}"/$1; do
            local target=$to/${file#"${!output}"/}
            mkdir -p "$(dirname "$target")"
            mv "$file" "$target"
            rmdir --ignore-fail-on-non-empty -p "$(dirname "$file")" 2>/dev/null || true
        done
    done
}

# Substitution ------------------------------------------------------------------------------------

# Replaces text in the file $1, giving $2: --replace-fail, --replace-warn and --replace-quiet FROM
# TO, --subst-var NAME, --subst-var-by NAME TO.
substitute() {
    local from=$1 to=$2 text
    shift 2
    [ -f "$from" ] || die "substitute: there is no file '$from'"
    # The dot keeps line ends at the end of the file.
    text=$(cat "$from" && echo .)
    text=${text%.}
    while [ $# -gt 0 ]; do
        case $1 in
            --replace-fail | --replace-warn | --replace-quiet | --replace)
                replaceText "$1" "$2" "$3"
                shift 3
                ;;
            --subst-var)
                replaceText --replace-quiet "@$2@" "${!2?substitute: no such variable}"
                shift 2
                ;;
            --subst-var-by)
                replaceText --replace-quiet "@$2@" "$3"
                shift 3
                ;;
            *) die "substitute: unknown argument '$1'" ;;
        esac
    done
    printf %s "$text" >"$to"
}

replaceText() {
    local old=$text
    text=${text//"$2"/"$3"}
    [ "$text" = "$old" ] || return 0
    case $1 in
        --replace-fail) die "substitute: '$2' is not in '$from'" ;;
        --replace-warn | --replace) echo "$name: warning: '$2' is not in '$from'" >&2 ;;
    esac
}

substituteInPlace() {
    local file files=()
    while [ $# -gt 0 ] && [[ $1 != --* ]]; do
        files+=("$1")
        shift
    done
    for file in "${files[@]}"; do
        substitute "$file" "$file" "$@"
    done
}

# Unpack ------------------------------------------------------------------------------------------

# "musl-1.2.3.tar.gz" of "/nix/store/<digest>-musl-1.2.3.tar.gz".
stripHash() {
    local base=${1##*/}
    if [[ $base =~ ^[0-9a-z]{32}- ]]; then
        base=${base:33}
    fi
    echo "$base"
}

unpackFile() {
    local archive=$1
    if [ -d "$archive" ]; then
        local target
        target=$(stripHash "$archive")
        cp -r --preserve=mode,timestamps --reflink=auto -- "$archive" "$target"
        chmod -R u+w -- "$target"
        return
    fi
    case $archive in
        *.tar | *.tar.* | *.tgz | *.txz | *.tbz2) tar -xf "$archive" --mode=+w --no-same-owner ;;
        *) die "unpackPhase: do not know how to unpack '$archive'; set unpackPhase" ;;
    esac
}

# The one folder that unpacking made.
findSourceRoot() {
    local entry found=()
    for entry in *; do
        if [ -d "$entry" ] && [[ " $1 " != *" $entry "* ]]; then
            found+=("$entry")
        fi
    done
    [ ${#found[@]} -eq 1 ] ||
        die "unpackPhase: expected one folder but found ${#found[@]} (${found[*]-}); set sourceRoot"
    sourceRoot=${found[0]}
}

unpackPhase() {
    runHook preUnpack
    local archive before
    before=$(echo */)
    before=${before//\//}
    # shellcheck disable=SC2086 # a list of files
    for archive in ${srcs-${src?"$name has no src"}}; do
        unpackFile "$archive"
    done
    if [ -n "${setSourceRoot-}" ]; then
        eval "$setSourceRoot"
    elif [ -z "${sourceRoot-}" ]; then
        findSourceRoot "$before"
    fi
    runHook postUnpack
}

# Patch -------------------------------------------------------------------------------------------

patchPhase() {
    runHook prePatch
    local patch flags=()
    addFlags patchFlags
    # shellcheck disable=SC2086 # a list of files
    for patch in ${patches-}; do
        echo "$name: applying $(stripHash "$patch")"
        patch "${flags[@]--p1}" --batch --forward <"$patch" ||
            die "patchPhase: '$(stripHash "$patch")' does not apply to $name"
    done
    find . -name '*.orig' -newer "$NIX_BUILD_TOP/.started" -delete
    runHook postPatch
}

# Configure ---------------------------------------------------------------------------------------

configurePhase() {
    runHook preConfigure
    local script=${configureScript-./configure}
    if [ -x "$script" ]; then
        local flags=()
        if [ -z "${dontAddPrefix-}" ]; then
            flags+=("${prefixKey---prefix=}${prefix-$out}")
        fi
        addFlags configureFlags configureFlagsArray
        echo "$name: $script ${flags[*]}"
        "$script" "${flags[@]}" || showConfigLog
    fi
    runHook postConfigure
}

showConfigLog() {
    [ ! -e config.log ] || tail -n 40 config.log >&2
    die "configurePhase failed"
}

# Build, check, install ---------------------------------------------------------------------------

# make with the flags of the package, those in the variables $2..., and $1 jobs at a time.
runMake() {
    local jobs=$1 flags=()
    shift
    addFlags makeFlags makeFlagsArray "$@"
    [ -z "${makefile-}" ] || flags+=(-f "$makefile")
    echo "$name: make -j$jobs ${flags[*]-}"
    make -j"$jobs" SHELL=/bin/bash ${flags+"${flags[@]}"}
}

parallelJobs() {
    if [ -n "${enableParallelBuilding-}" ]; then echo "${NIX_BUILD_CORES:-1}"; else echo 1; fi
}

hasMakefile() {
    [ -n "${makefile-}" ] || [ -e Makefile ] || [ -e makefile ] || [ -e GNUmakefile ]
}

buildPhase() {
    runHook preBuild
    if hasMakefile; then
        runMake "$(parallelJobs)" buildFlags buildFlagsArray
    fi
    runHook postBuild
}

checkPhase() {
    runHook preCheck
    local checkTarget=${checkTarget:-check}
    runMake "$(parallelJobs)" checkFlags checkFlagsArray checkTarget
    runHook postCheck
}

installPhase() {
    runHook preInstall
    local installTargets=${installTargets:-install}
    runMake 1 installTargets installFlags installFlagsArray
    runHook postInstall
}

installCheckPhase() {
    runHook preInstallCheck
    local installCheckTarget=${installCheckTarget:-installcheck}
    runMake 1 installCheckFlags installCheckFlagsArray installCheckTarget
    runHook postInstallCheck
}

# Fixup -------------------------------------------------------------------------------------------

# What a development environment wants goes to `dev`, documents to `doc` and `man`, where a package
# has such outputs.
spreadOutputs() {
    [ "$outputs" != "${outputs%% *}" ] || return 0
    moveToOutput include "$(outputFor dev out)"
    moveToOutput lib/pkgconfig "$(outputFor dev out)"
    moveToOutput share/aclocal "$(outputFor dev out)"
    moveToOutput 'lib/*.la' "$(outputFor dev out)"
    moveToOutput share/man "$(outputFor man doc out)"
    moveToOutput share/doc "$(outputFor doc out)"
    moveToOutput share/info "$(outputFor info doc out)"
}

# Removes from the ELF files and archives in the folders $2... what the flags $1 say.
stripDirs() {
    local stripFlags=$1 dir file
    shift
    for dir; do
        [ -d "$dir" ] || continue
        find "$dir" -type f | LC_ALL=C sort | while read -r file; do
            isObject "$file" || continue
            # shellcheck disable=SC2086 # a list of flags
            "$STRIP" $stripFlags "$file" || die "fixupPhase: cannot strip '$file'"
        done
    done
}

# An ELF file or an archive, by its first bytes.
isObject() {
    local magic
    LC_ALL=C IFS= read -r -n 4 magic 2>/dev/null <"$1" || true
    [ "$magic" = $'\x7fELF' ] || [[ $1 == *.a && $magic = '!<ar' ]]
}

# Programs lose all symbols, libraries those that only debuggers read.
stripOutput() {
    [ -z "${dontStrip-}" ] || return 0
    local dir
    for dir in ${stripAllList-bin sbin libexec}; do
        stripDirs "${stripAllFlags--s -p -R .comment -R .note.gnu.property}" "$1/$dir"
    done
    for dir in ${stripDebugList-lib}; do
        stripDirs "${stripDebugFlags--S -p}" "$1/$dir"
    done
}

fixupPhase() {
    local output
    for output in $outputs; do
        if [ -e "${!output}" ]; then chmod -R u+w -- "${!output}"; fi
    done
    runHook preFixup
    spreadOutputs
    for output in $outputs; do
        [ -e "${!output}" ] || die "the output '$output' was not made"
        stripOutput "${!output}"
    done
    writePropagated
    runHook postFixup
}

writePropagated() {
    local output
    output=$(outputFor dev out)
    if [ -n "${propagatedBuildInputs-}" ]; then
        mkdir -p "${!output}/nix-support"
        echo "$propagatedBuildInputs" >"${!output}/nix-support/propagated-build-inputs"
    fi
    if [ -n "${setupHook-}" ]; then
        mkdir -p "${!output}/nix-support"
        substitute "$setupHook" "${!output}/nix-support/setup-hook"
    fi
}

# Start -------------------------------------------------------------------------------------------

: >"$NIX_BUILD_TOP/.started"
prefix=${prefix-$out}
nameTools
addInputs
