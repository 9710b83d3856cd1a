{
  lib,
  debianMirror,
  fetchurl,
  tinyStdenv,
  # Whether the daemon can be asked while it runs, by the program chronyc.
  withControl ? false,
  # Clocks that are no servers: GPS receivers and their like.
  withReferenceClocks ? false,
}:
let
  version = "4.3";
in
tinyStdenv.mkDerivation {
  pname = "chrony";
  inherit version;
  lto = true;

  src = fetchurl {
    urls = [
      "https://chrony-project.org/releases/chrony-${version}.tar.gz"
      (debianMirror "c/chrony/chrony_${version}.orig.tar.gz")
    ];
    hash = "sha256-nQ2oiahl8ImlohYQ/7ZxPjyUOM4wOmO0nC+26v9biAQ=";
  };

  # The script is not of autoconf's kind.
  configurePlatforms = [ ];
  configureFlags = [
    "--disable-readline"
    "--disable-sechash"
    "--disable-nts"
    "--disable-privdrop"
    "--without-seccomp"
    "--host-system=Linux"
    "--host-release=6"
    "--sysconfdir=/etc"
    "--localstatedir=/var"
  ]
  ++ lib.optional (!withControl) "--disable-cmdmon"
  ++ lib.optional (!withReferenceClocks) "--disable-refclock";
  installPhase = ''
    install -D -m 755 -t "$out/bin" chronyd ${lib.optionalString withControl "chronyc"}
  '';

  testScript = ''
    run chronyd --version | grep -q "^chronyd (chrony) version 4.3"
    run chronyd -p -f /dev/null "server 192.0.2.1 iburst" | grep -q "^server 192.0.2.1 iburst"
  '';

  meta = {
    description = "Sets the clock by servers of the network";
    homepage = "https://chrony-project.org/";
    license = lib.licenses.gpl2Only;
    mainProgram = "chronyd";
  };
}
