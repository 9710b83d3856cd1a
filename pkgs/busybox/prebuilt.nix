{
  lib,
  mkDerivation,
  seed,
  unpackDebs,
}:
let
  package = lib.head seed.busybox;

  unpacked = unpackDebs {
    name = "seed-busybox";
    debs = seed.busybox;
    include = [ "usr/bin/busybox" ];
  };
in
# The one package that cannot be built with the others: all of them run in its shell.
mkDerivation {
  pname = "busybox";
  version = lib.head (lib.splitString "-" (lib.last (lib.splitString ":" package.debVersion)));
  builder = "${unpacked}/usr/bin/busybox";
  args = [
    "sh"
    "-euc"
    ''
      $builder mkdir -p $out/bin
      $builder cp $builder $out/bin/busybox
      for applet in $($builder --list); do
        [ $applet = busybox ] || $builder ln -s busybox $out/bin/$applet
      done
    ''
  ];
  passthru = {
    inherit unpacked;
    shellPath = "/bin/sh";
  };
  meta = {
    description = "Tiny versions of the common Unix programs, in one statically linked file";
    homepage = "https://busybox.net/";
    license = lib.licenses.gpl2Only;
    mainProgram = "busybox";
  };
}
