{
  lib,
  buildPackages,
  debianMirror,
  fetchurl,
  libevent,
  ncurses,
  tinyStdenv,
}:
let
  version = "3.3a";
in
tinyStdenv.mkDerivation {
  pname = "tmux";
  inherit version;

  src = fetchurl {
    urls = [
      "https://github.com/tmux/tmux/releases/download/${version}/tmux-${version}.tar.gz"
      (debianMirror "t/tmux/tmux_${version}.orig.tar.gz")
    ];
    hash = "sha256-5P00eEO9B3LE9I1t3mJbCxCbejgP8V2yHpfBGk3N+T8=";
  };

  nativeBuildInputs = [ buildPackages.pkg-config ];
  buildInputs = [
    libevent
    ncurses
  ];
  configureFlags = [
    "--disable-utf8proc"
    "--enable-static"
    "--with-TERM=screen"
  ];

  # A terminal without anybody before it: what is typed is run, and seen.
  testScript = ''
    run tmux -V | grep -q "^tmux 3.3a"
    export TMUX_TMPDIR=$PWD SHELL=$runtimeShell TERM=vt100 LC_ALL=C.UTF-8
    run tmux -f /dev/null new-session -d -x 80 -y 24 "echo seen; sleep 100"
    for attempt in 1 2 3 4 5 6 7 8 9; do
      run tmux capture-pane -p >screen
      ! grep -q seen screen || break
      sleep 1
    done
    run tmux kill-server
    grep -q "^seen" screen
  '';

  meta = {
    description = "Several terminals in one, which stay when it is closed";
    homepage = "https://github.com/tmux/tmux/wiki";
    license = lib.licenses.isc;
    mainProgram = "tmux";
  };
}
