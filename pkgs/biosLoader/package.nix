# What the images of picnix that start by a PC's BIOS begin with: see loader.S.
{
  lib,
  stdenvNoLibc,
}:
stdenvNoLibc.mkDerivation {
  pname = "bios-loader";
  version = "1";

  source = ./loader.S;
  dontUnpack = true;

  buildPhase = ''
    $AS --32 -o loader.o "$source"
    $LD -m elf_i386 -Ttext=0x7c00 -e _start -o loader.elf loader.o
    $OBJCOPY -O binary -j .text loader.elf loader.bin
  '';

  installPhase = ''
    [ "$(stat -c %s loader.bin)" = 2048 ] || die "the loader is not 2,048 bytes long"
    install -D -m 644 loader.bin "$out/loader.bin"
  '';
  dontFixup = true;

  meta = {
    description = "Starts Linux by a PC's BIOS from known sectors of a floppy, a disk or a CD";
    homepage = "https://docs.kernel.org/arch/x86/boot.html";
    license = lib.licenses.mit;
  };
}
