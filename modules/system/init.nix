# busybox's init as the first process and the supervisor: renders `system.services` for it.
#
# init runs oneshots one after the other, in the order of their dependencies, then starts the
# daemons in that order. It knows no readiness: a daemon counts as there once it is started.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (builtins) attrNames attrValues elem;
  inherit (lib)
    concatMapStrings
    concatStringsSep
    escapeShellArgs
    filter
    mkOption
    optionalString
    types
    ;

  busybox = config.programs.busybox.package;
  shell = "${busybox}/bin/sh";

  services = lib.filterAttrs (_name: service: service.enable) config.system.services;
  names = attrNames services;

  isOneshot = name: services.${name}.kind == "oneshot";
  isBefore = a: b: elem a services.${b}.dependencies;
  ordered = lib.toposort isBefore names;
  startOrder = ordered.result or [ ];

  # A service's process, as the last command of its script.
  process =
    service:
    let
      # Not start-stop-daemon: it does nothing where the same program runs already.
      asUser = [
        "su"
        "-m"
        "-s"
        shell
        "-c"
        "exec ${escapeShellArgs service.process.argv}"
        service.user
      ];
      argv = if service.user == "root" then service.process.argv else asUser;
    in
    if service.script != null then
      service.script
    else if service.kind == "daemon" && service.restart == "on-failure" then
      "until ${escapeShellArgs argv}; do sleep 1; done\n"
    else
      "exec ${escapeShellArgs argv}\n";

  redirections = {
    console = "";
    discard = "exec >/dev/null 2>&1\n";
    kernel = "exec >/dev/kmsg 2>&1\n";
  };

  scriptOf =
    name: service:
    ''
      #!${shell}
      # ${name}${optionalString (service.description != "") ": ${service.description}"}
      export PATH=${lib.makeBinPath service.path}
    ''
    + lib.concatStrings (
      lib.mapAttrsToList (
        variable: value: "export ${variable}=${lib.escapeShellArg value}\n"
      ) service.environment
    )
    + redirections.${service.logging}
    + process service;

  scripts = pkgs.writeTree {
    name = "services";
    files = lib.mapAttrs (name: service: {
      executable = true;
      text = scriptOf name service;
    }) services;
  };

  actionOf =
    name:
    if isOneshot name then
      "sysinit"
    else if services.${name}.restart == "always" then
      "respawn"
    else
      "once";

  inittab =
    concatMapStrings (name: "::${actionOf name}:${scripts}/${name}\n") startOrder
    + "::ctrlaltdel:${busybox}/bin/reboot\n";

  serviceAssertions =
    name:
    let
      service = services.${name};
      loc = "system.services.${name}";
      missing = filter (dependency: !services ? ${dependency}) service.dependencies;
      daemons = filter (dependency: services ? ${dependency} && !isOneshot dependency) (
        service.dependencies
      );
    in
    [
      {
        assertion = (service.process.argv == null) != (service.script == null);
        message = "${loc}: set exactly one of process.argv and script";
      }
      {
        assertion = service.script == null || service.user == "root";
        message = "${loc}.user: a script runs as root; use process.argv to run a program as ${service.user}";
      }
      {
        assertion = !isBefore name name;
        message = "${loc}.dependencies: a service cannot come after itself, leave \"${name}\" out";
      }
      {
        assertion = missing == [ ];
        message = "${loc}.dependencies: there is no service ${concatStringsSep ", " missing}";
      }
      {
        assertion = !isOneshot name || daemons == [ ];
        message = "${loc}.dependencies: busybox's init runs all oneshots before any daemon, so this oneshot cannot come after ${concatStringsSep ", " daemons}; make it a daemon with restart = \"never\"";
      }
    ];
in
{
  options.system.init.program = mkOption {
    type = types.path;
    default = "${busybox}/bin/init";
    defaultText = lib.literalExpression ''"''${config.programs.busybox.package}/bin/init"'';
    description = "The first process: what the kernel starts as `/init`.";
  };

  config = {
    assertions = lib.concatMap serviceAssertions names ++ [
      {
        assertion = ordered ? result;
        message = "system.services: these depend on each other in a circle: ${
          concatStringsSep " -> " (ordered.cycle or [ ])
        }";
      }
    ];

    environment.etc.inittab.text = inittab;

    boot.kernel.config.UNIX98_PTYS = lib.mkIf config.system.pseudoTerminals "y";

    programs.busybox.applets = [
      "init"
      "mount"
      "reboot"
      "sh"
    ]
    ++ lib.optional config.system.pseudoTerminals "mkdir"
    ++ lib.optional (lib.any (service: service.user != "root") (attrValues services)) "su"
    ++ lib.optional (lib.any (service: service.restart == "on-failure") (
      attrValues services
    )) "sleep";

    system.services.mount = {
      description = "mount the kernel's file systems";
      kind = "oneshot";
      script = ''
        mount -t proc proc /proc
        mount -t sysfs sysfs /sys
        mount -t devtmpfs devtmpfs /dev
      ''
      + optionalString config.system.pseudoTerminals ''
        mkdir -p /dev/pts
        mount -t devpts devpts /dev/pts
      '';
    };
  };
}
