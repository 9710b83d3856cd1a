//! Flakes on the command line: `.#name` as a value, a package and a configuration.

use crate::common::TestEnvironment;

const FLAKE: &str = r#"{
  description = "a test";
  outputs = { self }: {
    answer = "42";
    where = "${self}";
    packages.x86_64-linux.built = import ./sh.nix { name = "built"; script = "echo x > $out"; };
    packages.aarch64-linux.built = import ./sh.nix { name = "built"; script = "echo x > $out"; };
    picnixConfigurations.small = { networking.hostName = "from-a-flake"; };
    picnixConfigurations.wrong = { networking.hostName = 1; };
  };
}
"#;

fn bench() -> TestEnvironment {
    let test = TestEnvironment::new();
    test.add_shell();
    // What a flake evaluates knows no current system.
    let shell = test.work.join("sh.nix");
    let system = format!("\"{}-linux\"", std::env::consts::ARCH);
    let text = std::fs::read_to_string(&shell).unwrap();
    std::fs::write(&shell, text.replace("builtins.currentSystem", &system)).unwrap();
    test.write("flake.nix", FLAKE);
    test
}

#[test]
fn values_and_packages_are_named_by_fragments() {
    let test = bench();
    assert_eq!(test.succeeds(&["eval", ".#answer", "--raw"]), "42");
    assert_eq!(
        test.succeeds(&["eval", ".#where", "--raw"]),
        "/nix/store/<digest>-source"
    );
    let said = test.fails(&["eval", ".#answe"]);
    let missing = "'legacyPackages.x86_64-linux.answe' or 'answe'\n";
    assert!(said.replace("aarch64", "x86_64").contains(missing), "{said}");
    assert!(said.contains("Did you mean answer?"), "{said}");
    let built = test.succeeds(&["build", ".#built", "--no-link"]);
    assert_eq!(built, "/nix/store/<digest>-built\n");
    let said = test.fails(&["eval", ".#nothing"]);
    assert!(said.contains("does not provide attribute"), "{said}");
    let said = test.fails(&["eval", "nobody#x", "--option", "flake-registry", ""]);
    assert!(
        said.contains("cannot find flake 'flake:nobody' in the flake registries"),
        "{said}"
    );
    let said = test.fails(&["eval", "path:./#missing", "--pure-eval"]);
    assert!(said.contains("does not provide attribute"), "{said}");
}

#[test]
fn configurations_are_named_by_fragments() {
    let test = bench();
    let said = test.fails(&["image", ".#small", "--format", "no-such-format"]);
    assert!(
        said.contains("there is no image format 'no-such-format'; there are:"),
        "{said}"
    );
    let said = test.fails(&["image", ".#wrong"]);
    assert!(said.contains("networking.hostName"), "{said}");
    let said = test.fails(&["image", ".#absent"]);
    assert!(
        said.contains("does not provide attribute 'picnixConfigurations.absent'"),
        "{said}"
    );
    let said = test.fails(&["test", ".#absent"]);
    assert!(said.contains("does not provide attribute"), "{said}");
    let said = test.fails(&["run", ".#absent"]);
    assert!(said.contains("does not provide attribute"), "{said}");
}

/// A flake `top` with an input `dep` and a named one `far`, and flakes that can take their places.
fn bench_with_inputs() -> TestEnvironment {
    let test = TestEnvironment::new();
    for name in ["dep", "other"] {
        std::fs::create_dir(test.work.join(name)).unwrap();
        let flake = format!("{{ outputs = {{ self }}: {{ name = \"{name}\"; }}; }}");
        test.write(&format!("{name}/flake.nix"), &flake);
    }
    std::fs::create_dir(test.work.join("plain")).unwrap();
    for name in ["top", "named"] {
        std::fs::create_dir(test.work.join(name)).unwrap();
    }
    let outputs = "outputs = { self, dep }: { name = dep.name or \"none\"; }";
    let dep = test.work.join("dep");
    let top = format!("{{ inputs.dep.url = \"path:{}\"; {outputs}; }}", dep.display());
    test.write("top/flake.nix", &top);
    test.write("named/flake.nix", format!("{{ {outputs}; }}"));
    test
}

