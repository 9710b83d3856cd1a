# Derivations that write a few files: the builders of nixpkgs by their names, and `writeTree`
# for many files in one derivation.
{
  lib,
  busybox,
  buildEnv,
  mkDerivation,
}:
let
  inherit (builtins) attrNames concatStringsSep stringLength;
  inherit (lib) escapeShellArg;

  runtimeShell = "${busybox}/bin/sh";

  # The shell command that makes one file of a tree, below the output.
  writeCommand =
    path: file:
    let
      at = "\"$out\"/${escapeShellArg path}";
    in
    if file ? target then
      "ln -s ${escapeShellArg "${file.target}"} ${at}"
    else
      "printf %s ${escapeShellArg file.text} >${at}"
      + lib.optionalString (file.executable or false) "\nchmod +x ${at}";

  parentsOf = paths: lib.unique (map dirOf paths);
in
rec {
  inherit runtimeShell;

  /**
    Runs a shell script that makes `$out`.

    Type: runCommand :: string -> attrs -> string -> derivation
    Example: runCommand "answer" { answer = 42; } "echo $answer >$out"
  */
  runCommand =
    name: attrs: buildCommand:
    mkDerivation ({ inherit name buildCommand; } // attrs);

  /**
    Writes a tree of files: each path has either a `text` (and may be `executable`) or is a link
    to a `target`.

    Type: writeTree :: { name, files } -> derivation
    Example: writeTree { name = "t"; files."bin/hi" = { text = "#!/bin/sh\n"; executable = true; }; }
  */
  writeTree =
    {
      name,
      files,
      passthru ? { },
      meta ? { },
    }:
    let
      paths = attrNames files;
    in
    mkDerivation {
      inherit name passthru meta;
      buildCommand = concatStringsSep "\n" (
        [ "mkdir -p \"$out\"" ]
        ++ map (parent: "mkdir -p \"$out\"/${escapeShellArg parent}") (parentsOf paths)
        ++ map (path: writeCommand path files.${path}) paths
      );
    };

  /** Writes a text to the file `$out`, or to `$out` and `destination` below it. */
  writeTextFile =
    {
      name,
      text,
      executable ? false,
      # "" or a path with a leading slash.
      destination ? "",
      meta ? { },
    }:
    let
      # What the kernel takes as one argument or variable of a process ends at 131,072 bytes.
      isLong = stringLength text > 100000;
    in
    mkDerivation (
      {
        inherit name meta;
        buildCommand = ''
          target=$out${escapeShellArg destination}
          mkdir -p "$(dirname "$target")"
        ''
        + (
          if isLong then
            "cp \"$textPath\" \"$target\"\n"
          else
            "printf %s ${escapeShellArg text} >\"$target\"\n"
        )
        + lib.optionalString executable "chmod +x \"$target\"\n";
      }
      // lib.optionalAttrs isLong {
        inherit text;
        passAsFile = [ "text" ];
      }
    );

  writeText = name: text: writeTextFile { inherit name text; };

  writeTextDir =
    path: text:
    writeTextFile {
      inherit text;
      name = baseNameOf path;
      destination = "/${path}";
    };

  writeScript =
    name: text:
    writeTextFile {
      inherit name text;
      executable = true;
    };

  writeScriptBin =
    name: text:
    writeTextFile {
      inherit name text;
      executable = true;
      destination = "/bin/${name}";
      meta.mainProgram = name;
    };

  writeShellScript = name: text: writeScript name "#!${runtimeShell}\n${text}\n";

  writeShellScriptBin = name: text: writeScriptBin name "#!${runtimeShell}\n${text}\n";

  /** A tree of links, from a set (name to target) or a list of `{ name, path }`. */
  linkFarm =
    name: entries:
    writeTree {
      inherit name;
      files =
        if builtins.isList entries then
          builtins.listToAttrs (map (e: lib.nameValuePair e.name { target = e.path; }) entries)
        else
          builtins.mapAttrs (_path: target: { inherit target; }) entries;
    };

  /** The union of several trees; where two have the same file, the first wins. */
  symlinkJoin =
    {
      name,
      paths,
      meta ? { },
    }:
    buildEnv {
      inherit name paths meta;
      ignoreCollisions = true;
    };
}
