# QEMU for machines with a serial console. It is started outside of any box, by its own loader, with
# the folders that `passthru` names; so nothing of the host is linked into it.
{
  lib,
  runCommand,
  seed,
  unpackDebs,
  # The processor to emulate, as it is in the names of QEMU's programs.
  processor ? "x86_64",
}:
let
  package = lib.findFirst (deb: deb.debName == "qemu-system-x86") null seed.qemu;
  libDir = "usr/lib/x86_64-linux-gnu";

  # What a machine runs before the kernel, and the Debian packages beyond those of x86_64.
  parts =
    {
      x86_64 = {
        # BIOS, and the option ROMs for `-kernel`.
        firmware = [
          "usr/share/seabios/bios-256k.bin"
          "usr/share/qemu/kvmvapic.bin"
          "usr/share/qemu/linuxboot.bin"
          "usr/share/qemu/linuxboot_dma.bin"
        ];
        debs = [ ];
      };
      aarch64 = {
        firmware = [ ];
        debs = seed.qemu-arm;
      };
      mips = {
        firmware = [ ];
        debs = seed.qemu-mips;
      };
      riscv64 = {
        firmware = [
          "usr/lib/riscv64-linux-gnu/opensbi/generic/fw_dynamic.bin"
          "usr/share/qemu/opensbi-riscv64-generic-fw_dynamic.bin"
        ];
        debs = seed.qemu-riscv;
      };
    }
    .${
      {
        arm = "aarch64";
        mipsel = "mips";
      }
      .${processor} or processor
    };

  # Fails if a library of the program is missing from the tree.
  starts = runCommand "qemu-starts" { boxRoot = qemu; } ''
    /${qemu.program} --version >$out
  '';

  qemu = unpackDebs {
    pname = "qemu" + lib.optionalString (processor != "x86_64") "-${processor}";
    # "1:7.2+dfsg-7+deb12u18": the epoch before, the repacking after.
    version = lib.head (
      lib.splitString "+" (lib.last (lib.splitString ":" package.debVersion))
    );
    debs = seed.qemu ++ parts.debs;
    include = [
      "usr/bin/qemu-system-${processor}"
      "${libDir}/*.so*"
      "usr/lib64/*"
      # The emulator's engine; the other loadable parts draw and play sound.
      "${libDir}/qemu/accel-tcg-${processor}.so"
    ]
    ++ parts.firmware;
    passthru = {
      program = "usr/bin/qemu-system-${processor}";
      loader = "${libDir}/ld-linux-x86-64.so.2";
      libraryPath = [ libDir ];
      moduleDir = "${libDir}/qemu";
      dataDirs = [
        "usr/share/qemu"
        "usr/share/seabios"
      ];
      tests = { inherit starts; };
    };
    meta = {
      description = "Machine emulator, for running images";
      homepage = "https://www.qemu.org/";
      license = lib.licenses.gpl2Only;
      mainProgram = "qemu-system-${processor}";
    };
  };
in
qemu
