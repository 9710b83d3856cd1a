{
  lib,
  callPackage,
  hostPlatform,
  stdenvNoLibc,
}:
stdenvNoLibc.mkDerivation {
  pname = "linux-headers";
  inherit (callPackage ../linux/source.nix { }) version src;

  # Only what makes the headers: the rest is a gigabyte.
  unpackPhase = ''
    tar -xf "$src" --wildcards --no-same-owner '*/include/*' '*/arch/*' '*/scripts/*' '*/tools/*' \
      '*/usr/*' '*/Makefile' '*/Kconfig*' '*/Kbuild*'
    sourceRoot=linux-$version
  '';

  dontConfigure = true;
  dontBuild = true;
  installPhase = ''
    make ARCH=${hostPlatform.linuxArch} INSTALL_HDR_PATH="$out" headers_install
    find "$out" -name '.*' -type f -delete
  '';
  dontStrip = true;

  meta = {
    description = "The kernel's headers for programs";
    homepage = "https://www.kernel.org/";
    license = lib.licenses.gpl2Only;
  };
}
