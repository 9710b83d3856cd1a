# picnix's library: pure functions, the module system, data about systems and licences.
#
# Names, semantics and argument order are those of nixpkgs' lib, so that modules and packages written for
# the one work with the other. Each file is read when something of it is used: the sets below are spelt out
# so that evaluating this one costs nothing but its names.
let
  lib = {
    trivial = import ./trivial.nix lib;
    fixedPoints = import ./fixed-points.nix lib;
    attrsets = import ./attrsets.nix lib;
    lists = import ./lists.nix lib;
    strings = import ./strings.nix lib;
    asserts = import ./asserts.nix lib;
    debug = import ./debug.nix lib;

    customisation = import ./customisation.nix lib;
    meta = import ./meta.nix lib;
    versions = import ./versions.nix lib;
    sources = import ./sources.nix lib;
    filesystem = import ./filesystem.nix lib;
    path = import ./path.nix lib;
    cli = import ./cli.nix lib;
    generators = import ./generators.nix lib;
    gvariant = import ./gvariant.nix lib;
    systems = import ./systems lib;
    licenses = import ./licenses.nix lib;
    fileset = import ./fileset.nix lib;
    asciiTable = import ./ascii.nix;

    options = import ./options.nix lib;
    types = import ./types lib;
    modules =
      import ./modules/properties.nix lib
      // import ./modules/collect.nix lib
      // import ./modules/library.nix lib
      // import ./modules/merge.nix lib
      // import ./modules/renames.nix lib
      // import ./modules/messages.nix lib
      // import ./modules lib;

    inherit (builtins)
      add
      addErrorContext
      all
      any
      attrNames
      attrValues
      baseNameOf
      bitAnd
      bitOr
      bitXor
      catAttrs
      ceil
      compareVersions
      concatLists
      concatMap
      concatStringsSep
      deepSeq
      dirOf
      elem
      elemAt
      filter
      floor
      foldl'
      genList
      genericClosure
      getAttr
      groupBy
      hasAttr
      hasContext
      head
      intersectAttrs
      isAttrs
      isBool
      isFloat
      isInt
      isList
      isPath
      isString
      length
      lessThan
      listToAttrs
      map
      mapAttrs
      partition
      pathExists
      readFile
      removeAttrs
      replaceStrings
      seq
      sort
      storeDir
      stringLength
      sub
      substring
      tail
      trace
      typeOf
      unsafeGetAttrPos
      zipAttrsWith
      ;

    inherit (lib.trivial)
      and
      bitNot
      boolToString
      boolToYesNo
      checkListOfEnum
      compare
      concat
      const
      flip
      fromHexString
      functionArgs
      id
      importIfExists
      importJSON
      importTOML
      inNixShell
      inPureEvalMode
      isFunction
      mapNullable
      max
      mergeAttrs
      min
      mirrorFunctionArgs
      mod
      oldestSupportedReleaseIsAtLeast
      "or"
      pipe
      release
      setFunctionArgs
      splitByAndCompare
      throwIf
      throwIfNot
      toBaseDigits
      toFunction
      toHexString
      warn
      warnIf
      warnIfNot
      xor
      ;

    inherit (lib.fixedPoints)
      composeExtensions
      composeManyExtensions
      converge
      extends
      fix
      fix'
      makeExtensible
      makeExtensibleWithCustomName
      toExtension
      ;

    inherit (lib.attrsets)
      attrByPath
      attrVals
      attrsToList
      cartesianProduct
      chooseDevOutputs
      collect
      concatMapAttrs
      dontRecurseIntoAttrs
      filterAttrs
      filterAttrsRecursive
      foldAttrs
      foldlAttrs
      genAttrs
      genAttrs'
      getAttrFromPath
      getAttrs
      getBin
      getDev
      getFirstOutput
      getInclude
      getLib
      getMan
      getOutput
      getStatic
      hasAttrByPath
      isDerivation
      longestValidPathPrefix
      mapAttrs'
      mapAttrsRecursive
      mapAttrsRecursiveCond
      mapAttrsToList
      mapAttrsToListRecursive
      mapAttrsToListRecursiveCond
      mapCartesianProduct
      matchAttrs
      mergeAttrsList
      nameValuePair
      optionalAttrs
      overrideExisting
      recurseIntoAttrs
      recursiveUpdate
      recursiveUpdateUntil
      setAttrByPath
      showAttrPath
      toDerivation
      unionOfDisjoint
      updateManyAttrsByPath
      zipAttrs
      zipAttrsWithNames
      ;

    inherit (lib.lists)
      allUnique
      commonPrefix
      compareLists
      count
      crossLists
      drop
      dropEnd
      findFirst
      findFirstIndex
      findSingle
      flatten
      fold
      foldl
      foldr
      forEach
      groupBy'
      ifilter0
      imap0
      imap1
      init
      intersectLists
      last
      listDfs
      mutuallyExclusive
      naturalSort
      optional
      optionals
      range
      remove
      replaceElemAt
      replicate
      reverseList
      singleton
      sortOn
      sublist
      subtractLists
      take
      takeEnd
      toList
      toposort
      unique
      uniqueStrings
      zipLists
      zipListsWith
      ;

    inherit (lib.strings)
      addContextFrom
      cmakeBool
      cmakeFeature
      cmakeOptionType
      concatImapStrings
      concatImapStringsSep
      concatLines
      concatMapAttrsStringSep
      concatMapStrings
      concatMapStringsSep
      concatStrings
      enableFeature
      enableFeatureAs
      escape
      escapeNixIdentifier
      escapeNixString
      escapeRegex
      escapeShellArg
      escapeShellArgs
      escapeURL
      escapeXML
      fileContents
      fixedWidthNumber
      fixedWidthString
      floatToString
      getName
      getVersion
      hasInfix
      hasPrefix
      hasSuffix
      intersperse
      isConvertibleWithToString
      isStorePath
      isStringLike
      levenshtein
      levenshteinAtMost
      lowerChars
      makeBinPath
      makeIncludePath
      makeLibraryPath
      makeSearchPath
      makeSearchPathOutput
      mesonBool
      mesonEnable
      mesonOption
      nameFromURL
      normalizePath
      optionalString
      removePrefix
      removeSuffix
      sanitizeDerivationName
      splitString
      stringAsChars
      stringToCharacters
      toCamelCase
      toInt
      toIntBase10
      toLower
      toSentenceCase
      toShellVar
      toShellVars
      toUpper
      trim
      trimWith
      upperChars
      versionAtLeast
      versionOlder
      withFeature
      withFeatureAs
      ;

    inherit (lib.asserts)
      assertEachOneOf
      assertMsg
      assertOneOf
      checkAssertWarn
      ;

    inherit (lib.debug)
      runTests
      testAllTrue
      traceFnSeqN
      traceIf
      traceSeq
      traceSeqN
      traceVal
      traceValFn
      traceValSeq
      traceValSeqFn
      traceValSeqN
      ;

    inherit (lib.customisation)
      callPackageWith
      callPackagesWith
      extendDerivation
      extendMkDerivation
      hydraJob
      makeOverridable
      makeScope
      makeScopeWithSplicing'
      overrideDerivation
      ;

    inherit (lib.meta)
      addMetaAttrs
      appendToName
      availableOn
      dontDistribute
      getExe
      getExe'
      getLicenseFromSpdxId
      getLicenseFromSpdxIdOr
      hiPrio
      lowPrio
      mapDerivationAttrset
      platformMatch
      setName
      setPrio
      updateName
      ;

    inherit (lib.sources)
      cleanSource
      cleanSourceFilter
      cleanSourceWith
      pathIsGitRepo
      sourceByRegex
      sourceFilesBySuffices
      ;

    inherit (lib.filesystem)
      packagesFromDirectoryRecursive
      ;

    inherit (lib.cli)
      toGNUCommandLine
      toGNUCommandLineShell
      ;

    inherit (lib.options)
      getFiles
      getValues
      isOption
      literalCode
      literalExpression
      literalMD
      mergeDefaultOption
      mergeEqualOption
      mergeOneOption
      mergeUniqueOption
      mkEnableOption
      mkOption
      mkPackageOption
      mkSinkUndeclaredOptions
      optionAttrSetToDocList
      optionAttrSetToDocList'
      renderOptionValue
      scrubOptionValue
      showDefs
      showFiles
      showOption
      showOptionWithDefLocs
      unknownModule
      ;

    inherit (lib.modules)
      defaultOrderPriority
      defaultOverridePriority
      doRename
      evalModules
      evalOptionValue
      filterOverrides
      fixupOptionType
      importApply
      mergeAttrDefinitionsWithPrio
      mergeDefinitions
      mergeModules
      mergeOptionDecls
      mkAfter
      mkAliasAndWrapDefinitions
      mkAliasAndWrapDefsWithPriority
      mkAliasDefinitions
      mkAliasOptionModule
      mkAssert
      mkBefore
      mkChangedOptionModule
      mkDefault
      mkDefinition
      mkDerivedConfig
      mkForce
      mkIf
      mkImageMediaOverride
      mkMerge
      mkMergedOptionModule
      mkOptionDefault
      mkOrder
      mkOverride
      mkRemovedOptionModule
      mkRenamedOptionModule
      mkRenamedOptionModuleWith
      mkVMOverride
      pushDownProperties
      setDefaultModuleLocation
      sortProperties
      ;

    inherit (lib.types)
      isOptionType
      isType
      mergeTypes
      mkOptionType
      setType
      ;
  };
in
lib
