# The targets that images are built for: triple, what gcc gets, and the QEMU machine that runs them.
#
# `gcc` holds what the compiler must be told of the processor, by the names that it is configured
# with; `debian` is Debian's name of the architecture, which the seed's compilers carry; `qemu` the
# system emulator, its machine and processor.
{
  "x86_64-unknown-linux-musl" = {
    name = "musl64";
    debian = "x86_64-linux-gnu";
    gcc.arch = "x86-64";
    qemu = {
      system = "x86_64";
      machine = "q35";
      console = "ttyS0";
    };
  };
  "i686-unknown-linux-musl" = {
    name = "musl32";
    gcc.arch = "i686";
    qemu = {
      system = "i386";
      machine = "pc";
      console = "ttyS0";
    };
  };
  "i486-unknown-linux-musl" = {
    name = "i486-musl";
    gcc.arch = "i486";
    qemu = {
      system = "i386";
      machine = "pc";
      cpu = "486";
      console = "ttyS0";
    };
  };
  "aarch64-unknown-linux-musl" = {
    name = "aarch64-multiplatform-musl";
    debian = "aarch64-linux-gnu";
    gcc.arch = "armv8-a";
    qemu = {
      system = "aarch64";
      machine = "virt";
      cpu = "cortex-a53";
      console = "ttyAMA0";
    };
  };
  "armv7l-unknown-linux-musleabihf" = {
    name = "armv7l-hf-multiplatform-musl";
    debian = "arm-linux-gnueabihf";
    gcc = {
      arch = "armv7-a";
      fpu = "vfpv3-d16";
      float-abi = "hard";
    };
    qemu = {
      system = "arm";
      machine = "virt";
      cpu = "cortex-a7";
      console = "ttyAMA0";
    };
  };
  "mips-unknown-linux-musl" = {
    name = "mips-musl";
    debian = "mips-linux-gnu";
    gcc = {
      arch = "24kc";
      float = "soft";
      abi = "32";
    };
    qemu = {
      system = "mips";
      machine = "malta";
      cpu = "24Kc";
      console = "ttyS0";
    };
  };
  "mipsel-unknown-linux-musl" = {
    name = "mipsel-musl";
    debian = "mipsel-linux-gnu";
    gcc = {
      arch = "24kc";
      float = "soft";
      abi = "32";
    };
    qemu = {
      system = "mipsel";
      machine = "malta";
      cpu = "24Kc";
      console = "ttyS0";
    };
  };
  "riscv64-unknown-linux-musl" = {
    name = "riscv64-musl";
    debian = "riscv64-linux-gnu";
    gcc = {
      arch = "rv64gc";
      abi = "lp64d";
    };
    qemu = {
      system = "riscv64";
      machine = "virt";
      cpu = "rv64";
      console = "ttyS0";
    };
  };
}
