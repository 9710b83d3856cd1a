#~ error: evaluation aborted with the following error message: 'lib.customisation.callPackageWith: Function called without required argument "zlob" at
#~ did you mean "zlib"?
let
  lib = import ../../../lib;
in
lib.callPackageWith { zlib = 1; } ({ zlob }: zlob) { }
