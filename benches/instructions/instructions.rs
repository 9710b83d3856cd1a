//! What the language costs, in instructions: counts that the load of the machine cannot touch.
//!
//!     cargo install gungraun-runner@0.20.0
//!     cargo bench --manifest-path benches/instructions/Cargo.toml
//!
//! Each program runs once under valgrind, from its text to its value, in a world in memory; its result is checked.
//! The runner compares with the counts of the run before, which it keeps in the target folder. Times, which
//! also have caches and the kernel in them, are compared with C++ Nix by `benches/eval` at the root.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "it asks whether valgrind is there, and says so"
)]

use std::process::{Command, Stdio};

/// The version of the runner: the library's own.
const RUNNER: &str = "gungraun-runner@0.20.0";

fn main() {
    // Under valgrind the program is called again with arguments of the runner.
    let is_measured = std::env::args().any(|argument| argument == "--gungraun-run");
    let runner = option_env!("GUNGRAUN_RUNNER").unwrap_or("gungraun-runner");
    if is_measured || (has("valgrind", "install valgrind") && has(runner, RUNNER)) {
        programs::run();
    }
}

/// Is there a program of that name? If not, says that nothing is measured.
fn has(program: &str, remedy: &str) -> bool {
    let mut command = Command::new(program);
    let command = command.arg("--version").stdin(Stdio::null());
    let is_there = command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !is_there {
        eprintln!(
            "SKIPPED: instructions are not counted: there is no {program} ({remedy})"
        );
    }
    is_there
}

mod programs {
    use std::hint::black_box;

    use bumpalo::Bump;
    use gungraun::{library_benchmark, library_benchmark_group, main};
    use picnix_eval::source::Origin;
    use picnix_eval::{Evaluator, Heap, Settings, Value};
    use picnix_syntax::Options;
    use picnix_testkit::MemoryWorld;

