# What the images of picnix that start by a PC's BIOS begin with: see loader.S, and mbr.S for those that
# are a CD and a disk at once.
{
  lib,
  stdenvNoLibc,
}:
stdenvNoLibc.mkDerivation {
  pname = "bios-loader";
  version = "2";

  loader = ./loader.S;
  mbr = ./mbr.S;
  dontUnpack = true;

  buildPhase = ''
    # Assembles NAME for an address; it must be as long as said.
    assemble() {
      $AS --32 -o "$1.o" "''${!1}"
      $LD -m elf_i386 -Ttext="$2" -e _start -o "$1.elf" "$1.o"
      $OBJCOPY -O binary -j .text "$1.elf" "$1.bin"
      [ "$(stat -c %s "$1.bin")" = "$3" ] || die "$1.bin is not $3 bytes long"
    }
    assemble loader 0x7c00 2048
    assemble mbr 0x600 512
  '';

  installPhase = ''
    install -D -m 644 -t "$out" loader.bin mbr.bin
  '';
  dontFixup = true;

  meta = {
    description = "Starts Linux by a PC's BIOS from known sectors of a floppy, a disk or a CD";
    homepage = "https://docs.kernel.org/arch/x86/boot.html";
    license = lib.licenses.mit;
  };
}
