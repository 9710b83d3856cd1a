# The library that draws on terminals. The terminals that it knows are part of it, so that no image needs
# a database of them.
{
  lib,
  buildPackages,
  debianMirror,
  debianPatches,
  fetchurl,
  hostPlatform,
  tinyStdenv,
  # Terminals by the names that TERM has.
  terminals ? [
    "linux"
    "screen"
    "tmux"
    "vt100"
    "vt102"
    "vt220"
    "xterm"
    "xterm-256color"
  ],
}:
let
  version = "6.4";
  # The builder's own has the programs that read and write descriptions of terminals.
  isTool = !hostPlatform.isMusl;
  tool = buildPackages.ncurses;
in
tinyStdenv.mkDerivation {
  pname = "ncurses";
  inherit version;
  lto = true;

  src = fetchurl {
    urls = [
      "https://invisible-island.net/archives/ncurses/ncurses-${version}.tar.gz"
      (debianMirror "n/ncurses/ncurses_${version}.orig.tar.gz")
    ];
    hash = "sha256-aTEoPZrIfFBz8wtikMTHXyFjK7T8NgOsgQCBK+0kgVk=";
  };

  patches = debianPatches {
    name = "ncurses";
    src = fetchurl {
      name = "ncurses_6.4-4.debian.tar.xz";
      url = debianMirror "n/ncurses/ncurses_6.4-4.debian.tar.xz";
      hash = "sha256-lyGPSMMuN1Eh0z68ig9Tr623dt2s6QA/AylwdJozZ30=";
    };
    # A description that names another one without end.
    patches = [ "fix_crash_on_very_long_tc-use_clause.diff" ];
  };

  nativeBuildInputs = lib.optional (!isTool) tool;
  configureFlags = [
    "--without-shared"
    "--without-debug"
    "--without-ada"
    "--without-cxx"
    "--without-cxx-binding"
    "--without-manpages"
    "--without-tests"
    "--enable-widec"
    "--enable-overwrite"
    "--disable-home-terminfo"
    "--disable-stripping"
    "--with-build-cc=gcc"
  ]
  ++ lib.optionals (!isTool) [
    "--without-progs"
    "--disable-db-install"
    "--with-default-terminfo-dir=/etc/terminfo"
    "--with-terminfo-dirs=/etc/terminfo"
    "--with-fallbacks=${lib.concatStringsSep "," terminals}"
    "--with-tic-path=${tool}/bin/tic"
    "--with-infocmp-path=${tool}/bin/infocmp"
    "--enable-pc-files"
    "--with-pkg-config-libdir=${placeholder "out"}/lib/pkgconfig"
  ];
  postInstall = lib.optionalString (!isTool) ''
    rm -rf "$out/share" "$out/bin"
    # Those who look for the library without wide characters find this one.
    for library in ncurses form menu panel; do
      ln -s "lib''${library}w.a" "$out/lib/lib$library.a"
    done
    $CC $CFLAGS $LDFLAGS -I"$out/include" -L"$out/lib" -o colours ${./colours.c} -lncursesw
    install -D -m 755 -t "$test/bin" colours
  '';
  # A small program for those who test.
  outputs = [ "out" ] ++ lib.optional (!isTool) "test";

  testScript = ''
    for terminal in ${toString terminals}; do
      TERM=$terminal "$package_test/bin/colours" | grep -q "^$terminal: "
    done
    [ "$(TERM=xterm-256color "$package_test/bin/colours")" = "xterm-256color: 256 colours" ]
  '';

  meta = {
    description = "The library that draws on terminals";
    homepage = "https://invisible-island.net/ncurses/";
    license = lib.licenses.x11;
  };
}
