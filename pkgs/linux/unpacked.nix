# A kernel for x86_64 as it is before it is packed, in the same kind of file: the very same kernel, without
# being built again. Emulated machines start sooner with it; images are smaller with the packed one.
{
  linux,
  stdenvNoLibc,
}:
stdenvNoLibc.mkDerivation {
  pname = "linux-unpacked";
  inherit (linux) version;

  packed = "${linux}/${linux.kernelFile}";
  beginning = ./unpacked.S;
  dontUnpack = true;

  buildPhase = ''
    $AS --64 -o beginning.o "$beginning"
    $LD -m elf_x86_64 -Ttext=0x100000 -e _start -o beginning.elf beginning.o
    $OBJCOPY -O binary -j .text beginning.elf beginning.bin
    python3 ${./unpacked.py} "$packed" beginning.bin bzImage
  '';

  installPhase = ''
    install -D -m 644 -t "$out" bzImage
  '';
  dontFixup = true;

  meta = {
    inherit (linux.meta) homepage license;
    description = "${linux.meta.description}, not packed";
  };
}