const NO_REGISTRY: [&str; 3] = ["--option", "flake-registry", ""];

#[test]
fn inputs_are_overridden_for_one_run() {
    let test = bench_with_inputs();
    let lock = test.work.join("top/flake.lock");
    let name = |flags: &[&str]| {
        test.succeeds(&[&["eval", "--raw", "./top#name"], flags].concat())
    };
    assert_eq!(name(&["--override-input", "dep", "./other"]), "other");
    assert!(!lock.exists());
    assert_eq!(name(&["--no-write-lock-file"]), "dep");
    assert!(!lock.exists());
    assert_eq!(name(&[]), "dep");
    assert!(lock.exists());
    assert_eq!(name(&["--no-update-lock-file"]), "dep");

    let eval = |flags: &[&str]| test.fails(&[&["eval", "./top#name"], flags].concat());
    let nameless = ["eval", "./top#name", "--override-input", "", "./other"];
    let ran = test.run(&mut test.picnix(nameless));
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("was passed a zero-length input path"), "{ran:?}");
    let said = eval(&["--override-input", "dep", "./other#name"]);
    let expected = "unexpected fragment 'name' in flake reference './other#name'";
    assert!(said.contains(expected), "{said}");
    let said = eval(&["--override-input", "dep", "./plain"]);
    assert!(said.contains("flake.nix"), "{said}");
}

#[test]
fn lock_files_are_written_where_and_as_the_flags_say() {
    let test = bench_with_inputs();
    let own = test.work.join("top/flake.lock");
    let elsewhere = test.work.join("else.lock");
    let said = test.fails(&["eval", "./top#name", "--no-update-lock-file"]);
    let expected = "requires lock file changes but they're not allowed due to '--no-update-lock-file'";
    assert!(said.contains(expected), "{said}");
    assert!(!own.exists());

    let text = elsewhere.to_str().unwrap();
    test.succeeds(&["flake", "lock", "./top", "--output-lock-file", text]);
    assert!(!own.exists() && elsewhere.exists());
    let flags = ["--reference-lock-file", text, "--no-update-lock-file"];
    let name = test.succeeds(&[&["eval", "--raw", "./top#name"], &flags[..]].concat());
    assert_eq!(name, "dep");

    test.succeeds(&["flake", "lock", "./top", "--override-input", "dep", "./other"]);
    let locked = std::fs::read_to_string(&own).unwrap();
    assert!(locked.contains("/other\""), "{locked}");
    assert_eq!(test.succeeds(&["eval", "--raw", "./top#name"]), "other");
    test.succeeds(&["flake", "lock", "./top", "--update-input", "dep"]);
    assert_eq!(test.succeeds(&["eval", "--raw", "./top#name"]), "dep");
}

#[test]
fn names_lead_where_the_command_line_says() {
    let test = bench_with_inputs();
    let run = |flags: &[&str]| {
        let args = [&["eval", "--raw", "./named#name"], flags, &NO_REGISTRY].concat();
        test.run(&mut test.picnix(args))
    };
    assert_eq!(run(&[]).code, 1);
    let named = run(&["--override-flake", "dep", "./other", "--no-write-lock-file"]);
    assert_eq!(named.stdout, "other");
    // As in Nix, the first one wins.
    let twice =
        ["--override-flake", "dep", "./dep", "--override-flake", "dep", "./other"];
    assert_eq!(run(&twice).stdout, "dep");
}

#[test]
fn features_are_turned_on_by_settings_and_flags() {
    let test = TestEnvironment::new();
    let eval = ["eval", "-E", "builtins ? fetchClosure"];
    assert_eq!(test.succeeds(&eval), "false\n");
    let setting = ["--option", "experimental-features", "fetch-closure flakes"];
    assert_eq!(test.succeeds(&[&eval[..], &setting].concat()), "true\n");
    let flag = ["--extra-experimental-features", "fetch-closure"];
    assert_eq!(test.succeeds(&[&eval[..], &flag].concat()), "true\n");
    let operators = ["--option", "extra-experimental-features", "pipe-operators"];
    assert_eq!(
        test.succeeds(&[&["eval", "-E", "1 |> (x: x + 1)"][..], &operators].concat()),
        "2\n"
    );
}
