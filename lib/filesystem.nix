# Looking at files during evaluation.
lib:
let
  inherit (builtins)
    concatMap
    pathExists
    readDir
    readFileType
    ;
in
{
  /**
    "regular", "directory", "symlink" or "unknown".
  */
  pathType =
    path:
    if !pathExists path then
      throw "lib.filesystem.pathType: Path ${toString path} does not exist."
    else
      readFileType path;

  pathIsDirectory = path: pathExists path && readFileType path == "directory";
  pathIsRegularFile = path: pathExists path && readFileType path == "regular";

  /**
    The first ancestor of a path for which a regular expression matches a file in it.
  */
  locateDominatingFile =
    pattern: file:
    let
      go =
        path:
        let
          matches = builtins.filter (m: m != null) (
            map (builtins.match pattern) (builtins.attrNames (readDir path))
          );
          parent = dirOf path;
        in
        if matches != [ ] then
          { inherit path matches; }
        else if path == /. then
          null
        else
          go parent;
      isDir = lib.filesystem.pathIsDirectory file;
    in
    go (if isDir then file else dirOf file);

  /**
    All regular files below a folder, as paths.
  */
  listFilesRecursive =
    dir:
    let
      entries = readDir dir;
      below =
        name:
        if entries.${name} == "directory" then
          lib.filesystem.listFilesRecursive (dir + "/${name}")
        else
          [ (dir + "/${name}") ];
    in
    concatMap below (builtins.attrNames entries);

  /**
    Packages of a folder: `name/package.nix`, `name.nix`, and folders of those.
    Type: `{ callPackage, directory, newScope ? } -> AttrSet`
  */
  packagesFromDirectoryRecursive =
    {
      callPackage,
      newScope ? throw "lib.packagesFromDirectoryRecursive: newScope wasn't passed in args",
      directory,
    }@args:
    let
      entry =
        args@{ callPackage, ... }:
        name: type:
        let
          path = directory + "/${name}";
        in
        if type == "directory" then
          { ${name} = lib.packagesFromDirectoryRecursive (args // { directory = path; }); }
        else if type == "regular" && lib.hasSuffix ".nix" name then
          { ${lib.removeSuffix ".nix" name} = callPackage path { }; }
        else if type == "regular" then
          { }
        else
          throw "lib.filesystem.packagesFromDirectoryRecursive: Unsupported file type ${type} at path ${toString path}";
      go = args: lib.concatMapAttrs (entry args) (readDir directory);
    in
    if pathExists (directory + "/package.nix") then
      callPackage (directory + "/package.nix") { }
    else if args ? newScope then
      lib.recurseIntoAttrs (
        lib.makeScope newScope (self: go (args // { inherit (self) callPackage newScope; }))
      )
    else
      go args;

  /**
    The default of `import` for a folder.
  */
  resolveDefaultNix =
    v:
    if lib.filesystem.pathIsDirectory v then
      v + "/default.nix"
    else if builtins.isString v && builtins.match ".*/" v != null then
      v + "default.nix"
    else
      v;
}
