# The first thing that init starts says so: what benches/boot/run waits for.
{
  system.services.announce = {
    description = "say that there are programs";
    kind = "oneshot";
    script = "echo userspace\n";
  };
  # After the announcement, which must not wait for file systems.
  system.services.mount.dependencies = [ "announce" ];
}
