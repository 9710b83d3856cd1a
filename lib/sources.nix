# Choosing which files of a folder become a source.
lib:
let
  inherit (builtins)
    any
    baseNameOf
    isPath
    match
    ;

  isFiltered = src: src ? _isLibCleanSourceWith;

  # The parts of a source, plain or filtered.
  partsOf =
    src:
    if isFiltered src then
      src
    else
      {
        origSrc = src;
        filter = _: _: true;
        name = if isPath src then baseNameOf src else "source";
      };

  asSource =
    {
      origSrc,
      filter,
      name,
    }:
    let
      outPath = builtins.path {
        inherit filter name;
        path = origSrc;
      };
    in
    {
      _isLibCleanSourceWith = true;
      inherit
        origSrc
        filter
        name
        outPath
        ;
    };

  cleanSourceFilter =
    path: type:
    let
      base = baseNameOf (toString path);
    in
    !(
      # version control
      (type == "directory" && (base == ".svn" || base == "CVS" || base == ".hg" || base == ".jj" || base == ".pijul" || base == "_darcs"))
      || base == ".git"
      # editors
      || lib.hasSuffix "~" base
      || match "^\\.sw[a-z]$" base != null
      || match "^\\..*\\.sw[a-z]$" base != null
      # build results
      || lib.hasSuffix ".o" base
      || lib.hasSuffix ".so" base
      || (type == "symlink" && lib.hasPrefix "result" base)
      || type == "unknown"
    );
in
{
  /** Is this a file that version control, editors or builds leave behind? Then false. */
  inherit cleanSourceFilter;

  /**
    A source with a filter over its files: `{ src, filter ?, name ? }`.
    Filters of a filtered source add up.
  */
  cleanSourceWith =
    {
      filter ? _: _: true,
      src,
      name ? null,
    }:
    let
      parts = partsOf src;
    in
    asSource {
      inherit (parts) origSrc;
      filter = path: type: filter path type && parts.filter path type;
      name = if name != null then name else parts.name;
    };

  /** A source without what version control, editors and builds leave behind. */
  cleanSource =
    src:
    lib.sources.cleanSourceWith {
      filter = cleanSourceFilter;
      inherit src;
    };

  /** The source, tracing which files are taken. */
  trace =
    src:
    let
      parts = partsOf src;
    in
    asSource (
      parts
      // {
        filter =
          path: type:
          let
            r = parts.filter path type;
          in
          builtins.trace "${parts.name}.filter ${path} = ${lib.boolToString r}" r;
      }
    )
    // {
      satisfiesSubpathInvariant = src.satisfiesSubpathInvariant or false;
    };

  /** Only files whose path below the source a regular expression matches, and the folders to them. */
  sourceByRegex =
    src: regexes:
    let
      origSrc = (partsOf src).origSrc;
    in
    lib.sources.cleanSourceWith {
      inherit src;
      filter =
        path: _:
        let
          relative = lib.removePrefix (toString origSrc + "/") (toString path);
        in
        any (re: match re relative != null) regexes;
    };

  /** Only files with one of the suffixes, and folders. */
  sourceFilesBySuffices =
    src: exts:
    lib.sources.cleanSourceWith {
      inherit src;
      filter =
        name: type: type == "directory" || any (ext: lib.hasSuffix ext (baseNameOf name)) exts;
    };

  /** The same under its better name. */
  sourceFilesBySuffixes = lib.sources.sourceFilesBySuffices;

  /** Is the path a git work tree (or a submodule's)? */
  pathIsGitRepo = path: builtins.pathExists (path + "/.git");
}
