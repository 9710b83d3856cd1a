# The kernel's options: every module says which it needs, and where the kernel is built from source
# they are its configuration. Debian's kernel, the default, has them all.
{
  config,
  lib,
  options,
  pkgs,
  ...
}:
let
  cfg = config.boot.kernel;
  inherit (builtins)
    concatMap
    isAttrs
    mapAttrs
    ;
  inherit (lib)
    concatStringsSep
    mkDefault
    mkIf
    mkOption
    types
    ;

  tree = "${toString ../..}/";

  # A file by a name that is the same on every machine: picnix's by their path there, others by
  # their last part.
  showFile =
    file:
    if lib.hasPrefix tree (toString file) then
      lib.removePrefix tree (toString file)
    else
      baseNameOf file;

  # Where a definition of an option stands; computed ones have a file only.
  showPlace =
    name: definition:
    let
      position = builtins.unsafeGetAttrPos name definition.value;
    in
    if position == null then
      showFile definition.file
    else
      "${showFile position.file}:${toString position.line}";

  contentOf =
    value:
    let
      kind = if isAttrs value then value._type or "" else "";
    in
    if kind == "override" || kind == "if" && value.condition then
      contentOf value.content
    else
      value;

  # The definitions that gave an option its value.
  askersOf =
    name: value:
    concatStringsSep ", " (
      concatMap (
        definition:
        if definition.value ? ${name} && contentOf definition.value.${name} == value then
          [ (showPlace name definition) ]
        else
          [ ]
      ) options.boot.kernel.config.definitionsWithLocations
    );

  minimal = import ./_minimal // import (./_minimal + "/${pkgs.hostPlatform.linuxArch}.nix");

  kernel = cfg.package.override {
    checkConfig = false;
    inherit (cfg) format loadAddress;
    kernelConfig = cfg.asked;
  };
in
{
  options.boot.kernel = {
    asked = mkOption {
      type = types.raw;
      readOnly = true;
      internal = true;
      default = mapAttrs (name: value: {
        inherit value;
        askedBy = askersOf name value;
      }) cfg.config;
      description = "The options in `config`, each with who asks for it.";
    };
    package = mkOption {
      type = types.package;
      default = pkgs.pkgsMusl.linux;
      defaultText = lib.literalExpression "pkgs.pkgsMusl.linux";
      description = "The kernel that is built where `fromSource` is set.";
    };
    config = mkOption {
      type = types.attrsOf (
        types.oneOf [
          types.int
          types.str
        ]
      );
      default = { };
      example = {
        NF_TABLES = "y";
        NR_CPUS = 4;
      };
      description = ''
        Options of the kernel without `CONFIG_`: `y`, `m`, `n`, a number or a text. Where the kernel is
        built from source, an option that does not come out as asked is an error that names who asked.
      '';
    };
    canPowerOff = mkOption {
      type = types.bool;
      default = !cfg.fromSource || cfg.config.ACPI == "y";
      defaultText = lib.literalMD "whether the kernel has ACPI; devices without it say so themselves";
      description = "Whether the kernel can cut the machine's power. Where it cannot, `poweroff` restarts.";
    };
    format = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "uImage";
      description = ''
        The kind of file that bootloaders get, where the kernel is built from source: `bzImage`, `zImage`,
        `Image`, `Image.gz`, `vmlinux`, `vmlinuz` or `uImage`, which not all architectures have all of; null
        for the architecture's own.
      '';
    };
    fromSource = mkOption {
      type = types.bool;
      default = pkgs.hostPlatform.config != pkgs.buildPlatform.config;
      defaultText = lib.literalMD "whether the system is for another kind of machine than the builders'";
      description = ''
        Whether the kernel is built from source, with the options in `config` and none besides:
        minutes of compilation, and a tenth of the size of Debian's.
      '';
    };
    loadAddress = mkOption {
      type = types.nullOr (types.strMatching "0x[0-9a-f]+");
      default = null;
      example = "0x80200000";
      description = "Where the bootloader unpacks a `uImage`: the board knows.";
    };
  };

  config = mkIf cfg.fromSource {
    assertions = [
      {
        assertion = cfg.config.MODULES or "n" == "y" || config.boot.kernelModules == [ ];
        message = "boot.kernelModules: this kernel has no loadable modules (boot.kernel.config.MODULES); ask for ${concatStringsSep ", " config.boot.kernelModules} by boot.kernel.config instead";
      }
    ];

    boot.kernelPackages = mkDefault { inherit kernel; };
    system.checks = [ kernel.checkedConfig ];

    # What every system has. The rest is asked for by who needs it.
    boot.kernel.config = mapAttrs (_name: mkDefault) minimal // {
      BINFMT_ELF = "y";
      BINFMT_SCRIPT = "y";
      CC_OPTIMIZE_FOR_SIZE = "y";
      DEVTMPFS = "y";
      EXPERT = "y";
      INIT_STACK_NONE = mkDefault "y";
      MULTIUSER = "y";
      PRINTK = "y";
      PROC_FS = "y";
      SYSFS = "y";
      TTY = "y";
    };
  };
}
