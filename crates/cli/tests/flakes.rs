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
