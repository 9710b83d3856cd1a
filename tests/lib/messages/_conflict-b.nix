{ lib, ... }:
{
  config = lib.mkMerge [
    { a = "from b"; }
  ];
}
