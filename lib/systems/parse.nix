# Platform names taken apart: "x86_64-linux" and "armv7l-unknown-linux-musleabihf" as data.
#
# The table knows the processors and ABIs of Linux systems and of bare metal; nothing else is built
# here.
lib:
let
  inherit (builtins)
    elemAt
    length
    mapAttrs
    ;
  inherit (lib) setType splitString;

  tagged = tag: mapAttrs (name: value: setType tag ({ inherit name; } // value));

  little = {
    name = "littleEndian";
    _type = "significant-byte";
  };
  big = {
    name = "bigEndian";
    _type = "significant-byte";
  };

  cpu =
    family: bits: significantByte: more:
    { inherit family bits significantByte; } // more;

  arm = version: cpu "arm" 32 little { inherit version; };
  x86 = arch: cpu "x86" 32 little { inherit arch; };

  cpuTypes = tagged "cpu-type" {
    arm = cpu "arm" 32 little { };
    armv5tel = arm "5" // {
      arch = "armv5t";
    };
    armv6l = arm "6" // {
      arch = "armv6";
    };
    armv7a = arm "7" // {
      arch = "armv7-a";
    };
    armv7l = arm "7" // {
      arch = "armv7";
    };
    armv8a = arm "8" // {
      arch = "armv8-a";
    };
    aarch64 = cpu "arm" 64 little {
      version = "8";
      arch = "armv8-a";
    };
    aarch64_be = cpu "arm" 64 big {
      version = "8";
      arch = "armv8-a";
    };
    i386 = x86 "i386";
    i486 = x86 "i486";
    i586 = x86 "i586";
    i686 = x86 "i686";
    x86_64 = cpu "x86" 64 little { arch = "x86-64"; };
    mips = cpu "mips" 32 big { };
    mipsel = cpu "mips" 32 little { };
    mips64 = cpu "mips" 64 big { };
    mips64el = cpu "mips" 64 little { };
    powerpc = cpu "power" 32 big { };
    powerpc64 = cpu "power" 64 big { };
    powerpc64le = cpu "power" 64 little { };
    riscv32 = cpu "riscv" 32 little { };
    riscv64 = cpu "riscv" 64 little { };
    loongarch64 = cpu "loongarch" 64 little { };
    s390x = cpu "s390" 64 big { };
    m68k = cpu "m68k" 32 big { };
    microblaze = cpu "microblaze" 32 big { };
    microblazeel = cpu "microblaze" 32 little { };
    sh4 = cpu "sh" 32 little { };
  };

  vendors = tagged "vendor" {
    pc = { };
    unknown = { };
    none = { };
  };

  elf = {
    name = "elf";
    _type = "exec-format";
  };

  kernels = tagged "kernel" {
    linux = {
      execFormat = elf;
      families = { };
    };
    none = {
      execFormat = {
        name = "unknown";
        _type = "exec-format";
      };
      families = { };
    };
  };

  soft = {
    float = "soft";
    eabi = true;
  };
  hard = {
    float = "hard";
    eabi = true;
  };

  abis = tagged "abi" {
    gnu = { };
    gnueabi = soft;
    gnueabihf = hard;
    gnuabi64.abi = "64";
    gnuabin32.abi = "n32";
    musl = { };
    musleabi = soft;
    musleabihf = hard;
    muslabi64.abi = "64";
    muslabin32.abi = "n32";
    uclibc = { };
    uclibceabi = soft;
    uclibceabihf = hard;
    eabi = soft;
    eabihf = hard;
    elf = { };
    unknown = { };
  };

  lookUp =
    what: table: name:
    table.${name} or (throw "Unknown ${what}: ${name}${
      let
        near = lib.modules.similarNames name (
          builtins.filter (lib.levenshteinAtMost 2 name) (builtins.attrNames table)
        );
      in
      lib.optionalString (near != [ ]) " (did you mean ${lib.concatStringsSep " or " near}?)"
    }");

  isBare = name: name == "elf" || name == "eabi" || name == "eabihf";

  # cpu, vendor, kernel and abi names of the components of a name; null where it does not say.
  skeleton =
    parts:
    let
      at = elemAt parts;
      bad = why: throw "system string '${lib.concatStringsSep "-" parts}' ${why}";
      none = {
        vendor = null;
        abi = null;
      };
    in
    if length parts == 2 then
      none
      // {
        cpu = at 0;
      }
      // (
        if isBare (at 1) then
          {
            kernel = "none";
            abi = at 1;
          }
        else
          { kernel = at 1; }
      )
    else if length parts == 3 then
      if at 1 == "linux" || isBare (at 2) then
        none
        // {
          cpu = at 0;
          kernel = at 1;
          abi = at 2;
        }
      else if kernels ? ${at 2} then
        none
        // {
          cpu = at 0;
          vendor = at 1;
          kernel = at 2;
        }
      else
        bad "with 3 components is ambiguous"
    else if length parts == 4 then
      {
        cpu = at 0;
        vendor = at 1;
        kernel = at 2;
        abi = at 3;
      }
    else
      bad "has invalid number of hyphen-separated components";

  defaultAbi =
    cpu: kernel:
    if kernel.name != "linux" then
      abis.unknown
    else if cpu.family == "arm" && cpu.bits == 32 then
      if lib.versionAtLeast (cpu.version or "0") "6" then abis.gnueabihf else abis.gnueabi
    else
      abis.gnu;