    /// A piece of a file as package sets have them; the parser reads many.
    const PACKAGE: &str = r#"
      { lib, stdenv, fetchurl, zlib ? null, ... }@args:
      let
        inherit (lib) optional versions;
        # The version is written twice upstream.
        version = "1.${toString 2}.3-rc1";
      in
      stdenv.mkDerivation (rec {
        pname = "example";
        src = fetchurl { url = "mirror://gnu/${pname}/${pname}-${version}.tar.gz"; };
        buildInputs = [ zlib ./patches/a.patch ] ++ optional (versions.major version >= 3) args.x or null;
        postPatch = ''
          substituteInPlace Makefile --replace "/usr" "$out"
          for file in *.c; do echo ''${file%.c} ${lib.x.y "z"}; done
        '';
        meta = with lib; { license = licenses.mit; broken = !(stdenv ? cc) -> 1 + 2 * 3 == 7; };
      } // removeAttrs args [ "lib" ])
    "#;
    /// How many such pieces are read.
    const PACKAGES: usize = 50;

    const UPDATE: &str = "
      let set = builtins.listToAttrs (builtins.genList (n: { name = \"a${toString n}\"; value = n; }) 300);
          layers = builtins.foldl' (all: n: all // { x = n; \"b${toString n}\" = all.x or 0; }) set (builtins.genList (n: n) 200);
      in layers.x + layers.b199 + builtins.length (builtins.attrNames layers)";
    const WALK: &str = "
      let set = builtins.listToAttrs (builtins.genList (n: { name = \"a${toString n}\"; value = n; }) 1000);
          mapped = builtins.mapAttrs (name: value: { inherit name; value = value + 1; }) set;
          kept = removeAttrs mapped (builtins.genList (n: \"a${toString (n * 2)}\") 500);
      in builtins.foldl' (sum: pair: sum + pair.value) 0 (builtins.attrValues (builtins.intersectAttrs kept mapped))";
    const SELECT: &str = "
      let config = { services.server = { enable = true; port = 80; }; other = { }; };
          step = n: if config.services.server.enable or false && config ? other then config.services.server.port + n else n;
      in builtins.foldl' (sum: n: sum + step n) 0 (builtins.genList (n: n) 2000)";
    const RECURSION: &str = "
      let fib = n: if n < 2 then n else fib (n - 1) + fib (n - 2); in fib 18";
    const CURRIED: &str = "
      let compose = f: g: x: f (g x); add = a: b: c: a + b + c;
      in builtins.foldl' (sum: n: compose (add sum 1) (add n 2) 3) 0 (builtins.genList (n: n) 2000)";
    const FORMALS: &str = "
      let call = { a, b ? a + 1, c ? 3, ... }@all: a + b + c + (all.d or 0);
      in builtins.foldl' (sum: n: sum + call { a = n; d = 4; }) 0 (builtins.genList (n: n) 2000)";
    const INTERPOLATION: &str = "
      let line = n: \"--with-${toString n}=${\"x\" + \"y\"}\";
      in builtins.stringLength (builtins.concatStringsSep \" \" (builtins.genList line 2000))";
    const REPLACEMENT: &str = "
      let text = builtins.concatStringsSep \"/\" (builtins.genList (n: \"part-${toString n}\") 500);
          parts = builtins.filter builtins.isString (builtins.split \"/\" text);
      in builtins.length parts + builtins.stringLength (builtins.replaceStrings [ \"-\" \"/\" ] [ \"_\" \"\" ] text)";
    const DERIVATIONS: &str = "
      let make = name: inputs: derivation {
            inherit name inputs; system = \"x86_64-linux\"; builder = \"/bin/sh\"; outputs = [ \"out\" \"dev\" ];
            script = \"line one\\nline \\\"two\\\" of ${name}\\n\"; deps = map (input: input.dev) inputs;
          };
          chain = builtins.foldl' (all: n: [ (make \"p${toString n}\" all) ] ++ all) [ ] (builtins.genList (n: n) 40);
      in builtins.stringLength (builtins.head chain).drvPath";

    fn sources() -> String {
        format!("[{}]", format!("({PACKAGE})").repeat(PACKAGES))
    }

    #[library_benchmark]
    #[bench::packages(setup = sources)]
    fn parser(text: String) -> usize {
        let arena = Bump::new();
        let parse = picnix_syntax::parse(&arena, text.as_bytes(), Options::default());
        assert!(parse.diagnostics.is_empty(), "{:?}", parse.diagnostics);
        black_box(arena.allocated_bytes())
    }

    /// Evaluates a program to the number that it should be.
    fn evaluate(program: &str, wanted: i64) {
        let (heap, world) = (Heap::new(), MemoryWorld::new());
        let ev = Evaluator::new(&heap, &world, Settings::default());
        let value = ev.eval_text(program.as_bytes(), b"/", Origin::Text);
        let Ok(Value::Int(found)) = black_box(value) else {
            unreachable!("the program has a number as its value")
        };
        assert_eq!(found, wanted);
    }

    #[library_benchmark]
    #[bench::update(UPDATE, 898)]
    #[bench::walk(WALK, 250_500)]
    #[bench::select(SELECT, 2_159_000)]
    fn attribute_sets(program: &str, wanted: i64) {
        evaluate(program, wanted);
    }

    #[library_benchmark]
    #[bench::recursion(RECURSION, 2584)]
    #[bench::curried(CURRIED, 2_011_000)]
    #[bench::formals(FORMALS, 4_014_000)]
    fn calls(program: &str, wanted: i64) {
        evaluate(program, wanted);
    }

    #[library_benchmark]
    #[bench::interpolation(INTERPOLATION, 28_889)]
    #[bench::replacement(REPLACEMENT, 4390)]
    #[bench::derivations(DERIVATIONS, 51)]
    fn strings(program: &str, wanted: i64) {
        evaluate(program, wanted);
    }

    library_benchmark_group!(
        name = language,
        benchmarks = [parser, attribute_sets, calls, strings]
    );
    main!(library_benchmark_groups = language);

    /// Runs all of them, or the one that the runner asks for.
    pub(super) fn run() {
        main();
    }
}
