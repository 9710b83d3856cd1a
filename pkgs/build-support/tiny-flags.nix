# What compiler and linker are told so that programs become small; docs/sizes.md says what each is worth.
# `pkgs.tinyFlags.override { optimise = "-O2"; }` and its like are what it compares.
{
  lib,
  # How hard the compiler tries, and for what.
  optimise ? "-Os",
  # Whether the linker leaves out functions and data that nothing uses.
  sections ? true,
  # Whether the compiler sees a whole program at once; null is what the package's measurements say.
  lto ? null,
  # Whether the C library is part of every program; otherwise the set's musl must be a shared one.
  static ? true,
}:
let
  inherit (lib) optional optionals;
in
{
  inherit optimise static;

  # Fixed addresses, and no tables for unwinding, which C does not do.
  base = [
    optimise
    "-fno-pie"
  ];
  sections = optionals sections [
    "-ffunction-sections"
    "-fdata-sections"
  ];
  unwind = [
    "-fno-asynchronous-unwind-tables"
    "-fno-unwind-tables"
  ];
  # For a package that is smaller so, or not. Archives are read by tools that know only machine code; names
  # of sections in them would be random.
  ltoFor =
    isSmaller:
    optionals (if lto == null then isSmaller else lto) [
      "-flto"
      "-ffat-lto-objects"
      "-frandom-seed=picnix"
    ];

  # No padding between segments, and no note that only debuggers read.
  link = [
    "-no-pie"
  ]
  ++ optional sections "-Wl,--gc-sections"
  ++ [
    "-Wl,-z,noseparate-code"
    "-Wl,--build-id=none"
  ];
}
