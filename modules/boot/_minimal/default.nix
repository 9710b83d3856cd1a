# What the kernel's build system turns on by itself, once something else is asked for, and what a
# small system does without. All are defaults: a module that needs one of them says so. Options that
# only some architectures have are in the file of the architecture, by Linux's name of it.
#
# For Linux 6.1 with tinyconfig as its start; found by comparing configurations (docs/sizes.md).
{
  # Screens, keyboards, and the buses for them.
  HID = "n";
  INPUT = "n";
  SERIO = "n";
  USB_SUPPORT = "n";
  VGA_ARB = "n";
  VT = "n";

  # System calls that programs here do not use.
  ADVISE_SYSCALLS = "n";
  AIO = "n";
  EPOLL = "n";
  EVENTFD = "n";
  FILE_LOCKING = "n";
  FUTEX = "n";
  INOTIFY_USER = "n";
  IO_URING = "n";
  MEMBARRIER = "n";
  POSIX_TIMERS = "n";
  RSEQ = "n";
  SHMEM = "n";
  SIGNALFD = "n";
  TIMERFD = "n";

  # Help for people who debug.
  BUG = "n";
  COREDUMP = "n";
  ELF_CORE = "n";
  KALLSYMS = "n";
  # 16 KiB of messages, which are those of a start; the records around them take five times as much.
  LOG_BUF_SHIFT = 14;

  # Firmware and buses, unless a device has them.
  ACPI = "n";
  HIGH_RES_TIMERS = "n";
  IOMMU_SUPPORT = "n";
  PCI = "n";
  VIRTIO_MENU = "n";

  # What ACPI and PCI bring along: batteries, fans, sleep states, counters for profilers.
  ACPI_AC = "n";
  ACPI_BATTERY = "n";
  ACPI_FAN = "n";
  ACPI_PROCESSOR = "n";
  ACPI_SPCR_TABLE = "n";
  ACPI_TABLE_UPGRADE = "n";
  ACPI_THERMAL = "n";
  DEVPORT = "n";
  HW_RANDOM_AMD = "n";
  HW_RANDOM_INTEL = "n";
  HW_RANDOM_VIA = "n";
  PCIEASPM = "n";
  PCI_QUIRKS = "n";
  PNP_DEBUG_MESSAGES = "n";
  SERIAL_8250_EXAR = "n";
  SERIAL_8250_LPSS = "n";
  SERIAL_8250_MID = "n";
  SERIAL_8250_PCI = "n";
  SERIAL_8250_PERICOM = "n";
  SERIAL_8250_PNP = "n";
  THERMAL = "n";
  VIRTIO_PCI_LEGACY = "n";
  X86_PM_TIMER = "n";

  # What a network brings along: radio, cards of 80 vendors, tables for tools nobody asked for.
  ETHERNET = "n";
  ETHTOOL_NETLINK = "n";
  INET_DIAG = "n";
  IPV6 = "n";
  NETWORK_FILESYSTEMS = "n";
  PTP_1588_CLOCK = "n";
  WIRELESS = "n";
  WLAN = "n";

  # What disks bring along.
  ATA_ACPI = "n";
  ATA_FORCE = "n";
  ATA_VERBOSE_ERROR = "n";
  BLK_DEV_BSG = "n";
  BLOCK = "n";
  BLOCK_LEGACY_AUTOLOAD = "n";
  EFIVAR_FS = "n";
  EFI_CUSTOM_SSDT_OVERLAYS = "n";
  MQ_IOSCHED_DEADLINE = "n";
  MQ_IOSCHED_KYBER = "n";
  SATA_PMP = "n";
  SCSI_PROC_FS = "n";
  SQUASHFS_ZLIB = "n";

  # File systems and networks, unless something uses them.
  NET = "n";
  TMPFS = "n";

  # A second set of terminals, and decoders of compression that no image uses.
  LDISC_AUTOLOAD = "n";
  LEGACY_PTYS = "n";
  PROC_PAGE_MONITOR = "n";
  PROC_SYSCTL = "n";
  RD_BZIP2 = "n";
  RD_GZIP = "n";
  RD_LZ4 = "n";
  RD_LZMA = "n";
  RD_LZO = "n";
  RD_XZ = "n";
  RD_ZSTD = "n";
  SCHED_DEBUG = "n";
  SERIAL_8250_DEPRECATED_OPTIONS = "n";
  SLAB_MERGE_DEFAULT = "n";
  STACKPROTECTOR = "n";
  UNIX98_PTYS = "n";
  XZ_DEC_ARM = "n";
  XZ_DEC_ARMTHUMB = "n";
  XZ_DEC_IA64 = "n";
  XZ_DEC_POWERPC = "n";
  XZ_DEC_SPARC = "n";
}