in
{
  inherit
    cpuTypes
    vendors
    kernels
    abis
    ;
  significantBytes = {
    littleEndian = little;
    bigEndian = big;
  };

  isSystem = lib.isType "system";

  /**
    The parts of a system or triple.
    Example: `(systems.parse.mkSystemFromString "mipsel-unknown-linux-musl").cpu.bits` => `32`
  */
  mkSystemFromString =
    s:
    let
      names = skeleton (splitString "-" s);
      cpu = lookUp "CPU type" cpuTypes names.cpu;
      kernel = lookUp "kernel" kernels names.kernel;
    in
    setType "system" {
      inherit cpu kernel;
      vendor = if names.vendor == null then vendors.unknown else lookUp "vendor" vendors names.vendor;
      abi = if names.abi == null then defaultAbi cpu kernel else lookUp "ABI" abis names.abi;
    };

  /**
    "cpu-kernel", what Nix calls a system.
  */
  doubleFromSystem = { cpu, kernel, ... }: "${cpu.name}-${kernel.name}";

  /**
    "cpu-vendor-kernel-abi", what compilers call a target.
  */
  tripleFromSystem =
    {
      cpu,
      vendor,
      kernel,
      abi,
      ...
    }:
    "${cpu.name}-${vendor.name}-${kernel.name}${
      lib.optionalString (abi.name != "unknown") "-${abi.name}"
    }";

  /**
    The same system with musl as its C library.
  */
  mkMuslSystem =
    parsed:
    parsed
    // {
      abi =
        {
          gnueabi = abis.musleabi;
          gnueabihf = abis.musleabihf;
          gnuabin32 = abis.muslabin32;
          gnuabi64 = abis.muslabi64;
          musleabi = abis.musleabi;
          musleabihf = abis.musleabihf;
          muslabin32 = abis.muslabin32;
          muslabi64 = abis.muslabi64;
        }
        .${parsed.abi.name} or abis.musl;
    };

  /**
    Does a processor run the programs of another?
    Example: `let p = systems.parse; in p.isCompatible p.cpuTypes.x86_64 p.cpuTypes.i686` => `true`
  */
  isCompatible =
    a: b:
    let
      same = a.family == b.family && a.significantByte == b.significantByte;
      x86Order = {
        i386 = 3;
        i486 = 4;
        i586 = 5;
        i686 = 6;
        x86_64 = 64;
      };
    in
    a == b
    || (
      same
      && (
        if a.family == "x86" then
          x86Order.${a.name} >= x86Order.${b.name}
        else if a.family == "arm" && a.bits == 32 && b.bits == 32 then
          lib.versionAtLeast (a.version or "0") (b.version or "99")
        else
          false
      )
    );
}
