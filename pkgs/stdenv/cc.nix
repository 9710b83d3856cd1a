# A target's compiler and binary tools under the names that cross builds use: `<triple>-gcc`.
#
# They are the seed's own programs. The compiler is told where musl and the kernel's headers are, and
# adds what setup.sh gathered from `buildInputs`.
{
  runCommand,
  targetPrefix,
  # Null for what comes before a C library.
  musl,
  linuxHeaders,
}:
runCommand "${targetPrefix}cc"
  {
    inherit targetPrefix;
    libc = if musl == null then "" else musl;
    headers = if linuxHeaders == null then "" else linuxHeaders;
    # The seed's compiler for this target; a target of another architecture has one of its own.
    seedPrefix = "x86_64-linux-gnu-";
    script = ./cc.sh;
    meta.description = "The compiler of the seed, for a target with musl";
  }
  ''
    mkdir -p "$out/bin"
    for tool in gcc cpp; do
      {
        echo '#!/bin/sh'
        echo "seed=/usr/bin/$seedPrefix$tool-12 libc=$libc headers=$headers"
        cat "$script"
      } >"$out/bin/$targetPrefix$tool"
      chmod +x "$out/bin/$targetPrefix$tool"
    done
    ln -s "''${targetPrefix}gcc" "$out/bin/''${targetPrefix}cc"
    for tool in addr2line ar as ld ld.bfd nm objcopy objdump ranlib readelf size strings strip; do
      ln -s "/usr/bin/$seedPrefix$tool" "$out/bin/$targetPrefix$tool"
    done
  ''
