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

  /**
    Is this a file that version control, editors or builds leave behind? Then false.
  */
  cleanSourceFilter =
    path: type:
    let
      base = baseNameOf (toString path);
    in
    !(
      # version control
      (
        type == "directory"
        && (
          base == ".svn"
          || base == "CVS"
          || base == ".hg"
          || base == ".jj"
          || base == ".pijul"
          || base == "_darcs"
        )
      )
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

  components = path: builtins.filter builtins.isString (builtins.split "/" path);

  # A component of a glob as a regular expression; null is `**`.
  globRegex =
    part:
    if part == "**" then
      null
    else
      lib.concatMapStrings (token: if builtins.isList token then "[^/]*" else lib.escapeRegex token) (
        builtins.split "\\*+" part
      );

  # Does a path match? A folder also matches the beginning of a pattern.
  globMatches =
    isFolder: pattern: parts:
    let
      glob = builtins.head pattern;
      here = builtins.head parts;
      deeper = builtins.tail parts;
      rest = builtins.tail pattern;
    in
    if parts == [ ] then
      pattern == [ ] || isFolder
    else if pattern == [ ] then
      false
    else if glob == null then
      rest == [ ] || globMatches isFolder rest parts || globMatches isFolder pattern deeper
    else
      match glob here != null && globMatches isFolder rest deeper;

  /**
    A name for what a URL or path leads to.
    Example: `lib.sources.urlToName "https://example.org/a/repo.git"` => `"repo"`
  */
  urlToName =
    url:
    let
      base = baseNameOf (lib.removeSuffix "/" (lib.last (lib.splitString ":" (toString url))));
      extension = "(.*)\\.(git|tar|zip|gz|tgz|bz|tbz|bz2|tbz2|lzma|txz|xz|zstd)";
      without =
        name:
        let
          m = match extension name;
        in
        if m == null then name else without (builtins.head m);
    in
    without base;

  /**
    A revision, short.
    Example: `lib.sources.shortRev "refs/tags/v12.0"` => `"12.0"`
  */
  shortRev =
    rev:
    let
      base = baseNameOf (toString rev);
      version = match "([A-Za-z]+[-_. ]?)*(v)?([0-9.]+.*)" base;
    in
    if match "[a-f0-9]+" base != null then
      builtins.substring 0 7 base
    else if version != null then
      lib.last version
    else
      base;

  fullName =
    repo: rev: suffix:
    "${urlToName repo}${lib.optionalString (rev != null) "-${shortRev rev}"}${
      lib.optionalString (suffix != null) "-${suffix}"
    }-source";
in
{
  inherit
    cleanSourceFilter
    urlToName
    shortRev
    ;

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

  /**
    A source without what version control, editors and builds leave behind.
  */
  cleanSource =
    src:
    lib.sources.cleanSourceWith {
      filter = cleanSourceFilter;
      inherit src;
    };

  /**
    The source, tracing which files are taken.
  */
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

  /**
    Only files whose path below the source a regular expression matches, and the folders to them.
  */
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

  /**
    Only files with one of the suffixes, and folders.
  */
  sourceFilesBySuffices =
    src: exts:
    lib.sources.cleanSourceWith {
      inherit src;
      filter = name: type: type == "directory" || any (ext: lib.hasSuffix ext (baseNameOf name)) exts;
    };

  /**
    Only files that one of the patterns matches: `*` stands for a part of a name, `**` for any folders.
    Type: `Path -> [String] -> Source`
  */
  sourceByGlobs =
    src: globs:
    let
      root = toString (partsOf src).origSrc;
      patterns = map (glob: map globRegex (components glob)) globs;
    in
    lib.sources.cleanSourceWith {
      inherit src;
      filter =
        path: type:
        let
          parts = components (lib.removePrefix (root + "/") (toString path));
        in
        any (pattern: globMatches (type != "regular") pattern parts) patterns;
    };

  /**
    Is the string or path one of the store?
  */
  pathHasContext = builtins.hasContext;

  /**
    Can cleanSource take it?
  */
  canCleanSource = src: isFiltered src || !builtins.hasContext (toString src);

  /**
    The tag if there is one, else the revision. Example: `revOrTag "abc" null` => `"abc"`
  */
  revOrTag =
    rev: tag:
    if tag != null then
      tag
    else if rev != null then
      rev
    else
      "HEAD";

  /**
    How fetchers name sources: "source", "versioned" or "full".
    Example: `repoRevToName "full" "a/repo.git" "v1.2" "github"` => `"repo-1.2-github-source"`
  */
  repoRevToName =
    kind:
    if kind == "source" then
      _repo: _rev: _suffix:
      "source"
    else if kind == "versioned" then
      repo: rev: _suffix:
      fullName repo rev null
    else if kind == "full" then
      fullName
    else
      throw "repoRevToName: invalid kind";

  /**
    Is the path a git work tree (or a submodule's)?
  */
  pathIsGitRepo = path: builtins.pathExists (path + "/.git");
}
