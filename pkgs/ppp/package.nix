# pppd with PPPoE in it. A static program loads no plugins: `plugin pppoe.so` finds the one that is part
# of it.
{
  lib,
  debianMirror,
  debianPatches,
  fetchurl,
  tinyStdenv,
  # The program that talks to modems.
  withChat ? false,
}:
let
  version = "2.4.9";
in
tinyStdenv.mkDerivation {
  pname = "ppp";
  inherit version;

  src = fetchurl {
    urls = [
      "https://download.samba.org/pub/ppp/ppp-${version}.tar.gz"
      (debianMirror "p/ppp/ppp_${version}.orig.tar.gz")
    ];
    hash = "sha256-+TizXszeUz6oALFadEWy8RN9p/iOMqFomNAt7orcBY0=";
  };

  patches = debianPatches {
    name = "ppp";
    src = fetchurl {
      name = "ppp_2.4.9-1-1.1.debian.tar.xz";
      url = debianMirror "p/ppp/ppp_2.4.9-1+1.1.debian.tar.xz";
      hash = "sha256-fv5KFpIt2kMOuwGw6X7X3Edoc6Jyva0B0u3bdaPTnao=";
    };
    # A name's length was taken from the wrong place.
    patches = [ "eap-mschap-v2-namelen.patch" ];
  };

  builtin = ./builtin.c;
  configurePhase = ''
    cp "$builtin" pppd/builtin.c
    cp pppd/Makefile.linux pppd/Makefile
    cp chat/Makefile.linux chat/Makefile
    # IPX is gone from the kernel, and its header from C libraries.
    sed -i -e 's/-DIPX_CHANGE//' -e 's/-Wl,-E//' -e 's/-ldl//' -e 's/@DESTDIR@//' pppd/Makefile
  '';
  buildPhase = ''
    plugin=pppd/plugins/pppoe
    for file in plugin discovery if common; do
      $CC $CFLAGS -D_GNU_SOURCE -Iinclude -I. -c -o $plugin/$file.o $plugin/$file.c
    done
    $CC $CFLAGS -D_GNU_SOURCE -c -o pppd/builtin.o pppd/builtin.c
    makeFlagsArray=("CC=$CC" "COPTS=$CFLAGS -D_GNU_SOURCE -Ddlopen=builtin_open -Ddlsym=builtin_symbol"
      "LDFLAGS=$LDFLAGS" "LIBS=builtin.o $(echo plugins/pppoe/{plugin,discovery,if,common}.o) -lcrypt")
    runMake 1 inPppd
    ${lib.optionalString withChat ''
      $CC $CFLAGS -DTERMIOS -DSIGTYPE=void -UNO_SLEEP -DFNDELAY=O_NDELAY -Iinclude -o chat/chat chat/chat.c $LDFLAGS
    ''}
  '';
  inPppd = [
    "-C"
    "pppd"
    "USE_CRYPT=y"
    "USE_EAPTLS="
    "FILTER="
    "HAVE_MULTILINK="
    "USE_TDB="
    "USE_LIBUTIL="
    "pppd"
  ];
  installPhase = ''
    install -D -m 755 -t "$out/bin" pppd/pppd ${lib.optionalString withChat "chat/chat"}
  '';

  testScript = ''
    # In a box nobody is root, for whom alone it needs no /etc/ppp/options.
    run pppd plugin pppoe.so nic-eth0 dryrun nodetach >said 2>&1 || true
    grep -q -e "Plugin pppoe.so loaded" -e "Can't open options file /etc/ppp/options" said
    grep -q "PPPoE plugin from pppd" "$package/bin/pppd"
  '';

  meta = {
    description = "The Point-to-Point Protocol, also over Ethernet (PPPoE)";
    homepage = "https://ppp.samba.org/";
    license = [
      lib.licenses.bsdOriginal
      lib.licenses.gpl2Plus
      lib.licenses.lgpl2Plus
      lib.licenses.publicDomain
    ];
    mainProgram = "pppd";
  };
}
