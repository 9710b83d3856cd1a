{
  lib,
  debianMirror,
  debianPatches,
  fetchurl,
  kconfig,
  stdenv,
  tinyFlags,
  # The programs in it, by name: a list, or an attribute set of a name to who asks for it, which
  # messages show.
  applets ? [
    "cat"
    "echo"
    "ls"
    "mount"
    "sh"
    "umount"
  ],
  # Further options without CONFIG_, such as { FEATURE_EDITING = "y"; }.
  config ? { },
}:
let
  version = "1.35.0";

  inherit (import ./applets.nix) featuresOf optionOf;
  askers = if builtins.isList applets then lib.genAttrs applets (_applet: "") else applets;

  known = import ./names.nix ++ builtins.attrNames optionOf;
  unknown =
    applet: askedBy:
    let
      near = lib.modules.similarNames applet (lib.filter (lib.levenshteinAtMost 2 applet) known);
    in
    throw (
      "busybox: there is no applet '${applet}'"
      + lib.optionalString (askedBy != "") ", asked for by ${askedBy}"
      + lib.optionalString (near != [ ]) "; did you mean ${
        lib.concatMapStringsSep " or " (name: "'${name}'") near
      }?"
    );

  # Who asks is for messages: it is no part of what is built.
  appletOptions = lib.mapAttrs' (
    applet: askedBy:
    if lib.elem applet known then
      lib.nameValuePair (optionOf.${applet} or (lib.toUpper (
        lib.replaceStrings [ "-" ] [ "_" ] applet
      ))) "y"
    else
      unknown applet askedBy
  ) askers;

  base = {
    # Static, and without what only speaks to people.
    STATIC = if tinyFlags.static then "y" else "n";
    SHOW_USAGE = "n";
    LFS = "y";
    # Memory that is needed once is taken when it is needed: a smaller program.
    FEATURE_BUFFERS_USE_MALLOC = "y";
    INSTALL_APPLET_SYMLINKS = "y";
  };

  features = lib.foldl' (all: applet: all // featuresOf.${applet} or { }) { } (
    builtins.attrNames askers
  );

  options = base // features // appletOptions // config;
in
stdenv.mkDerivation {
  pname = "busybox";
  inherit version;

  src = fetchurl {
    urls = [
      "https://busybox.net/downloads/busybox-${version}.tar.bz2"
      (debianMirror "b/busybox/busybox_${version}.orig.tar.bz2")
    ];
    hash = "sha256-+u6yRMNaNIozT0pZ5EYm7ocPsHtohNaMEK6LwZ+DppQ=";
  };

  patches = debianPatches {
    name = "busybox";
    src = fetchurl {
      name = "busybox_1.35.0-4-deb12u1.debian.tar.xz";
      url = debianMirror "b/busybox/busybox_1.35.0-4+deb12u1.debian.tar.xz";
      hash = "sha256-HKy+CV70iA6nh5kzyOPFB10VJ81vvLYmqbQeXa79GkY=";
    };
    patches = [
      # ash: a stack overflow in arithmetic.
      "CVE-2022-48174.patch"
      # awk: use after free, three times.
      "CVE-2023-42364-part1.patch"
      "CVE-2023-42364-part2.patch"
      "CVE-2023-42363.patch"
    ];
  };

  fragment = kconfig.fragment options;
  wanted = kconfig.wanted options;
  passAsFile = [
    "fragment"
    "wanted"
  ];
  inherit (kconfig) checkScript;

  makeFlags = [
    "CROSS_COMPILE=${stdenv.targetPrefix}"
    "HOSTCC=gcc"
    "SKIP_STRIP=y"
  ];

  configurePhase = ''
    runHook preConfigure
    source "$checkScript"
    make allnoconfig >/dev/null
    find . -name Config.in | LC_ALL=C sort >files
    # shellcheck disable=SC2046
    list_symbols $(cat files) >symbols
    # An option that another one opens is "yes" by itself; here nothing is that was not asked for.
    awk -F '\t' '{ print "# CONFIG_" $1 " is not set" }' symbols | LC_ALL=C sort -u >.config
    while read -r line; do
      option=''${line#\# }; option=''${option%%[= ]*}
      sed -i "/^# $option is not set/d" .config
      echo "$line" >>.config
    done <"$fragmentPath"
    sed -i -e '/^# CONFIG_EXTRA_CFLAGS/d' -e '/^# CONFIG_EXTRA_LDFLAGS/d' .config
    # For size: no tables for unwinding, fixed addresses, no padding between segments.
    cat >>.config <<FLAGS
    CONFIG_EXTRA_CFLAGS="${toString (tinyFlags.base ++ tinyFlags.unwind ++ tinyFlags.ltoFor false)}"
    CONFIG_EXTRA_LDFLAGS="${toString tinyFlags.link}"
    FLAGS
    yes "" | make oldconfig >/dev/null 2>&1 || true
    check_config "$wantedPath" .config symbols "busybox"
    runHook postConfigure
  '';

  installPhase = ''
    runHook preInstall
    make busybox.links >/dev/null
    install -D -m 755 busybox "$out/bin/busybox"
    while read -r path; do
      ln -sfn busybox "$out/bin/''${path##*/}"
    done <busybox.links
    runHook postInstall
  '';

  passthru = {
    shellPath = "/bin/sh";
    inherit options;
  };

  meta = {
    description = "Tiny versions of the common Unix programs, in one file, with the applets asked for";
    homepage = "https://busybox.net/";
    license = lib.licenses.gpl2Only;
    mainProgram = "busybox";
  };
}
