# The name of the machine and its interfaces.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.networking;
  inherit (lib)
    mapAttrsToList
    mkIf
    mkMerge
    mkOption
    types
    ;

  # What udhcpc runs when a lease comes, changes or goes.
  leaseScript = pkgs.writeScript "udhcpc-script" (
    "#!${config.programs.busybox.package}/bin/sh\n" + builtins.readFile ./_udhcpc.sh
  );
  client = "udhcpc -f -T 1 -A 5 -s ${leaseScript}";

  interfaceType = types.submodule {
    options = {
      ipv4.addresses = mkOption {
        type = types.listOf addressType;
        default = [ ];
        example = [
          {
            address = "192.168.1.1";
            prefixLength = 24;
          }
        ];
        description = "Static IPv4 addresses of the interface.";
      };
      useDHCP = mkOption {
        type = types.nullOr types.bool;
        default = null;
        description = "Whether the interface is set up by DHCP; null leaves it to `networking.useDHCP`.";
      };
    };
  };
  addressType = types.submodule {
    options = {
      address = mkOption {
        type = types.str;
        description = "The address.";
      };
      prefixLength = mkOption {
        type = types.ints.between 0 32;
        description = "The length of the network's part, in bits.";
      };
    };
  };

  addressCommands = lib.concatStrings (
    mapAttrsToList (
      name: interface:
      lib.concatMapStrings (
        address: "ip address add ${address.address}/${toString address.prefixLength} dev ${name}\n"
      ) interface.ipv4.addresses
      + lib.optionalString (interface.ipv4.addresses != [ ]) "ip link set dev ${name} up\n"
    ) cfg.interfaces
  );

  # Interfaces that DHCP must leave alone although it serves all others.
  exempt = lib.attrNames (
    lib.filterAttrs (
      _name: interface:
      interface.useDHCP == false || (interface.useDHCP == null && interface.ipv4.addresses != [ ])
    ) cfg.interfaces
  );
  requested = lib.attrNames (
    lib.filterAttrs (_name: interface: interface.useDHCP == true) cfg.interfaces
  );

  usesDHCP = cfg.enable && (cfg.useDHCP || requested != [ ]);
in
{
  options.networking = {
    enable = mkOption {
      type = types.bool;
      default = true;
      description = "Whether the system has a network at all, if only with itself.";
    };
    enableIPv6 = mkOption {
      type = types.bool;
      default = true;
      description = "Whether the system speaks IPv6, where its kernel is built from source.";
    };
    hostName = mkOption {
      type = types.strMatching "|[[:alnum:]]([[:alnum:]_-]{0,61}[[:alnum:]])?";
      default = "picnix";
      description = "The name of the machine; empty for none.";
    };
    interfaces = mkOption {
      type = types.attrsOf interfaceType;
      default = { };
      description = "Network interfaces that need settings of their own.";
    };
    useDHCP = mkOption {
      type = types.bool;
      default = true;
      description = "Whether interfaces without static addresses are set up by DHCP.";
    };
  };

  config = {
    boot.kernel.config = mkIf cfg.enable {
      INET = "y";
      IPV6 = mkIf cfg.enableIPv6 "y";
      NET = "y";
      PACKET = mkIf usesDHCP "y";
      UNIX = "y";
    };

    programs.busybox.applets =
        lib.optional (cfg.hostName != "") "hostname"
        ++ lib.optional cfg.enable "ip"
        ++ lib.optionals usesDHCP [
          "basename"
          "dirname"
          "mv"
          "udhcpc"
        ];

    environment.etc = {
      hostname = mkIf (cfg.hostName != "") { text = "${cfg.hostName}\n"; };
      hosts.text = ''
        127.0.0.1 localhost
      ''
      + lib.optionalString cfg.enableIPv6 "::1 localhost\n"
      + lib.optionalString (cfg.hostName != "") "127.0.0.2 ${cfg.hostName}\n";
    };

    system.rootfs."/etc/resolv.conf" = mkIf usesDHCP {
      type = "symlink";
      target = "/run/resolv.conf";
    };

    system.services = mkMerge [
      {
        network = {
          description = "name the machine and bring up static interfaces";
          kind = "oneshot";
          dependencies = [ "mount" ] ++ lib.optional (config.boot.kernelModules != [ ]) "modules";
          script =
            lib.optionalString (cfg.hostName != "") "hostname ${cfg.hostName}\n"
            + lib.optionalString cfg.enable "ip link set dev lo up\n"
            + addressCommands;
        };
      }
      (mkIf (cfg.enable && cfg.useDHCP) {
        dhcp = {
          description = "DHCP on every interface that is a device";
          dependencies = [ "network" ];
          script = ''
            for device in /sys/class/net/*/device; do
              [ -e "$device" ] || continue
              interface=$(basename "$(dirname "$device")")
              case " ${toString exempt} " in *" $interface "*) continue ;; esac
              ${client} -i "$interface" &
            done
            wait
          '';
        };
      })
      (mkIf (!cfg.useDHCP) (
        lib.genAttrs' requested (name: {
          name = "dhcp-${name}";
          value = {
            description = "DHCP on ${name}";
            dependencies = [ "network" ];
            script = "exec ${client} -i ${name}";
          };
        })
      ))
    ];
  };
}
