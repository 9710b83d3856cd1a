//! The tests of the command `picnix`, and of the workspace as a whole.
//!
//! One binary, with a module a topic. A file that is not listed here fails a test.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "tests: what fails must be seen, and so must what is skipped"
)]

mod common;

mod attributes;
mod bill;
mod commands;
mod configurations;
mod corepkgs;
mod diagnostics;
mod examples;
mod failures;
mod fetch_closure;
mod flakes;
mod interrupt;
mod layers;
mod nix_commands;
mod nix_functional;
mod nix_lang_suite;
mod nix_suites;
mod nixpkgs_lib;
mod packages;
mod parallel;
mod purity;
mod remote;
mod repl;
mod sharing;
mod store;
mod tidy;
mod tree;

#[test]
fn every_file_of_tests_is_run() {
    let dir = common::workspace().join("crates/cli/tests");
    let listed = std::fs::read_to_string(dir.join("runner.rs")).unwrap();
    for entry in std::fs::read_dir(&dir).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        // Lists and what a tool left behind are no code.
        let is_data = name.contains('.') && !name.ends_with(".rs");
        let module = name.trim_end_matches(".rs");
        let is_run = is_data
            || name == "runner.rs"
            || listed.contains(&format!("\nmod {module};\n"));
        assert!(is_run, "crates/cli/tests/{name} is not listed in runner.rs");
    }
}
