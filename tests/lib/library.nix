# Modules on demand: the rule of lib/modules/library.nix, over the small library in ./library.
#
# services/broken.nix throws when it is read, so every test that passes shows that it was not.
let
  lib = import ../../lib;
  inherit (lib)
    mkDefault
    mkForce
    mkIf
    mkMerge
    mkOption
    types
    ;

  evaluate =
    modules:
    lib.evalModules {
      inherit modules;
      library = ./library;
    };

  # The library modules that take part, as their paths in the library.
  activeIn =
    eval:
    lib.sort lib.lessThan (
      map (lib.removePrefix "${toString ./library}/") (
        lib.filter (lib.hasPrefix (toString ./library)) eval.activeModules
      )
    );

  active = modules: activeIn (evaluate modules);
  config = modules: (evaluate modules).config;
  fails = value: !(builtins.tryEval (builtins.deepSeq value value)).success;

  greeting = {
    networking.hostName = "hello";
    services.httpd.enable = true;
  };
in
lib.runTests {
  testNothingMentioned = {
    expr = active [ { } ];
    expected = [ ];
  };

  testMentionBringsFolderDefault = {
    expr = active [ { networking.hostName = "a"; } ];
    expected = [
      "networking/default.nix"
      "trace.nix"
    ];
  };

  testMentionBringsOnlyTheFile = {
    expr = active [ { environment.etc.motd.text = "x"; } ];
    expected = [ "environment/etc.nix" ];
  };

  testMentionInsideFolderWithoutItsDefault = {
    expr = active [ { networking.firewall.rules = "drop"; } ];
    expected = [ "networking/firewall/rules.nix" ];
  };

  testFixpoint = {
    expr = active [ greeting ];
    expected = [
      "environment/etc.nix"
      "networking/default.nix"
      "networking/firewall/default.nix"
      "services/httpd.nix"
      "system/steps.nix"
      "trace.nix"
    ];
  };

  testFixpointValues = {
    expr =
      let
        c = config [
          greeting
          { networking.firewall.enable = true; }
        ];
      in
      {
        inherit (c.system) steps;
        inherit (c.services.httpd) hostName;
        etc = c.environment.etc."httpd.conf";
        inherit (c) trace;
      };
    expected = {
      steps = [
        "firewall 80"
        "httpd"
      ];
      hostName = "hello";
      etc = {
        text = "port 80";
        target = "httpd.conf";
      };
      trace.networking = true;
    };
  };

  testReadingUnmentionedGivesDefault = {
    expr = (config [ { } ]).networking.hostName;
    expected = "nixos";
  };

  testReadingUnmentionedDoesNotTakePart = {
    expr =
      let
        eval = evaluate [
          (
            { config, ... }:
            {
              environment.etc.port.text = toString config.services.httpd.port;
            }
          )
        ];
      in
      {
        inherit (eval.config.environment.etc.port) text;
        active = activeIn eval;
        inherit (eval.config) trace;
      };
    expected = {
      text = "80";
      active = [ "environment/etc.nix" ];
      trace = { };
    };
  };

  testReadingUnmentionedSeesTheConfiguration = {
    expr = (config [ { networking.hostName = "seen"; } ]).services.httpd.hostName;
    expected = "seen";
  };

  testReadingTopLevelOptionOfRootModule = {
    expr = (config [ { } ]).warnings;
    expected = [ ];
  };

  testReadingTopLevelFile = {
    expr = (config [ { } ]).trace;
    expected = { };
  };

  testNamesOfAFolder = {
    expr = lib.attrNames (config [ { } ]).services;
    expected = [
      "broken"
      "httpd"
      "stray"
      "web"
    ];
  };

  testHiddenFilesAreNoOptions = {
    expr = lib.attrNames (config [ { } ]).system;
    expected = [ "steps" ];
  };

  testNamesOfFolderWithModules = {
    expr = lib.attrNames (config [ { } ]).networking;
    expected = [
      "domain"
      "firewall"
      "hostName"
    ];
  };

  testMentionLooksThroughProperties = {
    expr = active [
      (
        { config, ... }:
        mkMerge [
          (mkIf config.services.httpd.enable { networking.firewall.rules = "x"; })
          { system = mkForce (mkIf (throw "condition") { steps = mkDefault [ ]; }); }
        ]
      )
    ];
    expected = [
      "networking/firewall/rules.nix"
      "system/steps.nix"
    ];
  };

  testConditionalDefinition = {
    expr =
      (config [
        greeting
        (
          { config, ... }:
          {
            networking.firewall = mkIf config.services.httpd.enable { rules = "accept"; };
          }
        )
      ]).networking.firewall.rules;
    expected = "accept";
  };

  testEmptyMention = {
    expr = active [ { services.httpd = { }; } ];
    expected = [
      "environment/etc.nix"
      "networking/firewall/default.nix"
      "services/httpd.nix"
      "system/steps.nix"
    ];
  };

  testEmptyMentionOfAFolder = {
    expr = active [ { networking = { }; } ];
    expected = [
      "networking/default.nix"
      "trace.nix"
    ];
  };

  testUserModuleDeclaresBesideTheLibrary = {
    expr =
      let
        c = config [
          {
            options.services.mine.greeting = mkOption { type = types.str; };
            config.services.mine.greeting = "hi";
          }
        ];
      in
      {
        inherit (c.services.mine) greeting;
        inherit (c.services.httpd) port;
      };
    expected = {
      greeting = "hi";
      port = 80;
    };
  };

  testUserModuleExtendsALibraryService = {
    expr =
      let
        c = config [
          {
            options.services.httpd.extra = mkOption {
              type = types.int;
              default = 3;
            };
          }
        ];
      in
      [
        c.services.httpd.extra
        c.services.httpd.port
      ];
    expected = [
      3
      80
    ];
  };

  testExplicitImportOfALibraryModule = {
    expr = active [ { imports = [ ./library/system/steps.nix ]; } ];
    expected = [ "system/steps.nix" ];
  };

  testDisabledModules = {
    expr = active [
      {
        disabledModules = [ "services/httpd.nix" ];
        options.services.httpd = mkOption { type = types.attrs; };
        config.services.httpd.anything = 1;
      }
    ];
    expected = [ ];
  };

  testRenamedModule = {
    expr =
      let
        eval = evaluate [ { services.web.port = 8080; } ];
      in
      {
        inherit (eval.config.services.httpd) port;
        warnings = map (lib.hasPrefix "The option `services.web.port' defined in") eval.config.warnings;
        active = lib.elem "services/httpd.nix" (activeIn eval);
      };
    expected = {
      port = 8080;
      warnings = [ true ];
      active = true;
    };
  };

  testReadingARenamedOptionThatNobodySet = {
    expr = (config [ { services.httpd.port = 81; } ]).services.web.port;
    expected = 81;
  };

  testExtendModules = {
    expr =
      let
        more = (evaluate [ { } ]).extendModules { modules = [ { networking.hostName = "more"; } ]; };
      in
      [
        more.config.networking.hostName
        (activeIn more)
      ];
    expected = [
      "more"
      [
        "networking/default.nix"
        "trace.nix"
      ]
    ];
  };

  testOptionsTreeHasUnmentioned = {
    expr = (evaluate [ { } ]).options.services.httpd.port.default;
    expected = 80;
  };

  testUnknownOption = {
    expr = fails (config [ { services.htpd.enable = true; } ]).networking.hostName;
    expected = true;
  };

  testUnknownOptionBelowAModule = {
    expr = fails (config [ { services.httpd.prot = 1; } ]).networking.hostName;
    expected = true;
  };

  testStrayDeclarationIsRefused = {
    expr = fails (active [ { services.stray = { }; } ]);
    expected = true;
  };

  testSubmoduleTypeCarriesTheLibrary = {
    expr =
      (lib.evalModules {
        modules = [
          {
            options.container = mkOption { inherit (evaluate [ { networking.hostName = "inner"; } ]) type; };
            config.container.services.httpd.enable = true;
          }
        ];
      }).config.container.services.httpd.hostName;
    expected = "inner";
  };
}
