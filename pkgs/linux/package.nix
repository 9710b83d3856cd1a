# The kernel from source, with the options that were asked for and nothing else: it starts from the
# kernel's own tinyconfig.
{
  lib,
  buildPackages,
  callPackage,
  hostPlatform,
  kconfig,
  runCommand,
  stdenvNoLibc,
  # Options without CONFIG_ ("y", "n", "m", a number or a text), each a value or { value, askedBy }.
  kernelConfig ? { },
  # Whether the build fails where an option did not come out as asked; who turns this off looks at
  # `checkedConfig` instead, which names who asked.
  checkConfig ? true,
  # The file that bootloaders get, one of formats.nix; null for the usual one of the architecture.
  format ? null,
  # Where a uImage is unpacked to, such as "0x80200000".
  loadAddress ? null,
}:
let
  inherit (callPackage ./source.nix { }) src version;
  arch = hostPlatform.linuxArch;

  architecture =
    (import ./formats.nix).${arch} or (throw "linux: how to boot ${arch} is not known yet");
  inherit (architecture) sourceFolder;

  isUImage = format == "uImage";
  formats = lib.attrNames architecture.files ++ lib.optional (architecture ? uImage) "uImage";
  target =
    if isUImage && architecture ? uImage then
      architecture.uImage.of
    else if architecture.files ? ${kernelFile} then
      kernelFile
    else
      throw "linux: the format \"${kernelFile}\" is not one for ${arch}, use one of: ${lib.concatStringsSep ", " formats}";
  kernelFile = if format == null then architecture.default else format;

  # A kernel for U-Boot, made of make's.
  wrap = lib.optionalString isUImage (
    let
      inherit (architecture.uImage) compression;
    in
    assert lib.assertMsg (
      loadAddress != null
    ) "linux: a uImage needs a loadAddress, where the board has memory";
    lib.optionalString (compression == "gzip") "gzip -9n <\"$out/${target}\" >kernel.gz\n"
    + ''
      python3 ${./uimage.py} ${
        if compression == "gzip" then "kernel.gz" else "\"$out/${target}\""
      } "$out/uImage" ${toString architecture.uImage.arch} ${compression} ${loadAddress} "Linux ${version}"
      rm "$out/${target}"
    ''
  );

  # The same for whoever asks: who asked is not part of what is built.
  values = builtins.mapAttrs (
    _option: entry: if builtins.isAttrs entry then entry.value else entry
  ) kernelConfig;

  makeFlags = [
    "ARCH=${arch}"
    "CROSS_COMPILE=${stdenvNoLibc.targetPrefix}"
    "HOSTCC=gcc"
    "KBUILD_BUILD_TIMESTAMP=1970-01-01"
    "KBUILD_BUILD_USER=picnix"
    "KBUILD_BUILD_HOST=picnix"
  ];

  # What no kernel for this architecture is made from: patterns below the source. Kconfig reads the
  # files of other architectures, too.
  never = lib.concatLines ([
    "Documentation/*/*"
    "samples/*.[chS]"
    "tools/perf"
    "tools/testing"
  ] ++ lib.concatMap (folder: [
    "arch/${folder}/boot"
    "arch/${folder}/*.[chS]"
  ]) (lib.remove sourceFolder (import ./architectures.nix)));

  # What is only read where some option is on: headers and code, not Kconfig and make's files, which
  # are always read.
  optionalParts = lib.concatStrings (
    lib.mapAttrsToList (folder: options: "${folder} ${options}\n") (import ./parts.nix)
  );

  # The final configuration, and all options that this kernel knows with what they depend on.
  configfile = stdenvNoLibc.mkDerivation {
    pname = "linux-config";
    inherit makeFlags src version;
    inherit (kconfig) checkScript;
    fragment = kconfig.fragment values;
    passAsFile = [ "fragment" ];

    # Of the source only what Kconfig reads.
    unpackPhase = ''
      tar -xf "$src" --wildcards --no-same-owner '*/Kconfig*' '*/Makefile*' '*/Kbuild*' \
        '*/scripts/*' '*/configs/*' '*/arch/${sourceFolder}/*' '*/include/*'
      sourceRoot=linux-$version
    '';

    buildPhase = ''
      source "$checkScript"
      runMake 1 tiny
      cat "$fragmentPath" >>.config
      runMake 1 finish
      find . -name 'Kconfig*' -type f | LC_ALL=C sort |
        grep -v -e '^./arch/[^/]*/' -e '^./scripts/' >kconfigs
      find arch/${sourceFolder} -name 'Kconfig*' -type f | LC_ALL=C sort >>kconfigs
      # shellcheck disable=SC2046
      list_symbols $(cat kconfigs) | LC_ALL=C sort -u >symbols
    '';
    tiny = "tinyconfig";
    finish = "olddefconfig";

    installPhase = ''
      mkdir "$out"
      cp .config "$out/config"
      cp symbols "$out/symbols"
    '';
    dontConfigure = true;
    dontFixup = true;
  };

  # The options of all architectures, with who has them: the same for every target.
  architectureSymbols = buildPackages.stdenvNoLibc.mkDerivation {
    pname = "linux-architecture-symbols";
    inherit src version;
    inherit (kconfig) checkScript foreignScript;
    unpackPhase = ''
      tar -xf "$src" --wildcards --no-same-owner '*/arch/*/Kconfig*'
      sourceRoot=linux-$version
    '';
    installPhase = ''
      source "$checkScript"
      source "$foreignScript"
      list_foreign arch/*/ >"$out"
    '';
    dontConfigure = true;
    dontBuild = true;
    dontFixup = true;
  };

  # Fails where an option is not what was asked for, and says who asked.
  checkedConfig = runCommand "linux-config-check" {
    inherit architectureSymbols configfile;
    inherit (kconfig) checkScript foreignScript;
    wanted = kconfig.wanted kernelConfig;
    passAsFile = [ "wanted" ];
  } ''
    . "$checkScript"
    . "$foreignScript"
    isFine=1
    refuse_foreign "$wantedPath" "$configfile/symbols" "$architectureSymbols" ${sourceFolder} \
      "linux ${version}" >wanted || isFine=
    check_config wanted "$configfile/config" "$configfile/symbols" "linux ${version}" || isFine=
    [ "$isFine" ]
    : >$out
  '';
in
stdenvNoLibc.mkDerivation (final: {
  pname = "linux";
  inherit makeFlags src version;

  inherit configfile;

  # Three fifths of the source cannot be part of a small kernel: they are not written to a disk only to
  # be deleted again.
  unpackPhase = ''
    while read -r folder options; do
      grep -q "^CONFIG_\($options\).*=" "$configfile/config" ||
        echo "$folder/*.[chS]" >>"$neverPath"
    done <"$optionalPartsPath"
    sed "s|^|linux-$version/|" "$neverPath" >excludes
    tar -xf "$src" --no-same-owner --exclude-from excludes
    sourceRoot=linux-$version
  '';
  inherit never optionalParts;
  passAsFile = [
    "never"
    "optionalParts"
  ];

  postPatch = lib.optionalString (arch == "x86_64") ''
    if ! grep -q -e ^CONFIG_PAGE_TABLE_ISOLATION=y -e ^CONFIG_CPU_SRSO=y "$configfile/config"; then
      # Only those two need the entry code to have huge pages of its own, which cost 4 MiB of memory
      # until the system has started.
      for place in BEGIN END; do
        substituteInPlace arch/x86/kernel/vmlinux.lds.S \
          --replace-fail "ALIGN_ENTRY_TEXT_$place	. = ALIGN(PMD_SIZE);" \
            "ALIGN_ENTRY_TEXT_$place	. = ALIGN(PAGE_SIZE);"
      done
    fi
  '';

  # Comes first, when it is wanted.
  checkedConfig = if checkConfig then checkedConfig else null;

  configurePhase = ''
    cp "$configfile/config" .config
    chmod u+w .config
    runMake 1 finish
    cmp .config "$configfile/config" || die "configurePhase: the configuration changed"
  '';
  finish = "olddefconfig";

  buildFlags = [ target ];

  installPhase = ''
    mkdir -p "$out"
    cp ${architecture.files.${target}} "$out/${target}"
    cp .config "$out/config"
  ''
  + wrap;
  # A boot image is stripped as it is packed.
  dontStrip = true;

  passthru = {
    inherit checkedConfig configfile kernelConfig;
    # What the modules of images ask of every kernel.
    modDirVersion = version;
    inherit kernelFile;
    target = kernelFile;
    isModular = values.MODULES or "n" == "y";
  }
  // lib.optionalAttrs (kernelFile == "bzImage") {
    unpacked = callPackage ./unpacked.nix { linux = final.finalPackage; };
  };

  meta = {
    description = "The Linux kernel, with the options asked for";
    homepage = "https://www.kernel.org/";
    license = lib.licenses.gpl2Only;
  };
})
