# The kernel from source, with the options that were asked for and nothing else: it starts from the
# kernel's own tinyconfig.
{
  lib,
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
}:
let
  inherit (callPackage ./source.nix { }) src version;
  arch = hostPlatform.linuxArch;

  # Where make puts the image that a bootloader loads, by architecture.
  image =
    {
      x86_64 = {
        folder = "arch/x86/boot";
        target = "bzImage";
        sourceFolder = "x86";
      };
    }
    .${arch} or (throw "linux: how to boot ${arch} is not known yet");

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
        '*/scripts/*' '*/configs/*' '*/arch/${image.sourceFolder}/*' '*/include/*'
      sourceRoot=linux-$version
    '';

    buildPhase = ''
      source "$checkScript"
      runMake 1 tiny
      cat "$fragmentPath" >>.config
      runMake 1 finish
      find . -name 'Kconfig*' -type f | LC_ALL=C sort |
        grep -v -e '^./arch/[^/]*/' -e '^./scripts/' >kconfigs
      find arch/${image.sourceFolder} -name 'Kconfig*' -type f | LC_ALL=C sort >>kconfigs
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

  # Fails where an option is not what was asked for, and says who asked.
  checkedConfig = runCommand "linux-config-check" {
    inherit configfile;
    inherit (kconfig) checkScript;
    wanted = kconfig.wanted kernelConfig;
    passAsFile = [ "wanted" ];
  } ''
    . "$checkScript"
    check_config "$wantedPath" "$configfile/config" "$configfile/symbols" "linux ${version}"
    : >$out
  '';
in
stdenvNoLibc.mkDerivation {
  pname = "linux";
  inherit makeFlags src version;

  inherit configfile;
  # Comes first, when it is wanted.
  checkedConfig = if checkConfig then checkedConfig else null;

  configurePhase = ''
    cp "$configfile/config" .config
    chmod u+w .config
    runMake 1 finish
    cmp .config "$configfile/config" || die "configurePhase: the configuration changed"
  '';
  finish = "olddefconfig";

  buildFlags = [ image.target ];

  installPhase = ''
    mkdir -p "$out"
    cp ${image.folder}/${image.target} "$out/${image.target}"
    cp .config "$out/config"
  '';
  # A boot image is stripped as it is packed.
  dontStrip = true;

  passthru = {
    inherit checkedConfig configfile kernelConfig;
    # What the modules of images ask of every kernel.
    modDirVersion = version;
    kernelFile = image.target;
    inherit (image) target;
    isModular = values.MODULES or "n" == "y";
  };

  meta = {
    description = "The Linux kernel, with the options asked for";
    homepage = "https://www.kernel.org/";
    license = lib.licenses.gpl2Only;
  };
}
