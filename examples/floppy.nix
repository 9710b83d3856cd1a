# slow: builds from source
# The system of tiny.nix on a floppy, which a PC starts by itself; two fifths of the floppy stay free.
#
#   picnix run examples/floppy.nix
#   picnix image examples/floppy.nix -o floppy
{
  imports = [ ./tiny.nix ];

  virtualisation = {
    format = "floppy";
    memorySize = 16;
  };
  # On a busy host, an emulated timer may miss the moment in which the kernel looks for it.
  boot.kernelParams = [
    "no_timer_check"
    "panic=-1"
  ];
}
