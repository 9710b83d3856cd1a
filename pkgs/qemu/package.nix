# QEMU for x86_64 machines with a serial console. It is started outside of any box, by its own
# loader, with the folders that `passthru` names; so nothing of the host is linked into it.
{
  lib,
  runCommand,
  seed,
  unpackDebs,
}:
let
  package = lib.findFirst (deb: deb.debName == "qemu-system-x86") null seed.qemu;
  libDir = "usr/lib/x86_64-linux-gnu";

  # Fails if a library of the program is missing from the tree.
  starts = runCommand "qemu-starts" { boxRoot = qemu; } ''
    /${qemu.program} --version >$out
  '';

  qemu = unpackDebs {
    pname = "qemu";
    # "1:7.2+dfsg-7+deb12u18": the epoch before, the repacking after.
    version = lib.head (
      lib.splitString "+" (lib.last (lib.splitString ":" package.debVersion))
    );
    debs = seed.qemu;
    include = [
      "usr/bin/qemu-system-x86_64"
      "${libDir}/*.so*"
      "usr/lib64/*"
      # The emulator's engine; the other loadable parts draw and play sound.
      "${libDir}/qemu/accel-tcg-x86_64.so"
      # What the machine runs before the kernel: BIOS, and the option ROMs for `-kernel`.
      "usr/share/seabios/bios-256k.bin"
      "usr/share/qemu/kvmvapic.bin"
      "usr/share/qemu/linuxboot.bin"
      "usr/share/qemu/linuxboot_dma.bin"
    ];
    passthru = {
      program = "usr/bin/qemu-system-x86_64";
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
      mainProgram = "qemu-system-x86_64";
    };
  };
in
qemu
