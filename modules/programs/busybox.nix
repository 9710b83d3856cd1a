# busybox: the programs of a small system in one file.
#
# Every module says which programs it runs. Where busybox is built from source they are the ones in
# it; Debian's, the default, has them all.
{
  config,
  lib,
  options,
  pkgs,
  ...
}:
let
  cfg = config.programs.busybox;
  inherit (lib) mkOption types;

  showPlace =
    definition:
    let
      position = definition.pos or null;
    in
    if position == null then
      toString definition.file
    else
      "${position.file}:${toString position.line}";

  # Where the definitions that name an applet stand.
  askersOf =
    applet:
    lib.concatMapStringsSep ", " showPlace (
      lib.filter (
        definition: lib.elem applet definition.value
      ) options.programs.busybox.applets.definitionsWithLocations
    );
in
{
  options.programs.busybox = {
    package = mkOption {
      type = types.package;
      default =
        if cfg.fromSource then
          pkgs.pkgsMusl.busybox.override {
            applets = lib.genAttrs cfg.applets askersOf;
            inherit (cfg) config;
          }
        else
          pkgs.busybox;
      defaultText = lib.literalMD "`pkgs.busybox`, or one with just the `applets` from source";
      description = "The busybox of the system.";
    };
    applets = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [
        "cat"
        "wget"
      ];
      description = "Programs of busybox that the system runs.";
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
        FEATURE_EDITING = "y";
      };
      description = "Options of busybox without `CONFIG_`, where it is built from source.";
    };
    fromSource = mkOption {
      type = types.bool;
      default = pkgs.hostPlatform.config != pkgs.buildPlatform.config;
      defaultText = lib.literalMD "whether the system is for another kind of machine than the builders'";
      description = "Whether busybox is built from source, with the `applets` asked for and none besides.";
    };
  };
}
