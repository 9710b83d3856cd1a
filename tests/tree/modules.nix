# The modules: what a configuration becomes, which of them are read, and what they refuse.
let
  picnix = import ../..;
  lib = import ../../lib;
  inherit (builtins) attrNames filter readDir;

  evaluate = configuration: picnix { inherit configuration; };
  configOf = configuration: (evaluate configuration).config;
  hello = evaluate ../../examples/hello.nix;

  # The messages of the assertions that fail.
  refusals =
    configuration:
    map (failed: failed.message) (filter (one: !one.assertion) (configOf configuration).assertions);
  isRefused =
    configuration: !(builtins.tryEval (configOf configuration).system.build.toplevel.drvPath).success;

  # The files of the library that took part, below ../../modules.
  activeIn =
    evaluated:
    lib.sort lib.lessThan (
      map (lib.removePrefix "${toString ../../modules}/") (
        filter (lib.hasPrefix (toString ../../modules)) evaluated.evaluation.activeModules
      )
    );

  examples = map (name: ../../examples + "/${name}") (
    filter (lib.hasSuffix ".nix") (attrNames (readDir ../../examples))
  );

  linesOf =
    name: configuration:
    lib.filter (line: line != "") (
      lib.splitString "\n" (configOf configuration).environment.etc.${name}.text
    );
  fieldOf = index: line: lib.elemAt (lib.splitString ":" line) index;

  people = {
    users.users = {
      bob.isNormalUser = true;
      ada = {
        isNormalUser = true;
        extraGroups = [ "wheel" ];
      };
      eve = {
        isNormalUser = true;
        uid = 1000;
      };
    };
    users.groups.wheel = { };
  };

  service = attrs: { system.services.sample = attrs; };
