# The module system: merging, priorities, submodules, freeform, imports, positions.
let
  lib = import ../../lib;
  inherit (lib)
    mkAfter
    mkBefore
    mkDefault
    mkForce
    mkIf
    mkMerge
    mkOption
    mkOptionDefault
    mkOverride
    types
    ;

  evaluate = modules: lib.evalModules { inherit modules; };
  config = modules: (evaluate modules).config;
  fails = value: !(builtins.tryEval (builtins.deepSeq value value)).success;

  # One option of a type with definitions from as many modules.
  merged =
    type: values:
    (config ([ { options.x = mkOption { inherit type; }; } ] ++ map (x: { inherit x; }) values)).x;

  declare = name: type: { options.${name} = mkOption { inherit type; }; };
in
lib.runTests {
  testDefault = {
    expr = (config [ { options.a = mkOption { default = 1; }; } ]).a;
    expected = 1;
  };

  testPriorities = {
    expr = map (merged types.int) [
      [
        (mkDefault 1)
        2
      ]
      [
        2
        (mkForce 3)
      ]
      [
        (mkForce 3)
        (mkOverride 10 4)
      ]
      [
        (mkOptionDefault 1)
        (mkDefault 2)
      ]
    ];
    expected = [
      2
      3
      4
      2
    ];
  };

  testConflict = {
    expr = fails (
      merged types.int [
        1
        2
      ]
    );
    expected = true;
  };

  testEqualDefinitions = {
    expr = merged types.str [
      "a"
      "a"
    ];
    expected = "a";
  };

  # As in nixpkgs, definitions of later modules come first.
  testListOrder = {
    expr = merged (types.listOf types.int) [
      [ 1 ]
      (mkAfter [ 9 ])
      (mkBefore [ 0 ])
      [ 2 ]
    ];
    expected = [
      0
      2
      1
      9
    ];
  };

  testLines = {
    expr = merged types.lines [
      (mkAfter "b")
      "a"
    ];
    expected = "a\nb";
  };

  testMkIfAndMkMerge = {
    expr = merged (types.listOf types.int) [
      (mkMerge [
        (mkIf false [ 1 ])
        (mkIf true [ 2 ])
      ])
    ];
    expected = [ 2 ];
  };

  testConditionMayDependOnConfig = {
    expr =
      (config [
        (declare "a" types.int)
        (declare "b" types.int)
        (
          { config, ... }:
          mkIf (config.b == 2) { a = 1; }
        )
        { b = 2; }
      ]).a;
    expected = 1;
  };

  testNestedConditionsOnSets = {
    expr =
      (config [
        {
          options.s.a = mkOption { type = types.int; };
          options.s.b = mkOption {
            type = types.int;
            default = 0;
          };
        }
        {
          s = mkMerge [
            (mkIf true { a = 1; })
            (mkIf false { b = throw "never"; })
          ];
        }
      ]).s;
    expected = {
      a = 1;
      b = 0;
    };
  };

  testSubmodule = {
    expr =
      merged
        (types.attrsOf (
          types.submodule (
            { name, config, ... }:
            {
              options.label = mkOption { default = "${name}:${toString config.port}"; };
              options.port = mkOption { type = types.port; };
            }
          )
        ))
        [
          { web.port = 80; }
          { ssh.port = mkDefault 22; }
        ];
    expected = {
      ssh = {
        label = "ssh:22";
        port = 22;
      };
      web = {
        label = "web:80";
        port = 80;
      };
    };
  };

  testSubmodulesOfSeveralDeclarations = {
    expr =
      (config [
        (declare "s" (types.submodule { options.a = mkOption { default = 1; }; }))
        (declare "s" (types.submodule { options.b = mkOption { default = 2; }; }))
        { s = { }; }
      ]).s;
    expected = {
      a = 1;
      b = 2;
    };
  };

  testFreeform = {
    expr = merged (types.submodule {
      freeformType = types.attrsOf types.int;
      options.known = mkOption { default = "k"; };
    }) [ { other = 1; } ];
    expected = {
      known = "k";
      other = 1;
    };
  };

  testFreeformIsTyped = {
    expr = fails (
      merged (types.submodule { freeformType = types.attrsOf types.int; }) [ { other = "x"; } ]
    );
    expected = true;
  };

  testUnknownOption = {
    expr = fails (config [ { nothing = 1; } ]);
    expected = true;
  };

  testCheckCanBeTurnedOff = {
    expr = config [
      {
        nothing = 1;
        _module.check = false;
      }
    ];
    expected = { };
  };

  testModuleArguments = {
    expr =
      (config [
        (declare "a" types.int)
        ({ number, ... }: { a = number; })
        { _module.args.number = 7; }
      ]).a;
    expected = 7;
  };

  testSpecialArgsInImports = {
    expr =
      (lib.evalModules {
        specialArgs.extra = [ { a = 3; } ];
        modules = [
          (declare "a" types.int)
          ({ extra, ... }: { imports = extra; })
        ];
      }).config.a;
    expected = 3;
  };

  testKeysMakeModulesUnique = {
    expr =
      let
        module = {
          key = "once";
          x = [ 1 ];
        };
      in
      (config [
        (declare "x" (types.listOf types.int))
        { imports = [ module ]; }
        { imports = [ module ]; }
      ]).x;
    expected = [ 1 ];
  };

  testDisabledModules = {
    expr =
      (config [
        (declare "x" (types.listOf types.int))
        {
          imports = [
            {
              key = "a";
              x = [ 1 ];
            }
            {
              key = "b";
              x = [ 2 ];
            }
          ];
          disabledModules = [ { key = "a"; } ];
        }
      ]).x;
    expected = [ 2 ];
  };

  testApply = {
    expr =
      (config [
        {
          options.a = mkOption { apply = x: x + 1; };
          config.a = 1;
        }
      ]).a;
    expected = 2;
  };

  testReadOnly = {
    expr = fails (config [
      {
        options.a = mkOption {
          readOnly = true;
          default = 1;
        };
        config.a = 2;
      }
    ]);
    expected = true;
  };

  testRename = {
    expr =
      let
        eval = evaluate [
          (lib.mkRenamedOptionModule [ "old" "name" ] [ "new" "name" ])
          (declare "warnings" (types.listOf types.str))
          { options.new.name = mkOption { type = types.int; }; }
          { old.name = mkForce 5; }
        ];
      in
      {
        inherit (eval.config.new) name;
        priority = eval.options.new.name.highestPrio;
        warnings = eval.config.warnings;
      };
    expected = {
      name = 5;
      priority = 50;
      warnings = [
        "The option `old.name' defined in `<unknown-file>' has been renamed to `new.name'."
      ];
    };
  };

  testRemoved = {
    expr =
      map (a: a.assertion)
        (config [
          (lib.mkRemovedOptionModule [ "gone" ] "Use something else.")
          { options.assertions = mkOption { }; }
          { gone = 1; }
        ]).assertions;
    expected = [ false ];
  };

  testDefinitionPositions = {
    expr =
      map (def: def.pos.line)
        (evaluate [
          (declare "a" types.lines)
          ./messages/_conflict-a.nix
          ./messages/_conflict-b.nix
        ]).options.a.definitionsWithLocations;
    expected = [
      4
      2
    ];
  };

  testPositionSurvivesConditions = {
    expr =
      map (def: def.pos.line)
        (evaluate [
          { options.s.a = mkOption { }; }
          ./messages/_conditional.nix
        ]).options.s.a.definitionsWithLocations;
    expected = [ 5 ];
  };

  testDeclarationPosition = {
    expr = map (pos: {
      file = baseNameOf pos.file;
      inherit (pos) line;
    }) (evaluate [ ./messages/_declaration.nix ]).options.here.declarationPositions;
    expected = [
      {
        file = "_declaration.nix";
        line = 3;
      }
    ];
  };

  testFilesOfDefinitions = {
    expr =
      map baseNameOf
        (evaluate [
          (declare "a" types.lines)
          ./messages/_conflict-a.nix
        ]).options.a.files;
    expected = [ "_conflict-a.nix" ];
  };

  testExtendModules = {
    expr =
      ((evaluate [ { options.a = mkOption { default = 1; }; } ]).extendModules {
        modules = [ { a = 2; } ];
      }).config.a;
    expected = 2;
  };

  testConfigurationAsType = {
    expr = merged (evaluate [ { options.inner = mkOption { default = 1; }; } ]).type [ { inner = 4; } ];
    expected.inner = 4;
  };

  testDeferredModule = {
    expr =
      let
        deferred = merged types.deferredModule [
          { a = 1; }
          ({ ... }: { b = 2; })
        ];
      in
      config [
        deferred
        (declare "a" types.int)
        (declare "b" types.int)
      ];
    expected = {
      a = 1;
      b = 2;
    };
  };

  testClass = {
    expr =
      fails
        (lib.evalModules {
          class = "image";
          modules = [ { _class = "nixos"; } ];
        }).config;
    expected = true;
  };

  testCoercion = {
    expr = merged (types.coercedTo types.str lib.toInt types.int) [ "5" ];
    expected = 5;
  };

  testEither = {
    expr = map (merged (types.either types.int (types.listOf types.str))) [
      [ 1 ]
      [ [ "a" ] ]
    ];
    expected = [
      1
      [ "a" ]
    ];
  };

  testAttrTag = {
    expr = merged (types.attrTag {
      left = mkOption { type = types.int; };
      right = mkOption { type = types.str; };
    }) [ { left = 1; } ];
    expected.left = 1;
  };

  testEnumsOfSeveralDeclarations = {
    expr =
      (config [
        (declare "e" (types.enum [ "a" ]))
        (declare "e" (types.enum [ "b" ]))
        { e = "b"; }
      ]).e;
    expected = "b";
  };

  testTypeErrors = {
    expr = map fails [
      (merged types.int [ "x" ])
      (merged types.port [ 65536 ])
      (merged types.ints.positive [ 0 ])
      (merged types.nonEmptyStr [ " " ])
      (merged types.singleLineStr [ "a\nb" ])
      (merged (types.strMatching "[a-z]+") [ "A" ])
      (merged types.path [ "relative" ])
      (merged types.package [ 1 ])
      (merged (types.nonEmptyListOf types.int) [ [ ] ])
      (merged (types.nullOr types.int) [
        null
        1
      ])
      (merged (types.functionTo types.int) [ 1 ])
      (merged (types.uniq types.int) [
        1
        1
      ])
      (merged (types.addCheck types.int (x: x != 3)) [ 3 ])
      (merged types.raw [
        1
        1
      ])
    ];
    expected = lib.replicate 14 true;
  };

  testAnything = {
    expr = merged types.anything [
      {
        a.b = 1;
        c = mkDefault 1;
      }
      {
        a.d = 2;
        c = 2;
      }
    ];
    expected = {
      a = {
        b = 1;
        d = 2;
      };
      c = 2;
    };
  };

  testDocumentation = {
    expr =
      map
        (doc: {
          inherit (doc) name type;
          default = doc.default.text or null;
        })
        (
          lib.filter (doc: doc.visible && !doc.internal && lib.head doc.loc != "_module") (
            lib.optionAttrSetToDocList
              (evaluate [
                {
                  options.services.a = mkOption {
                    default = { };
                    type = types.attrsOf (types.submodule { options.b = mkOption { type = types.int; }; });
                  };
                }
              ]).options
          )
        );
    expected = [
      {
        name = "services.a";
        type = "attribute set of (submodule)";
        default = "{ }";
      }
      {
        name = "services.a.<name>.b";
        type = "signed integer";
        default = null;
      }
    ];
  };
}
