# Systems: what a platform's name implies for compilers, kernels, QEMU and packages.
lib:
let
  inherit (builtins) isString mapAttrs;
  inherit (lib) optionalString;

  parse = import ./parse.nix lib;
  targets = import ./targets.nix;

  functionNames = [
    "canExecute"
    "emulator"
    "emulatorAvailable"
    "staticEmulatorAvailable"
  ];

  # Questions about a parsed platform that packages ask as `hostPlatform.isX`.
  predicates =
    let
      family = name: p: p.cpu.family == name;
      is32 = p: p.cpu.bits == 32;
      is64 = p: p.cpu.bits == 64;
      abiIn = names: p: builtins.elem p.abi.name names;
      never = _: false;
      bare = p: p.kernel.name == "none";
    in
    {
      is32bit = is32;
      is64bit = is64;
      isx86 = family "x86";
      isx86_32 = p: family "x86" p && is32 p;
      isi686 = p: p.cpu.name == "i686";
      isx86_64 = p: family "x86" p && is64 p;
      isAarch = family "arm";
      isAarch32 = p: family "arm" p && is32 p;
      isAarch64 = p: family "arm" p && is64 p;
      isArmv7 = p: family "arm" p && p.cpu.version or "" == "7";
      isMips = family "mips";
      isMips32 = p: family "mips" p && is32 p;
      isMips64 = p: family "mips" p && is64 p;
      isMips64n32 = p: family "mips" p && p.abi.abi or "" == "n32";
      isMips64n64 = p: family "mips" p && p.abi.abi or "" == "64";
      isPower = family "power";
      isPower64 = p: family "power" p && is64 p;
      isRiscV = family "riscv";
      isRiscV32 = p: family "riscv" p && is32 p;
      isRiscV64 = p: family "riscv" p && is64 p;
      isLoongArch64 = family "loongarch";
      isS390 = family "s390";
      isS390x = p: p.cpu.name == "s390x";
      isM68k = family "m68k";
      isMicroBlaze = family "microblaze";
      isSh4 = family "sh";
      isLittleEndian = p: p.cpu.significantByte.name == "littleEndian";
      isBigEndian = p: p.cpu.significantByte.name == "bigEndian";
      isLinux = p: p.kernel.name == "linux";
      isUnix = p: p.kernel.name == "linux";
      isNone = bare;
      isElf = p: p.kernel.execFormat.name == "elf";
      isMusl = abiIn [
        "musl"
        "musleabi"
        "musleabihf"
        "muslabi64"
        "muslabin32"
      ];
      isGnu = abiIn [
        "gnu"
        "gnueabi"
        "gnueabihf"
        "gnuabi64"
        "gnuabin32"
      ];
      isUClibc = abiIn [
        "uclibc"
        "uclibceabi"
        "uclibceabihf"
      ];
      isHardFloat = p: p.abi.float or "" == "hard";
      isAndroid = never;
      isBSD = never;
      isCygwin = never;
      isDarwin = never;
      isFreeBSD = never;
      isGenode = never;
      isGhcjs = never;
      isMacOS = never;
      isMinGW = never;
      isMsvc = never;
      isNetBSD = never;
      isOpenBSD = never;
      isRedox = never;
      isSunOS = never;
      isWasi = never;
      isWasm = never;
      isWindows = never;
      isiOS = never;
    };

  linuxArch =
    p:
    if p.isx86_64 then
      "x86_64"
    else if p.isx86_32 then
      "i386"
    else if p.isAarch64 then
      "arm64"
    else if p.isAarch32 then
      "arm"
    else
      {
        mips = "mips";
        power = "powerpc";
        riscv = "riscv";
        sh = "sh";
        s390 = "s390";
        loongarch = "loongarch";
        microblaze = "microblaze";
        m68k = "m68k";
      }
      .${p.parsed.cpu.family};

  qemuArch =
    p:
    if p.isAarch32 then
      "arm"
    else if p.isAarch64 then
      "aarch64${optionalString p.isBigEndian "_be"}"
    else if p.isx86_32 then
      "i386"
    else if p.isMips64n32 then
      "mipsn32${optionalString p.isLittleEndian "el"}"
    else if p.isMips64 then
      "mips64${optionalString p.isLittleEndian "el"}"
    else if p.isPower then
      "ppc${optionalString p.isPower64 "64"}${optionalString (p.isPower64 && p.isLittleEndian) "le"}"
    else
      p.parsed.cpu.name;

  libcOf =
    p:
    if p.isMusl then
      "musl"
    else if p.isUClibc then
      "uclibc"
    else if p.isLinux then
      "glibc"
    else
      "newlib";

  /**
    Everything that a platform's name implies, and what the caller adds.
    Type: `(String | AttrSet) -> Platform`
    Example: `(systems.elaborate "aarch64-linux").linuxArch` => `"arm64"`
    Example: `(systems.elaborate { config = "armv7l-unknown-linux-musleabihf"; }).isMusl` => `true`
  */
  elaborate =
    systemOrArgs:
    let
      given = if isString systemOrArgs then { system = systemOrArgs; } else systemOrArgs;
      args = removeAttrs given [
        "parsed"
        "system"
        "_withoutFunctions"
      ];
      parsed = parse.mkSystemFromString (args.config or given.system);
      target = targets.${final.config} or { };
      emulatorOf =
        pkgs:
        let
          host = pkgs.stdenv.hostPlatform;
        in
        if host.canExecute final then
          lib.getExe (pkgs.writeShellScriptBin "exec" ''exec "$@"'')
        else if final.isLinux && host.isLinux then
          "${pkgs.qemu-user}/bin/qemu-${final.qemuArch}"
        else
          null;
      final = {
        _withoutFunctions = removeAttrs final (functionNames ++ [ "_withoutFunctions" ]);
        inherit parsed;
        system = parse.doubleFromSystem parsed;
        config = parse.tripleFromSystem parsed;
        libc = libcOf final;
        linker = "bfd";
        useLLVM = false;
        isStatic = false;
        hasSharedLibraries = !final.isStatic && !final.isNone;
        libDir = if final.isx86_64 || final.isMips64 || final.isPower64 then "lib64" else "lib";
        extensions = {
          staticLibrary = ".a";
          sharedLibrary = ".so";
          library = if final.isStatic then ".a" else ".so";
          executable = "";
        };
        uname = {
          system = if final.isLinux then "Linux" else null;
          processor = if final.isMips64 then "mips64" else parsed.cpu.name;
          release = null;
        };
        debian = target.debian or null;
        gcc = target.gcc or { };
        qemu = target.qemu or null;
        linuxArch = linuxArch final;
        ubootArch =
          if final.isx86_32 then
            "x86"
          else if final.isMips64 then
            "mips64"
          else
            final.linuxArch;
        qemuArch = qemuArch final;
        efiArch =
          if final.isx86_32 then
            "ia32"
          else if final.isx86_64 then
            "x64"
          else if final.isAarch32 then
            "arm"
          else if final.isAarch64 then
            "aa64"
          else
            parsed.cpu.name;
        canExecute =
          other: parse.isCompatible parsed.cpu other.parsed.cpu && parsed.kernel == other.parsed.kernel;
        emulator =
          pkgs:
          let
            found = emulatorOf pkgs;
          in
          if found == null then throw "Don't know how to run ${final.config} executables." else found;
        emulatorAvailable = pkgs: emulatorOf pkgs != null;
        staticEmulatorAvailable = pkgs: final.emulatorAvailable pkgs;
      }
      // mapAttrs (_: ask: ask parsed) predicates
      // args;
    in
    final;
  systems = lib.unique (
    map (config: parse.doubleFromSystem (parse.mkSystemFromString config)) (builtins.attrNames targets)
  );
  satisfying = ask: builtins.filter (s: ask (parse.mkSystemFromString s)) systems;
  /**
    The systems that packages of this tree are made for, by what they have in common (`lib.platforms`).
  */
  doubles = {
    all = systems;
    none = [ ];
    linux = satisfying predicates.isLinux;
    unix = satisfying predicates.isUnix;
    x86 = satisfying predicates.isx86;
    x86_32 = satisfying predicates.isx86_32;
    x86_64 = satisfying predicates.isx86_64;
    i686 = satisfying predicates.isi686;
    arm = satisfying predicates.isAarch32;
    aarch = satisfying predicates.isAarch;
    aarch64 = satisfying predicates.isAarch64;
    mips = satisfying predicates.isMips;
    riscv = satisfying predicates.isRiscV;
    riscv64 = satisfying predicates.isRiscV64;
    power = satisfying predicates.isPower;
    littleEndian = satisfying predicates.isLittleEndian;
    bigEndian = satisfying predicates.isBigEndian;
    darwin = [ ];
    windows = [ ];
    freebsd = [ ];
    netbsd = [ ];
    openbsd = [ ];
    embedded = [ ];
  };
in
{
  inherit
    elaborate
    doubles
    ;

  inherit parse targets functionNames;

  /**
    Are two elaborated platforms the same?
  */
  equals = a: b: a._withoutFunctions == b._withoutFunctions;

  /**
    A system string as arguments for `elaborate`.
  */
  systemToAttrs = s: if isString s then { system = s; } else s;

  /**
    The questions that platforms answer, as functions of what `parse` gives.
  */
  inspect = { inherit predicates; };

  /**
    Named targets for `pkgsCross`, each arguments for `elaborate`.
  */
  examples = lib.mapAttrs' (config: target: {
    inherit (target) name;
    value = { inherit config; };
  }) targets;

  flakeExposed = [
    "x86_64-linux"
    "aarch64-linux"
    "armv7l-linux"
    "riscv64-linux"
  ];
}
