# Debian packages, unpacked into one tree and otherwise untouched.
#
# The tree is merged: what packages ship in /bin, /sbin, /lib and /lib64 lies below /usr, and
# those four are links. `include`, `exclude` and `links` speak of the merged paths, without a
# leading slash. In a pattern `*` stays in its path component and `**` does not.
{ mkDerivation }:
{
  # Fetched `.deb` files.
  debs,
  # Patterns of the files to keep; all when empty.
  include ? [ ],
  # Patterns of the files to leave out, of those.
  exclude ? [ ],
  # Symbolic links to add (path to target): those that the packages' scripts would have made.
  links ? { },
  ...
}@args:
mkDerivation (
  {
    system = "builtin";
    builder = "builtin:debs";
    __structuredAttrs = true;
    # The unpacker's version: bytes may differ only where this does.
    formatVersion = 1;
  }
  // args
  // {
    inherit
      debs
      include
      exclude
      links
      ;
  }
)
