# Platforms: names, what they imply, and the targets of images.
let
  lib = import ../../lib;
  inherit (lib.systems) elaborate parse targets;

  summary =
    platform:
    let
      p = elaborate platform;
    in
    [
      p.system
      p.config
      p.libc
      p.linuxArch
      p.qemuArch
      p.parsed.cpu.bits
      p.isLittleEndian
    ];
in
lib.runTests {
  testSystemString = {
    expr = summary "x86_64-linux";
    expected = [
      "x86_64-linux"
      "x86_64-unknown-linux-gnu"
      "glibc"
      "x86_64"
      "x86_64"
      64
      true
    ];
  };

  testTriples = {
    expr = map (config: summary { inherit config; }) (lib.attrNames targets);
    expected = [
      [
        "aarch64-linux"
        "aarch64-unknown-linux-musl"
        "musl"
        "arm64"
        "aarch64"
        64
        true
      ]
      [
        "armv7l-linux"
        "armv7l-unknown-linux-musleabihf"
        "musl"
        "arm"
        "arm"
        32
        true
      ]
      [
        "i486-linux"
        "i486-unknown-linux-musl"
        "musl"
        "i386"
        "i386"
        32
        true
      ]
      [
        "i686-linux"
        "i686-unknown-linux-musl"
        "musl"
        "i386"
        "i386"
        32
        true
      ]
      [
        "mips-linux"
        "mips-unknown-linux-musl"
        "musl"
        "mips"
        "mips"
        32
        false
      ]
      [
        "mipsel-linux"
        "mipsel-unknown-linux-musl"
        "musl"
        "mips"
        "mipsel"
        32
        true
      ]
      [
        "riscv64-linux"
        "riscv64-unknown-linux-musl"
        "musl"
        "riscv"
        "riscv64"
        64
        true
      ]
      [
        "x86_64-linux"
        "x86_64-unknown-linux-musl"
        "musl"
        "x86_64"
        "x86_64"
        64
        true
      ]
    ];
  };

  testTargetsSayWhatTheCompilerGets = {
    expr = (elaborate { config = "mipsel-unknown-linux-musl"; }).gcc;
    expected = {
      arch = "24kc";
      float = "soft";
      abi = "32";
    };
  };

  testCallersWin = {
    expr =
      (elaborate {
        config = "x86_64-unknown-linux-musl";
        isStatic = true;
        gcc.arch = "x86-64-v3";
      }).gcc.arch;
    expected = "x86-64-v3";
  };

  testStaticLibraries = {
    expr =
      (elaborate {
        config = "x86_64-unknown-linux-musl";
        isStatic = true;
      }).extensions.library;
    expected = ".a";
  };

  testElaborateTwice = {
    expr =
      let
        p = elaborate "aarch64-linux";
      in
      lib.systems.equals p (elaborate p);
    expected = true;
  };

  testCanExecute = {
    expr =
      let
        x86 = elaborate "x86_64-linux";
      in
      map (other: x86.canExecute (elaborate other)) [
        "x86_64-linux"
        "i686-linux"
        "aarch64-linux"
      ];
    expected = [
      true
      true
      false
    ];
  };

  testMuslOfGnu = {
    expr = parse.tripleFromSystem (
      parse.mkMuslSystem (parse.mkSystemFromString "armv7l-unknown-linux-gnueabihf")
    );
    expected = "armv7l-unknown-linux-musleabihf";
  };

  testUnknownNames = {
    expr =
      map (name: (builtins.tryEval (builtins.deepSeq (parse.mkSystemFromString name) true)).success)
        [
          "x86_65-linux"
          "x86_64-unknown-lunix-musl"
          "linux"
        ];
    expected = [
      false
      false
      false
    ];
  };

  testPlatformsOfPackages = {
    expr = map (lib.meta.availableOn (elaborate "riscv64-linux")) [
      { }
      { meta.platforms = lib.platforms.linux; }
      { meta.platforms = lib.platforms.x86; }
      { meta.badPlatforms = [ "riscv64-linux" ]; }
    ];
    expected = [
      true
      true
      false
      false
    ];
  };
}
