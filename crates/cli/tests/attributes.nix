# Derivations whose attributes mean something to whoever builds them; `attributes.rs` compares with the real Nix.
let
  shell = ./shell;
  derive =
    { script, ... }@args:
    derivation (
      {
        system = builtins.currentSystem;
        builder = import ./builder.nix shell;
        args = import ./start.nix shell ++ [
          "-euc"
          "dump() { while IFS= read -r line || test -n \"$line\"; do echo \"$line\"; done < $1; }; ${script}"
        ];
      }
      // removeAttrs args [ "script" ]
    );
  out = builtins.placeholder "out";
  library = derive {
    name = "library";
    script = "echo library > $out";
  };
  middle = derive {
    name = "middle";
    script = "echo ${library} > $out";
  };
  fixed = {
    outputHash = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    script = "echo other > $out";
  };
  # A derivation with structured attributes and a check of its output, which refers to itself and to `middle`.
  checked =
    name: check:
    derive {
      inherit name;
      __structuredAttrs = true;
      outputChecks.out = check;
      script = "echo ${middle} ${out} > ${out}";
    };
  refers = attrs: derive ({ script = "echo ${middle} $out > $out"; } // attrs);
in
{
  pass-as-file = derive {
    name = "pass-as-file";
    passAsFile = [
      "text"
      "none"
    ];
    text = "one\ntwo";
    none = "";
    script = "{ echo $textPath $nonePath; dump $textPath; dump $nonePath; } > $out";
  };
  graph = derive {
    name = "graph";
    exportReferencesGraph = [
      "both"
      middle
      "one"
      library
    ];
    script = "{ dump both; dump one; } > $out";
  };
  graph-in-another-folder = derive {
    name = "graph";
    exportReferencesGraph = [
      "../graph"
      middle
    ];
    script = "echo > $out";
  };
  structured = derive {
    name = "structured";
    __structuredAttrs = true;
    outputs = [
      "out"
      "dev"
    ];
    list = [
      "a"
      "b c"
      "it's"
    ];
    number = 3;
    half = 1.5;
    yes = true;
    nothing = null;
    set = {
      x = "y";
      z = [ 1 ];
    };
    mixed = [
      1
      [ 2 ]
    ];
    "bad name" = 1;
    inherit library;
    script = "echo > ${builtins.placeholder "dev"}; { export -p; dump $NIX_ATTRS_SH_FILE; dump $NIX_ATTRS_JSON_FILE; } > ${out}";
  };
  environment = derive {
    name = "environment";
    variable = "a b";
    script = "{ export -p; pwd; umask; } > $out";
  };
  local = derive {
    name = "local";
    preferLocalBuild = true;
    allowSubstitutes = false;
    script = "export -p > $out";
  };
  several = derive {
    name = "several";
    outputs = [
      "dev"
      "out"
    ];
    script = "echo $dev > $out; echo > $dev";
  };
  good-references = refers {
    name = "good";
    allowedReferences = [
      "out"
      middle
    ];
    allowedRequisites = [
      middle
      library
    ];
    disallowedReferences = [ library ];
  };
  allowed-references = refers {
    name = "allowed-references";
    allowedReferences = [ "out" ];
  };
  allowed-references-without-itself = refers {
    name = "itself";
    allowedReferences = [ middle ];
  };
  disallowed-references = refers {
    name = "disallowed-references";
    disallowedReferences = [ middle ];
  };
  allowed-requisites = refers {
    name = "allowed-requisites";
    allowedRequisites = [ middle ];
  };
  disallowed-requisites = refers {
    name = "disallowed-requisites";
    disallowedRequisites = [ library ];
  };
  unknown-output = refers {
    name = "unknown-output";
    allowedReferences = [ "lib" ];
  };
  checks-that-hold = checked "checks-that-hold" {
    maxSize = 1000;
    maxClosureSize = 1000;
    allowedReferences = [
      "out"
      middle
    ];
  };
  max-size = checked "max-size" { maxSize = 100; };
  max-closure-size = checked "max-closure-size" { maxClosureSize = 500; };
  checked-references = checked "checked-references" { allowedReferences = [ middle ]; };
  checked-requisites = checked "checked-requisites" { disallowedRequisites = [ library ]; };
  required-feature = derive {
    name = "required-feature";
    requiredSystemFeatures = [ "moon" ];
    script = "echo > $out";
  };
  flat = derive (fixed // { name = "flat"; });
  recursive = derive (
    fixed
    // {
      name = "recursive";
      outputHashMode = "recursive";
    }
  );
  no-output = derive {
    name = "no-output";
    script = ":";
  };
  endless = derive {
    name = "endless";
    script = "while :; do echo; done";
  };
  silent = derive {
    name = "silent";
    script = "while :; do :; done";
  };
}
