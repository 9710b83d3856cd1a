{
  lib,
  debianMirror,
  execline,
  fetchurl,
  hostPlatform,
  skalibs,
  tinyStdenv,
}:
let
  version = "2.11.3.2";
in
tinyStdenv.mkDerivation {
  pname = "s6";
  inherit version;

  src = fetchurl {
    urls = [
      "https://skarnet.org/software/s6/s6-${version}.tar.gz"
      (debianMirror "s/s6/s6_${version}.orig.tar.gz")
    ];
    hash = "sha256-GvuPLrindwvP83pvtPajWHJtanY5AUCJjtEYrJbkXxo=";
  };

  outputs = [
    "out"
    "dev"
  ];
  buildInputs = [
    skalibs
    execline.dev
  ];
  # The script is not of autoconf's kind.
  configurePlatforms = [ ];
  configureFlags = [
    "--host=${hostPlatform.config}"
    "--disable-shared"
    "--with-sysdeps=${skalibs}/lib/skalibs/sysdeps"
    "--with-lib=${execline.dev}/lib"
    "--libdir=${placeholder "out"}/lib"
    "--libexecdir=${placeholder "out"}/libexec"
  ];

  # A service that is started, seen and stopped.
  testScript = ''
    mkdir -p scan/greeter
    printf '#!%s\necho started >>%s/log\nexec sleep 100\n' "$runtimeShell" "$PWD" >scan/greeter/run
    chmod +x scan/greeter/run
    export PATH=$package/bin:$PATH
    run s6-svscan scan &
    for attempt in 1 2 3 4 5 6 7 8 9; do
      ! run s6-svstat scan/greeter >state || break
      sleep 1
    done
    run s6-svwait -u -t 20000 scan/greeter
    run s6-svstat -o up scan/greeter | grep -q true
    run s6-svc -d scan/greeter
    run s6-svwait -d -t 20000 scan/greeter
    run s6-svscanctl -t scan
    wait
    grep -q started log
  '';

  meta = {
    description = "Starts services and keeps them running";
    homepage = "https://skarnet.org/software/s6/";
    license = lib.licenses.isc;
  };
}
