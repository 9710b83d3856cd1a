# What an EFI firmware finds on an image of picnix that needs to be told a command line: see loader.S.
{
  lib,
  stdenvNoLibc,
}:
stdenvNoLibc.mkDerivation {
  pname = "efi-loader";
  version = "1";

  loader = ./loader.S;
  dontUnpack = true;

  buildPhase = ''
    $AS --64 -o loader.o "$loader"
    $LD -m elf_x86_64 -Ttext=0 -e _start -o loader.elf loader.o
    $OBJCOPY -O binary -j .text loader.elf loader.efi
  '';

  installPhase = ''
    [ "$(stat -c %s loader.efi)" = 2048 ] || die "the loader is not 2,048 bytes long"
    install -D -m 644 loader.efi "$out/loader.efi"
  '';
  dontFixup = true;

  meta = {
    description = "Starts Linux by EFI with a command line that depends on the medium";
    homepage = "https://docs.kernel.org/admin-guide/efi-stub.html";
    license = lib.licenses.mit;
  };
}
