{
  lib,
  buildPackages,
  debianMirror,
  debianPatches,
  fetchurl,
  ncurses,
  tinyStdenv,
  tmux,
  # Colours, undoing, several files, and much else.
  withEverything ? false,
}:
let
  version = "7.2";
in
tinyStdenv.mkDerivation {
  pname = "nano";
  inherit version;
  lto = true;

  src = fetchurl {
    urls = [
      "https://www.nano-editor.org/dist/v7/nano-${version}.tar.xz"
      (debianMirror "n/nano/nano_${version}.orig.tar.xz")
    ];
    hash = "sha256-hvNEJ2i9KHPOxpP4PN+AtLRErTzBR2C3Q2FHT8h6RSY=";
  };

  patches = debianPatches {
    name = "nano";
    src = fetchurl {
      name = "nano_7.2-1-deb12u1.debian.tar.xz";
      url = debianMirror "n/nano/nano_7.2-1+deb12u1.debian.tar.xz";
      hash = "sha256-uwLJEEpsbKTWoc8bmH121rr5/DrVhMC2lXggJFg6AVs=";
    };
    patches = [
      # What a file or a checker says is no format.
      "0001-linter-use-a-format-string-to-deflect-format-string-.patch"
      "0002-startup-use-a-format-string-to-deflect-format-string.patch"
      # Emergency files could be exchanged for others (CVE-2024-5742).
      "0004-files-run-chmod-and-chown-on-the-descriptor-not-on-t.patch"
    ];
  };

  nativeBuildInputs = [ buildPackages.pkg-config ];
  buildInputs = [ ncurses ];
  configureFlags = [
    "--disable-nls"
    "--disable-libmagic"
    "--enable-utf8"
  ]
  ++ lib.optional (!withEverything) "--enable-tiny";
  postInstall = ''
    rm -rf "$out/share" "$out/bin/rnano"
  '';

  testScript = ''
    run nano --version | grep -q "GNU nano, version 7.2"
    # Writes a file and leaves it, on a terminal that tmux makes.
    export TMUX_TMPDIR=$PWD SHELL=$runtimeShell LC_ALL=C.UTF-8 TERM=vt100
    tmux() { ${tmux}/bin/tmux -f /dev/null "$@"; }
    tmux new-session -d -x 80 -y 24 "$package/bin/nano $PWD/file"
    for attempt in 1 2 3 4 5 6 7 8 9; do
      ! tmux capture-pane -p | grep -q "GNU nano" || break
      sleep 1
    done
    tmux send-keys hello C-o Enter C-x
    for attempt in 1 2 3 4 5 6 7 8 9; do
      [ ! -e file ] || break
      sleep 1
    done
    [ "$(cat file)" = hello ]
  '';

  meta = {
    description = "A small editor of text";
    homepage = "https://www.nano-editor.org/";
    license = lib.licenses.gpl3Plus;
    mainProgram = "nano";
  };
}
