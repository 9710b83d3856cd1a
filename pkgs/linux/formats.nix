# The files that bootloaders take a kernel from, by Linux's name of the architecture: where make puts
# them, below the source. The `default` starts by itself, as small as it can be.
#
# A uImage is a file named by `of` in a header for U-Boot, which unpacks it to `loadAddress`.
{
  x86_64 = {
    sourceFolder = "x86";
    default = "bzImage";
    files.bzImage = "arch/x86/boot/bzImage";
  };
  arm = {
    sourceFolder = "arm";
    default = "zImage";
    files = {
      Image = "arch/arm/boot/Image";
      zImage = "arch/arm/boot/zImage";
    };
    # What is packed is unpacked by itself.
    uImage = {
      arch = 2;
      of = "zImage";
      compression = "none";
    };
  };
  arm64 = {
    sourceFolder = "arm64";
    default = "Image.gz";
    files = {
      Image = "arch/arm64/boot/Image";
      "Image.gz" = "arch/arm64/boot/Image.gz";
    };
    uImage = {
      arch = 22;
      of = "Image";
      compression = "gzip";
    };
  };
  mips = {
    sourceFolder = "mips";
    default = "vmlinuz";
    files = {
      vmlinux = "vmlinux";
      vmlinuz = "vmlinuz";
    };
  };
  riscv = {
    sourceFolder = "riscv";
    default = "Image";
    files = {
      Image = "arch/riscv/boot/Image";
      "Image.gz" = "arch/riscv/boot/Image.gz";
    };
    uImage = {
      arch = 26;
      of = "Image";
      compression = "gzip";
    };
  };
}
