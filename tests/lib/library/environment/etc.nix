{ lib, ... }:
{
  options.environment.etc = lib.mkOption {
    default = { };
    type = lib.types.attrsOf (
      lib.types.submodule (
        { name, ... }:
        {
          options.text = lib.mkOption { type = lib.types.lines; };
          options.target = lib.mkOption {
            type = lib.types.str;
            default = name;
          };
        }
      )
    );
  };
}
