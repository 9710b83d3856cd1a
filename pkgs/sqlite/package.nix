{
  lib,
  buildPackages,
  debianMirror,
  debianPatches,
  fetchurl,
  seed,
  tinyStdenv,
  unpackDebs,
  # Whether the program that reads and changes databases is there, beside the library.
  withShell ? true,
  # Parts of the library by their names in its documentation, such as ENABLE_FTS5.
  options ? [
    "DEFAULT_MEMSTATUS=0"
    "DQS=0"
    "OMIT_DEPRECATED"
    "OMIT_LOAD_EXTENSION"
    "THREADSAFE=0"
  ],
}:
let
  # The library's one file is put together by scripts in Tcl.
  tcl = unpackDebs {
    name = "tcl-8.6";
    debs = seed.tcl;
    include = [
      "usr/bin/tclsh8.6"
      "usr/lib/x86_64-linux-gnu/libtcl8.6.so*"
      "usr/share/tcltk/tcl8.6/**"
    ];
  };
in
tinyStdenv.mkDerivation {
  pname = "sqlite";
  version = "3.40.1";

  # Upstream's source has another form, of which Debian's is made without files that are not free.
  src = fetchurl {
    name = "sqlite3_3.40.1.orig.tar.xz";
    url = debianMirror "s/sqlite3/sqlite3_3.40.1.orig.tar.xz";
    hash = "sha256-qqd2Jgq03Jdts0qniRgZSEyGdrWyeDEj68YwHiyl1lU=";
  };

  patches = debianPatches {
    name = "sqlite";
    src = fetchurl {
      name = "sqlite3_3.40.1-2-deb12u2.debian.tar.xz";
      url = debianMirror "s/sqlite3/sqlite3_3.40.1-2+deb12u2.debian.tar.xz";
      hash = "sha256-CEO8EuQ2QHZHeTXOMTptB5b9iZqYn/GOu2VFVA4Q5Mo=";
    };
    patches = [
      "41-fix_a_bug_in_the_NOT_NULL-IS_NULL_optimization.patch"
      "42-CVE-2025-6965.patch"
      "0001-Fix-a-buffer-overread-in-the-sessions-extension-that.patch"
      "0002-Avoid-a-stack-overflow-that-could-be-caused-by-a-rec.patch"
      "0003-Fix-a-technically-undefined-signed-integer-overflow-.patch"
    ];
  };

  outputs = [
    "out"
    "dev"
  ];
  inherit tcl;
  tool = buildPackages.writeShellScriptBin "tclsh" ''
    export LD_LIBRARY_PATH=${tcl}/usr/lib/x86_64-linux-gnu TCL_LIBRARY=${tcl}/usr/share/tcltk/tcl8.6
    exec ${tcl}/usr/bin/tclsh8.6 "$@"
  '';
  # The time of the build is no part of the library.
  postPatch = ''
    sed -i 's/\[clock format \[clock seconds\][^]]*\]/1980-01-01/' tool/*.tcl
  '';
  preConfigure = ''
    export PATH=$tool/bin:$PATH config_BUILD_CC=gcc config_TARGET_CFLAGS=
  '';
  configureFlags = [
    "--disable-load-extension"
    "--disable-readline"
    "--disable-shared"
    "--disable-tcl"
    "--disable-threadsafe"
  ];
  options = map (option: "-DSQLITE_${option}") options;
  buildPhase = ''
    make sqlite3.c sqlite3.h ${lib.optionalString withShell "shell.c"}
    $CC $CFLAGS $options -c -o sqlite3.o sqlite3.c
    $AR rcD libsqlite3.a sqlite3.o
    ${lib.optionalString withShell ''
      $CC $CFLAGS $options -o sqlite3 shell.c libsqlite3.a $LDFLAGS
    ''}
  '';
  installPhase = ''
    mkdir "$out"
    ${lib.optionalString withShell "install -D -m 755 -t \"$out/bin\" sqlite3"}
    install -D -m 644 -t "$dev/lib" libsqlite3.a
    install -D -m 644 -t "$dev/include" sqlite3.h
  '';

  testScript = lib.optionalString withShell ''
    run sqlite3 database 'create table t (a, b); insert into t values (1, "one"), (2, "two");' 2>said || true
    # Names in double quotes are names.
    grep -q "no such column" said
    run sqlite3 database "create table if not exists t (a, b); insert into t values (1, 'one'), (2, 'two');"
    [ "$(run sqlite3 database 'select b from t where a = 2')" = two ]
    [ "$(run sqlite3 database 'pragma integrity_check')" = ok ]
  '';

  meta = {
    description = "A database in one file, and its program";
    homepage = "https://www.sqlite.org/";
    license = lib.licenses.publicDomain;
    mainProgram = "sqlite3";
  };
}
