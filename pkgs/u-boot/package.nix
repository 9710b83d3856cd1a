# U-Boot, which loads kernels on boards: for QEMU's boards, what the machine starts with.
{
  lib,
  buildPackages,
  callPackage,
  debianMirror,
  debianPatches,
  fetchurl,
  hostPlatform,
  kconfig,
  stdenvNoLibc,
  # The name of a file in the source's configs, without _defconfig; null for QEMU's board of the target.
  board ? null,
  # Options without CONFIG_, instead of what the board's file says. Who needs EFI sets EFI_LOADER.
  config ? { },
}:
let
  version = "2023.01";
  inherit (hostPlatform) linuxArch qemu;

  boards = import ./boards.nix;
  boardOf = {
    arm = "qemu_arm";
    arm64 = "qemu_arm64";
    mips = if hostPlatform.isLittleEndian then "maltael" else "malta";
    riscv = "qemu-riscv64_smode";
  };
  chosen =
    if board != null then
      board
    else
      boardOf.${linuxArch}
        or (throw "u-boot: QEMU has no board for ${hostPlatform.config} that U-Boot starts on by itself; name a `board`");
  known =
    boards.${chosen} or {
      firmware = null;
      sources = "arch/|board/";
      config = { };
    };
  sourceFolder = if linuxArch == "arm64" then "arm" else linuxArch;

  # Small, and without OpenSSL, which the tools for signed images are linked with.
  values = {
    # Two spaces in the first second lead to its prompt. Any key would, and serial lines hear noise.
    AUTOBOOT_KEYED = "y";
    AUTOBOOT_STOP_STR = "  ";
    BOOTDELAY = 1;
    EFI_LOADER = "n";
    FIT_SIGNATURE = "n";
    TOOLS_LIBCRYPTO = "n";
  }
  // known.config
  // config;

  u-boot = stdenvNoLibc.mkDerivation {
    pname = "u-boot";
    inherit version;

    # Without what is not free, which these boards do not need.
    src = fetchurl {
      name = "u-boot_${version}-dfsg.orig.tar.xz";
      url = debianMirror "u/u-boot/u-boot_${version}+dfsg.orig.tar.xz";
      hash = "sha256-512m8InQY6rvOaHBfxYxeR2HcAZiYk4Y3iEh+jmh7UQ=";
    };

    patches = debianPatches {
      name = "u-boot";
      src = fetchurl {
        name = "u-boot_${version}-dfsg-2-deb12u3.debian.tar.xz";
        url = debianMirror "u/u-boot/u-boot_${version}+dfsg-2+deb12u3.debian.tar.xz";
        hash = "sha256-+dlqUJXVQthzLszavNHR5+qqgyMRzjlfeLjq0frZhF4=";
      };
      patches = [
        # The folder it is built in does not show.
        "Makefile-Use-relative-paths-for-debugging-symbols.patch"
        # Forged file systems (ext4, squashfs) and malloc wrote beyond their memory.
        "CVE-2024-57254.patch"
        "CVE-2024-57255.patch"
        "CVE-2024-57256.patch"
        "CVE-2024-57257.patch"
        "CVE-2024-57258-1.patch"
        "CVE-2024-57258-2.patch"
        "CVE-2024-57258-3.patch"
        "CVE-2024-57259.patch"
        # The network's answers were copied as they came.
        "CVE-2024-42040.patch"
        # Signed images: parts that the signature did not cover.
        "CVE-2026-46728-1.patch"
        "CVE-2026-46728-2.patch"
        "CVE-2026-46728-3.patch"
      ];
    }
    ++ known.patches or [ ];

    # Of 19,165 files half are other boards'; of those only Kconfig, make and patches want some.
    unpackPhase = ''
      tar -tf "$src" >all
      sourceRoot=u-boot-$version
      grep -q "^$sourceRoot/configs/''${board}_defconfig\$" all ||
        die "unpackPhase: U-Boot $version has no board '$board'; it has: $(
          sed -n "s|^$sourceRoot/configs/\(.*\)_defconfig\$|\1|p" all | tr '\n' ' '
        )"
      grep -v -e '/$' -e "^$sourceRoot/\(configs\|doc\|examples\|test\)/" all |
        grep -v -E "^$sourceRoot/(arch/.*/dts/|arch/[^/]*/mach-|board/)" |
        grep -v -e "^$sourceRoot/arch/" >needed
      grep "^$sourceRoot/arch/$sourceFolder/" all | grep -v -e '/$' -e /dts/ -e "/mach-[^/]*/" >>needed
      grep -E -e "^$sourceRoot/($sources)" -e "/configs/''${board}_defconfig\$" \
        -e '/(Kconfig[^/]*|Makefile|[^/]*\.mk)$' all | grep -v '/$' >>needed
      # shellcheck disable=SC2086 # a list of files
      sed -n "s|^--- a/\([^[:space:]]*\).*|$sourceRoot/\1|p" $patches >>needed
      LC_ALL=C sort -u needed >files
      tar -xf "$src" --no-same-owner --no-recursion -T files
    '';
    inherit sourceFolder;
    inherit (known) sources;
    board = chosen;

    # Tools for the images of other boards, and programs that U-Boot could start.
    postPatch = ''
      substituteInPlace Makefile --replace-fail ' tools examples' ' tools'
      substituteInPlace tools/Makefile --replace-fail 'hostprogs-y += dumpimage mkimage' ""
    ''
    + known.postPatch or "";

    makeFlags = [
      "CROSS_COMPILE=${stdenvNoLibc.targetPrefix}"
      "HOSTCC=gcc"
      "PYTHON3=python3"
    ];

    inherit (kconfig) checkScript;
    fragment = kconfig.fragment values;
    wanted = kconfig.wanted values;
    passAsFile = [
      "fragment"
      "wanted"
    ];
    configurePhase = ''
      source "$checkScript"
      cat "configs/''${board}_defconfig" "$fragmentPath" >configs/picnix_defconfig
      runMake 1 defconfig
      find . -name 'Kconfig*' -type f | LC_ALL=C sort >kconfigs
      # shellcheck disable=SC2046
      list_symbols $(cat kconfigs) | LC_ALL=C sort -u >symbols
      check_config "$wantedPath" .config symbols "u-boot $version"
    '';
    defconfig = "picnix_defconfig";

    buildFlags = [ "u-boot.bin" ];

    installPhase =
      lib.optionalString (known.isSwapped or false) ''
        truncate -s %4 u-boot.bin
        "$OBJCOPY" -I binary -O binary --reverse-bytes=4 u-boot.bin
      ''
      + ''
        install -D -m 644 -t "$out" u-boot.bin
        install -D -m 644 .config "$out/config"
      '';
    # What the machine starts with is not stripped as programs are.
    dontStrip = true;

    passthru = {
      # How QEMU starts it: see boards.nix.
      inherit (known) firmware;
      # What it loads from there: a disk of the virtual machine's own kind, or one like those of PCs.
      disk = known.disk or "virtio";
      file = "${u-boot}/u-boot.bin";
      # The kernel and the script that are on such a disk.
      bootFiles = builtins.seq chosen (callPackage ./boot-files.nix { });
      tests = lib.optionalAttrs (board == null && boardOf ? ${linuxArch}) { inherit starts; };
    };

    meta = {
      description = "Loads kernels on boards";
      homepage = "https://www.denx.de/project/u-boot/";
      license = lib.licenses.gpl2Plus;
    };
  };

  # It starts, counts down, takes commands and computes.
  starts =
    let
      emulator = buildPackages.qemu.override { processor = qemu.system; };
    in
    buildPackages.runCommand "u-boot-${hostPlatform.config}-starts" {
      boxRoot = emulator;
      firmware = u-boot.file;
      wanted = version;
    } ''
      mkfifo keys
      exec 3<>keys
      /${emulator.program} -L /usr/share/qemu -M ${qemu.machine} -cpu ${qemu.cpu} -m 256 -nodefaults \
        -display none -no-reboot -serial stdio -${known.firmware} "$firmware" <keys >said 2>&1 &
      emulator=$!
      # Two minutes at most, which is far more than it takes.
      wait_for() {
        for _ in $(seq 1200); do
          if tr -d '\r' <said | grep -q "$1"; then return; fi
          sleep 0.1
        done
        cat said
        echo "u-boot does not say: $1"
        kill "$emulator"
        exit 1
      }
      wait_for "^U-Boot $wanted"
      wait_for '^Autoboot in '
      printf '  ' >&3
      wait_for '^\(=>\|malta[el]*  *#\) '
      printf 'echo pic''${a}nix; version\r' >&3
      wait_for '^picnix$'
      wait_for '^U-Boot .*(Jan 01 1980'
      kill "$emulator"
      : >"$out"
    '';
in
u-boot
