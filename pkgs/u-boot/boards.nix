# QEMU's boards that U-Boot starts on, by what its configs call them.
#
# `sources` are regular expressions: of the folders of boards, machines and device trees, what this board is
# made from. `firmware` is how QEMU gets U-Boot: as the machine's own (`bios`), or as the kernel that the
# machine's own starts (`kernel`). `disk` is what it loads from, as `virtualisation` names it, and `config` what
# differs from the board's file, without CONFIG_.
let
  # The bus that disks and the network are at; everything else that could be at PCI is left out.
  virt = {
    CMD_PCI = "n";
    CMD_USB = "n";
    ENV_IS_IN_FLASH = "n";
    NVME = "n";
    PCI = "n";
    SCSI = "n";
    USB = "n";
    VIRTIO_BLK = "y";
    VIRTIO_MMIO = "y";
    VIRTIO_NET = "y";
  };
  arm = virt // {
    AHCI = "n";
    CMD_DFU = "n";
    CMD_MTD = "n";
    CMD_MTDPARTS = "n";
    CMD_TPM = "n";
    FLASH_CFI_MTD = "n";
    MTD = "n";
    MTD_NOR_FLASH = "n";
    TPM = "n";
  };
  malta = {
    disk = "sata";
    firmware = "bios";
    sources = "arch/mips/(dts/(mti|skeleton)|include/asm/mach-|mach-malta/)|board/imgtec/malta/";
    patches = [ ./malta.patch ];
    config = {
      AUTOBOOT = "y";
      # As `distro_bootcmd` does on the others.
      BOOTCOMMAND = "ide reset; load ide 0:1 $loadaddr boot.scr; source $loadaddr";
      CMD_FAT = "y";
      CMD_FS_GENERIC = "y";
      DOS_PARTITION = "y";
      PREBOOT = builtins.concatStringsSep "; " [
        "setenv devtype ide"
        "setenv devnum 0"
        "setenv distro_bootpart 1"
        "setenv kernel_addr_r 0x84000000"
        "setenv ramdisk_addr_r 0x86000000"
      ];
      USE_BOOTCOMMAND = "y";
      USE_PREBOOT = "y";
    };
  };
in
{
  qemu_arm = {
    firmware = "bios";
    sources = "arch/arm/(dts|mach)[-/]qemu|board/emulation/";
    config = arm;
  };
  qemu_arm64 = {
    firmware = "bios";
    sources = "arch/arm/(dts|mach)[-/]qemu|board/emulation/";
    config = arm // {
      # Where a packed kernel is unpacked, and how large one may be.
      PREBOOT = "setenv kernel_comp_addr_r 0x46000000; setenv kernel_comp_size 0x4000000";
    };
  };
  qemu-riscv64_smode = {
    firmware = "kernel";
    sources = "arch/riscv/dts/qemu|board/emulation/";
    # What it starts from names SCSI, whether there is any or not.
    postPatch = ''
      sed -i '/func(SCSI, scsi, 0)/d' include/configs/qemu-riscv.h
    '';
    config = virt // {
      CMD_SCSI = "n";
    };
  };
  inherit malta;
  # QEMU reads the words of its flash the other way round.
  maltael = malta // {
    isSwapped = true;
  };
}
