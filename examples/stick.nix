# slow: builds from source
# The system of tiny.nix on a CD or a stick, which PCs start by BIOS and by EFI. The firmware reads all of it
# into memory, so the kernel needs no drivers: what has started can be unplugged.
#
#   picnix run examples/stick.nix
#   picnix image examples/stick.nix --format iso -o stick
let
  works.steps = [
    {
      run.command = "hostname";
      run.expect = "tiny\n";
    }
    { powerOff = true; }
  ];
  worksByEfi.steps = [ { run.command = "[ -d /sys/firmware/efi ]"; } ] ++ works.steps;
in
{
  imports = [ ./tiny.nix ];

  images.iso.enable = true;
  virtualisation.format = "iso";
  # On a busy host, an emulated timer may miss the moment in which the kernel looks for it.
  boot.kernelParams = [
    "no_timer_check"
    "panic=-1"
  ];

  # picnix test examples/stick.nix
  tests = {
    cd-efi = worksByEfi // {
      format = "iso-efi";
    };
    usb = works // {
      format = "iso-usb";
    };
    usb-efi = worksByEfi // {
      format = "iso-usb-efi";
    };
  };
}
