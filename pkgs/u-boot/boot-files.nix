# What U-Boot starts a kernel with: the kernel as `linux`, in a form that it takes, and a script that loads it
# and `initrd` from where the script is (`boot.scr`, which U-Boot looks for on every disk).
{
  lib,
  hostPlatform,
  stdenvNoLibc,
}:
{
  kernel,
  # What the kernel is told, as one text.
  commandLine,
}:
let
  inherit (hostPlatform) isMips;
  command =
    {
      Image = "booti";
      "Image.gz" = "booti";
      uImage = "bootm";
      vmlinuz = "bootm";
      zImage = "bootz";
    }
    .${kernel.target}
      or (throw "u-boot: how to start a kernel of the format \"${kernel.target}\" is not known yet");

  fromDisk =
    file: address: "load \${devtype} \${devnum}:\${distro_bootpart} \${${address}} ${file}\n";
in
assert lib.assertMsg (
  !lib.hasInfix "'" commandLine
) "u-boot: the kernel's command line cannot have a single quote: ${commandLine}";
stdenvNoLibc.mkDerivation {
  name = "u-boot-boot-files";
  script =
    fromDisk "linux" "kernel_addr_r"
    + fromDisk "initrd" "ramdisk_addr_r"
    + (
      if isMips then
        # Its kernels look for the initramfs in their command line.
        "setenv bootargs '${commandLine}' rd_start=\${ramdisk_addr_r} rd_size=0x\${filesize}\n"
        + "${command} \${kernel_addr_r}\n"
      else
        "setenv bootargs '${commandLine}'\n"
        + "${command} \${kernel_addr_r} \${ramdisk_addr_r}:\${filesize} \${fdtcontroladdr}\n"
    );
  passAsFile = [ "script" ];
  kernelFile = "${kernel}/${kernel.kernelFile}";
  buildCommand = ''
    mkdir "$out"
    python3 ${./script.py} ${../linux/uimage.py} "$scriptPath" "$out/boot.scr"
  ''
  + (
    if kernel.target == "vmlinuz" then
      # It unpacks itself, but where from only its ELF header says.
      ''
        "$OBJCOPY" -O binary "$kernelFile" kernel
        entry=$("$READELF" -h "$kernelFile" | sed -n 's/.*Entry point address: *//p')
        python3 ${../linux/uimage.py} kernel "$out/linux" 5 none "$entry" Linux
      ''
    else
      ''
        cp "$kernelFile" "$out/linux"
      ''
  );
}
