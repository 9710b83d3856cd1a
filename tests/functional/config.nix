# Stands in for the file of this name that Nix's build system makes for its functional tests.
rec {
  shell = "/bin/bash";
  path = "/usr/bin:/bin";
  system = builtins.currentSystem;
  shared = builtins.getEnv "_NIX_TEST_SHARED";
  mkDerivation =
    args:
    derivation (
      {
        inherit system;
        builder = shell;
        args = [
          "-e"
          (args.builder or (builtins.toFile "builder-${args.name}.sh" ''
            if [ -e "$NIX_ATTRS_SH_FILE" ]; then source $NIX_ATTRS_SH_FILE; fi
            eval "$buildCommand"
          ''))
        ];
        PATH = path;
      }
      // removeAttrs args [
        "builder"
        "meta"
      ]
    )
    // {
      meta = args.meta or { };
    };
}