in
lib.runTests {
  testEveryExampleHasATest = {
    expr = filter (example: (configOf example).tests == { }) examples;
    expected = [ ];
  };

  testEveryOptionIsDescribed = {
    expr = map (option: option.name) (
      filter (option: (option.description or null) == null && lib.head option.loc != "_module") (
        lib.optionAttrSetToDocList (evaluate { }).options
      )
    );
    expected = [ ];
  };

  testOnlyMentionedModulesAreRead = {
    expr = lib.subtractLists (activeIn (evaluate { })) (activeIn hello);
    expected = [
      "services/httpd.nix"
      "tests.nix"
    ];
  };

  testUnmentionedOptionsHaveDefaults = {
    expr = hello.config.virtualisation.memorySize;
    expected = 256;
  };

  testVmIsData = {
    expr = removeAttrs hello.config.system.build.vm [
      "image"
      "qemu"
    ];
    expected = {
      format = "initramfs";
      program = "usr/bin/qemu-system-x86_64";
      loader = "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2";
      libraryPath = [ "usr/lib/x86_64-linux-gnu" ];
      moduleDir = "usr/lib/x86_64-linux-gnu/qemu";
      dataDirs = [
        "usr/share/qemu"
        "usr/share/seabios"
      ];
      machine = "q35";
      cpu = null;
      cores = 1;
      memoryMiB = 256;
      kernel = "bzImage";
      initramfs = "initramfs.cpio.xz";
      kernelParams = [
        "loglevel=7"
        "console=ttyS0"
        "panic=-1"
      ];
      forwardPorts = [
        {
          guestPort = 80;
          hostPort = null;
          protocol = "tcp";
        }
      ];
      extraArgs = [ ];
    };
  };

  testForwardsCanBeSet = {
    expr =
      (configOf {
        imports = [ ../../examples/hello.nix ];
        virtualisation.forwardPorts = [
          {
            host.port = 8080;
            guest.port = 80;
          }
        ];
      }).system.build.vm.forwardPorts;
    expected = [
      {
        guestPort = 80;
        hostPort = 8080;
        protocol = "tcp";
      }
    ];
  };

  testStepsAreRendered = {
    expr =
      (configOf {
        tests.t = {
          timeout = 7;
          steps = [
            { waitFor = "up"; }
            { run.command = "true"; }
            { fetch.expect = "page"; }
            { powerOff = true; }
          ];
        };
      }).system.build.tests;
    expected.t = {
      timeoutSeconds = 7;
      steps = [
        {
          type = "waitFor";
          line = "up";
        }
        {
          type = "run";
          command = "true";
          expect = null;
        }
        {
          type = "fetch";
          port = 80;
          path = "/";
          expect = "page";
        }
        { type = "powerOff"; }
      ];
    };
  };

  testFormatsAreTheFilesOfImages = {
    expr = attrNames hello.config.system.build.images;
    expected = [
      "disk"
      "floppy"
      "initramfs"
      "iso"
      "squashfs"
      "uboot"
    ];
  };

  # The kernel that is not packed is never in an image, and needs memory.
  testMachinesWithMemoryStartAKernelThatIsNotPacked = {
    expr =
      map
        (memorySize: (configOf {
          boot.kernel.fromSource = true;
          virtualisation = { inherit memorySize; };
        }).virtualisation.format)
        [
          63
          64
        ]
      ++ [ hello.config.virtualisation.format ];
    expected = [
      "initramfs"
      "initramfs-unpacked"
      "initramfs"
    ];
  };

  # `picnix image` builds what the machine starts from, however that is plugged in.
  testMachinesNameAnImage = {
    expr =
      let
        inherit ((configOf ../../examples/ssh-disk.nix)) system virtualisation;
        # What U-Boot starts is for boards, not for this PC.
        machines = removeAttrs virtualisation.machines [ "uboot" ];
        named = lib.mapAttrsToList (_name: machine: machine.format) machines;
      in
      filter (format: !system.build.images ? ${format}) named;
    expected = [ ];
  };

  testEveryFolderOfTheImageIsListed = {
    expr =
      let
        entries = hello.config.system.build.images.initramfs.drvAttrs.entries;
        paths = map (entry: entry.path) entries;
      in
      filter (path: dirOf path != "/" && !lib.elem (dirOf path) paths) paths;
    expected = [ ];
  };

  testCompressionNamesTheArchive = {
    expr = (configOf { images.initramfs.compression = "zstd"; }).system.build.vm.initramfs;
    expected = "initramfs.cpio.zst";
  };

  testIdsAreFreeOnes = {
    expr = map (line: "${fieldOf 0 line}:${fieldOf 2 line}") (linesOf "passwd" people);
    expected = [
      "root:0"
      "eve:1000"
      "ada:1001"
      "bob:1002"
    ];
  };

  testGroupsListTheirMembers = {
    expr = filter (lib.hasPrefix "wheel") (linesOf "group" people);
    expected = [ "wheel:x:400:ada" ];
  };

  testPasswordsAreForRootsEyes = {
    expr = (configOf { }).system.rootfs."/etc/shadow".mode;
    expected = "0600";
  };

  testConsoleIsOpenWithoutPasswords = {
    expr = map (configuration: (configOf configuration).services.getty.autologinUser) [
      { }
      { users.users.root.hashedPassword = "$6$x$y"; }
    ];
    expected = [
      "root"
      null
    ];
  };

  testGettysAreOnTheConsoles = {
    expr = (configOf { boot.kernelParams = [ "console=ttyS1,115200n8" ]; }).services.getty.ttys;
    expected = [
      "ttyS1"
      "ttyS0"
    ];
  };

  testShellCanBeLeftOut = {
    expr = (configOf { environment.binsh = null; }).system.rootfs ? "/bin/sh";
    expected = false;
  };

  testDeviceIsAModuleOrAName = {
    expr =
      (picnix {
        device = {
          boot.kernelParams = [ "console=ttyAMA0" ];
        };
      }).config.services.getty.ttys;
    expected = [ "ttyAMA0" ];
  };

  testUnknownDeviceIsRefused = {
    expr = (builtins.tryEval (picnix { device = "nosuch"; }).config.networking.hostName).success;
    expected = false;
  };

  testServicesStartInOrder = {
    expr =
      let
        lines = linesOf "inittab" ../../examples/hello.nix;
        position = name: lib.lists.findFirstIndex (lib.hasSuffix "/${name}") null lines;
      in
      lib.sort lib.lessThan (
        map position [
          "mount"
          "modules"
          "network"
          "httpd"
        ]
      ) == map position [
        "mount"
        "modules"
        "network"
        "httpd"
      ];
    expected = true;
  };

  testPathsOfArgumentsAreCopiedToTheStore = {
    expr =
      (configOf (service {
        process.argv = [ ./modules.nix ];
      })).system.services.sample.process.argv;
    expected = [ "${./modules.nix}" ];
  };

  testCopiedFilesBringWhatTheyReferTo = {
    expr =
      let
        config = configOf {
          environment.etc.copy = {
            source = ./modules.nix;
            mode = "0600";
          };
        };
      in
      [
        (lib.elem "${./modules.nix}" config.system.extraDependencies)
        config.system.rootfs."/etc/copy".mode
      ];
    expected = [
      true
      "0600"
    ];
  };

  testServiceNeedsACommand = {
    expr = refusals (service { });
    expected = [ "system.services.sample: set exactly one of process.argv and script" ];
  };

  testServiceNeedsItsDependencies = {
    expr = refusals (service {
      script = "true";
      dependencies = [ "nosuch" ];
    });
    expected = [ "system.services.sample.dependencies: there is no service nosuch" ];
  };

  testServicesInACircleAreRefused = {
    expr = refusals {
      system.services.a = {
        script = "true";
        dependencies = [ "b" ];
      };
      system.services.b = {
        script = "true";
        dependencies = [ "a" ];
      };
    };
    expected = [ "system.services: these depend on each other in a circle: a -> b" ];
  };

  testServiceCannotComeAfterItself = {
    expr = refusals (service {
      script = "true";
      dependencies = [ "sample" ];
    });
    expected = [
      "system.services.sample.dependencies: a service cannot come after itself, leave \"sample\" out"
    ];
  };

  testUserNeedsItsGroup = {
    expr = refusals {
      users.users.x = {
        isSystemUser = true;
        group = "nosuch";
      };
    };
    expected = [
      "users.users.x.group: there is no group \"nosuch\", add users.groups.nosuch = { }"
    ];
  };

  testFailedAssertionsStopTheBuild = {
    expr = isRefused (service { });
    expected = true;
  };

  testUnknownOptionsStopTheBuild = {
    expr = isRefused { networking.hostnam = "x"; };
    expected = true;
  };

  testKernelOptionsSayWhoAsked = {
    expr =
      let
        inherit ((configOf ../../examples/tiny.nix).boot.kernelPackages) kernel;
        askerOf = name: kernel.kernelConfig.${name}.askedBy;
      in
      [
        (lib.hasPrefix "devices/qemu-x86_64/default.nix:" (askerOf "SERIAL_8250"))
        (lib.hasPrefix "modules/images/initramfs.nix:" (askerOf "RD_XZ"))
      ];
    expected = [
      true
      true
    ];
  };

  testKernelOptionsOfTheUserWinOverTheProfile = {
    expr =
      let
        asked =
          (configOf {
            imports = [ ../../examples/tiny.nix ];
            boot.kernel.config.ACPI = "y";
          }).boot.kernel.config;
      in
      asked.ACPI;
    expected = "y";
  };

  testModulesNeedAKernelThatLoadsThem = {
    expr = lib.any (lib.hasPrefix "boot.kernelModules: ") (refusals {
      imports = [ ../../examples/tiny.nix ];
      boot.kernelModules = [ "loop" ];
    });
    expected = true;
  };

  testOnlyAppletsAskedForAreBuilt = {
    expr =
      let
        inherit ((configOf ../../examples/tiny.nix).programs) busybox;
      in
      [
        (lib.elem "uname" busybox.applets)
        (lib.elem "udhcpc" busybox.applets)
        (busybox.package.options ? UDHCPC)
      ];
    expected = [
      true
      false
      false
    ];
  };

  testDebiansKernelIsTheDefault = {
    expr = hello.config.boot.kernelPackages.kernel == hello.pkgs.linux;
    expected = true;
  };

  testKeysOfUsersAreTheirs = {
    expr = (configOf ../../examples/ssh.nix).system.rootfs."/root/.ssh/authorized_keys".mode;
    expected = "0600";
  };
}
