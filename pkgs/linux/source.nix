# The kernel's source: Debian's tarball of an upstream release, from which Debian leaves out six paths
# that are not free. So it is not upstream's file, and has no upstream address.
{ debianMirror, fetchurl }:
let
  version = "6.1.176";
in
{
  inherit version;
  src = fetchurl {
    name = "linux_${version}.orig.tar.xz";
    url = debianMirror "l/linux/linux_${version}.orig.tar.xz";
    hash = "sha256-mq1AJZc/7qPw2XjoKrfbl9jVzj9Z/Max8xYVPWbjpQQ=";
  };
}
