# The old name of services.httpd.
{ lib, ... }:
{
  imports = [
    (lib.mkRenamedOptionModule
      [
        "services"
        "web"
        "port"
      ]
      [
        "services"
        "httpd"
        "port"
      ]
    )
  ];
}
