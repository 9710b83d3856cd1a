# Debian's tarball has no configure script; there is little that one would find out.
{
  lib,
  debianMirror,
  fetchurl,
  tinyStdenv,
}:
let
  version = "30";
in
tinyStdenv.mkDerivation {
  pname = "kmod";
  inherit version;

  src = fetchurl {
    name = "kmod_${version}.orig.tar.xz";
    url = debianMirror "k/kmod/kmod_${version}+20221128.orig.tar.xz";
    hash = "sha256-ALya5PH54bvBJm2DhFKGW8fCQnHQhTk57b4wKa0ir04=";
  };

  dontConfigure = true;
  config = ./config.h;
  buildPhase = ''
    sources="shared/array.c shared/hash.c shared/scratchbuf.c shared/strbuf.c shared/util.c
      libkmod/libkmod.c libkmod/libkmod-builtin.c libkmod/libkmod-list.c libkmod/libkmod-config.c
      libkmod/libkmod-index.c libkmod/libkmod-module.c libkmod/libkmod-file.c libkmod/libkmod-elf.c
      libkmod/libkmod-signature.c tools/kmod.c tools/lsmod.c tools/rmmod.c tools/insmod.c tools/modinfo.c
      tools/modprobe.c tools/depmod.c tools/log.c tools/static-nodes.c"
    $CC $CFLAGS -D_GNU_SOURCE -include "$config" -DVERSION="\"$version\"" -I. -o kmod $sources $LDFLAGS
  '';
  installPhase = ''
    install -D -m 755 -t "$out/bin" kmod
    for name in depmod insmod lsmod modinfo modprobe rmmod; do ln -s kmod "$out/bin/$name"; done
  '';

  testScript = ''
    run kmod --version | grep -q "^kmod version 30"
    mkdir -p root/lib/modules/1.0
    : >root/lib/modules/1.0/modules.order
    printf 'kernel/fs/ext2.ko\n' >root/lib/modules/1.0/modules.builtin
    run depmod -b root 1.0
    [ -s root/lib/modules/1.0/modules.builtin.bin ]
    [ "$(run modprobe -d root -S 1.0 --show-depends ext2)" = "builtin ext2" ]
  '';

  meta = {
    description = "Loads modules into the kernel";
    homepage = "https://git.kernel.org/pub/scm/utils/kernel/kmod/kmod.git";
    license = [
      lib.licenses.lgpl21Plus
      lib.licenses.gpl2Plus
    ];
    mainProgram = "kmod";
  };
}
