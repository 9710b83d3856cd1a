# A libgcc for processors without a floating-point unit, where the seed's compiler has only one for
# those with: Debian's for MIPS takes and returns numbers in registers that a 24Kc does not have.
#
# Arithmetic is glibc's soft-fp, which is also what gcc's own is made of. The routines for integers
# are the seed's: they are the same for both, which the build checks.
{
  lib,
  crossToolchain,
  debianMirror,
  fetchurl,
  stdenvNoLibc,
}:
let
  version = "2.36";
in
stdenvNoLibc.mkDerivation {
  pname = "soft-float";
  inherit version;

  src = fetchurl {
    # Debian's file: it is not upstream's tarball, documents are left out.
    name = "glibc_${version}.orig.tar.xz";
    url = debianMirror "g/glibc/glibc_${version}.orig.tar.xz";
    hash = "sha256-pUPAIHDUbMr4ZpV+/RPxDJJNqnTIapCgJU2wmpKnCO4=";
  };

  unpackPhase = ''
    tar -xf "$src" --no-same-owner --wildcards '*/soft-fp/*' '*/stdlib/longlong.h' \
      '*/sysdeps/mips/mips32/sfp-machine.h'
    sourceRoot=glibc-$version
  '';

  # What the rest of glibc would define.
  outside = ''
    #define __LITTLE_ENDIAN 1234
    #define __BIG_ENDIAN 4321
    #define __BYTE_ORDER __BYTE_ORDER__
    #define strong_alias(name, alias_name) \
        extern __typeof (name) alias_name __attribute__ ((alias (#name)));
  '';
  passAsFile = [ "outside" ];

  # Single and double precision; long double is double here.
  routines = [
    "addsf3 subsf3 mulsf3 divsf3 negsf2 eqsf2 gesf2 lesf2 unordsf2"
    "adddf3 subdf3 muldf3 divdf3 negdf2 eqdf2 gedf2 ledf2 unorddf2"
    "fixsfsi fixsfdi fixunssfsi fixunssfdi floatsisf floatdisf floatunsisf floatundisf"
    "fixdfsi fixdfdi fixunsdfsi fixunsdfdi floatsidf floatdidf floatunsidf floatundidf"
    "extendsfdf2 truncdfsf2"
  ];

  # Objects of the seed's libgcc: 64-bit arithmetic, shifts and bits.
  integers = [
    "_muldi3 _negdi2 _ashldi3 _ashrdi3 _lshrdi3 _cmpdi2 _ucmpdi2 _clear_cache"
    "_divdi3 _moddi3 _divmoddi4 _udivdi3 _umoddi3 _udivmoddi4"
    "_ffssi2 _ffsdi2 _clz _clzsi2 _clzdi2 _ctzsi2 _ctzdi2 _clrsbsi2 _clrsbdi2"
    "_popcount_tab _popcountsi2 _popcountdi2 _paritysi2 _paritydi2 _bswapsi2 _bswapdi2"
  ];

  gccDir = "${crossToolchain}/usr/lib/gcc-cross/${crossToolchain.triple}/12";

  buildPhase = ''
    runHook preBuild
    mkdir objects
    for routine in $routines; do
      $CC -Os -fno-pie -ffreestanding -fno-asynchronous-unwind-tables -nostdinc \
        -isystem "$gccDir/include" -include "$outsidePath" \
        -Isoft-fp -Istdlib -Isysdeps/mips/mips32 -c "soft-fp/$routine.c" -o "objects/$routine.o"
    done

    integers=$(printf '%s.o ' $integers)
    cd objects
    $AR x "$gccDir/libgcc.a" $integers
    cp "$gccDir"/crtbegin*.o "$gccDir"/crtend*.o .
    chmod u+w *.o
    for object in $integers crt*.o; do
      # Without these notes an object is for either kind of processor; so it must be.
      if $OBJDUMP -d --no-show-raw-insn "$object" |
        grep -E '\$f[0-9]|\b(ctc1|cfc1)\b' >&2; then
        die "buildPhase: $object uses floating-point registers"
      fi
      $OBJCOPY -R .gnu.attributes -R .MIPS.abiflags "$object"
    done
    mkdir ../crt
    mv crt*.o ../crt/
    cd ..
    runHook postBuild
  '';

  installPhase = ''
    mkdir -p "$out/lib"
    cp crt/* "$out/lib/"
    $AR rcD "$out/lib/libgcc.a" objects/*.o
  '';
  dontConfigure = true;

  meta = {
    description = "Arithmetic for processors without a floating-point unit";
    homepage = "https://sourceware.org/glibc/";
    license = lib.licenses.lgpl21Plus;
  };
}
