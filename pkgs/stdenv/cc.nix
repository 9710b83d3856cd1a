# A target's compiler and binary tools under the names that cross builds use: `<triple>-gcc`.
#
# They are the seed's own programs. The compiler is told where musl and the kernel's headers are, and
# adds what setup.sh gathered from `buildInputs`.
{
  lib,
  buildPlatform,
  crossToolchain,
  hostPlatform,
  runCommand,
  targetPrefix,
  # Null for what comes before a C library.
  musl,
  linuxHeaders,
  # A libgcc for this target, where the seed's is for another kind of it; null for the seed's.
  libgcc ? null,
}:
let
  isForeign = hostPlatform.parsed.cpu != buildPlatform.parsed.cpu;
  # Where the seed's compiler for this target is; the builders' own is in the root of their box.
  root = lib.optionalString isForeign "${crossToolchain}";

  # What the compiler is told of the processor, before the arguments of whoever calls it.
  spell = {
    abi = value: "-mabi=${value}";
    arch = value: "-march=${value}";
    float = value: "-m${value}-float";
    float-abi = value: "-mfloat-abi=${value}";
    fpu = value: "-mfpu=${value}";
  };
  flags =
    lib.mapAttrsToList (name: spell.${name}) hostPlatform.gcc
    ++ lib.optional (libgcc != null) "-B${libgcc}/lib/"
    # Debian's default, which musl's specs replace: an erratum of the processor in many small boards.
    ++ lib.optional (hostPlatform.isAarch64 && musl != null) "-Wl,--fix-cortex-a53-843419";
  setFlags = lib.optionalString isForeign "; echo 'set -- ${toString flags} \"$@\"'";
  # Libraries of the seed's binary tools.
  setupHook = lib.optionalString isForeign ''

    mkdir "$out/nix-support"
    echo 'export LD_LIBRARY_PATH=${root}/${crossToolchain.libraryPath}' >"$out/nix-support/setup-hook"
  '';
in
runCommand "${targetPrefix}cc"
  {
    inherit targetPrefix;
    libc = if musl == null then "" else musl;
    headers = if linuxHeaders == null then "" else linuxHeaders;
    # The seed's compiler for this target; a target of another architecture has one of its own.
    seedPrefix = "${hostPlatform.debian}-";
    script = ./cc.sh;
    meta.description = "The compiler of the seed, for a target with musl";
  }
  (''
    mkdir -p "$out/bin"
    for tool in gcc cpp; do
      {
        echo '#!/bin/sh'
        echo "seed=${root}/usr/bin/$seedPrefix$tool-12 libc=$libc headers=$headers"${setFlags}
        cat "$script"
      } >"$out/bin/$targetPrefix$tool"
      chmod +x "$out/bin/$targetPrefix$tool"
    done
    ln -s "''${targetPrefix}gcc" "$out/bin/''${targetPrefix}cc"
    for tool in addr2line ar as ld ld.bfd nm objcopy objdump ranlib readelf size strings strip; do
      ln -s "${root}/usr/bin/$seedPrefix$tool" "$out/bin/$targetPrefix$tool"
    done
  '' + setupHook)
