//! Real derivations, built in a real store.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Recipe, World};
use picnix_build::{
    BuildConfig, Builder, BuiltinBuilder, BuiltinContext, BuiltinError, Builtins, Cancel,
    Error, Event, Observer, Purpose, StepError, find_log,
};
use picnix_store::TextObject;
use picnix_store_core::{ContentAddressMethod, Hash, HashAlgo, OutputName, StorePath};
use picnix_testkit::again_as_user;

/// The error of a build that must fail, as text.
fn failure(world: &World, drv_path: &StorePath) -> String {
    let error = world.build(drv_path).unwrap_err();
    let Error::Failed(failure) = &error else { panic!("{error}") };
    assert!(!world.store.is_valid(&world.output(&failure.drv_path, "out")).unwrap());
    world.assert_clean();
    error.to_string()
}

#[test]
fn outputs_become_valid_with_their_references() {
    let world = World::new();
    let library = world.script("library", "echo code > $out", &[]);
    let library_out = world.output(&library, "out");
    let text = world.print(&library_out);
    let script = format!("read line < {text}; echo $line {text} $out > $out");
    let program = world.script("program", &script, &[&library]);
    let own = world.output(&program, "out");
    assert_eq!(world.text(&program), format!("code {text} {}\n", world.print(&own)));
    let info = world.store.path_info(&own).unwrap();
    let references: Vec<_> = info.references.into_iter().collect();
    let mut expected = vec![library_out, own];
    expected.sort();
    assert_eq!(references, expected);
    assert_eq!(info.deriver, Some(program.clone()));
    assert_eq!(world.events.count("started"), 2);
    world.build(&program).unwrap();
    assert_eq!(world.events.count("started"), 2, "nothing is built twice");
    world.assert_clean();
}

#[test]
fn the_environment_is_that_of_nix() {
    let world = World::new();
    let drv_path = world.derivation(&Recipe {
        name: "env",
        script: "export -p > $out; umask >> $out; echo \"$(pwd)\" >> $out",
        env: &[("name", "env"), ("PATH", "/own"), ("TMPDIR", "/no"), ("self", "<SELF>")],
        ..Recipe::default()
    });
    let out = world.print(&world.output(&drv_path, "out"));
    let text = world.text(&drv_path);
    let mut lines: Vec<&str> = text
        .lines()
        .map(|line| line.trim_start_matches("export ").trim_start_matches("declare -x "))
        .filter(|line| !line.starts_with("OLDPWD") && !line.starts_with("SHLVL"))
        .collect();
    lines.sort_unstable();
    let lines: Vec<String> =
        lines.iter().map(|line| line.replace(['\'', '"'], "")).collect();
    let expected = [
        "/build",
        "0022",
        "HOME=/homeless-shelter",
        "NIX_BUILD_CORES=2",
        "NIX_BUILD_TOP=/build",
        "NIX_LOG_FD=2",
        "NIX_STORE=/nix/store",
        "PATH=/own",
        "PWD=/build",
        "TEMP=/build",
        "TEMPDIR=/build",
        "TERM=xterm-256color",
        "TMP=/build",
        "TMPDIR=/build",
        "name=env",
        &format!("out={out}"),
        "self=<SELF>",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn placeholders_and_files_are_passed() {
    let world = World::new();
    let placeholder = picnix_store_core::hash_placeholder(b"out");
    let drv_path = world.derivation(&Recipe {
        name: "files",
        script: "while read line; do echo \"$line\" >> $out; done < $textPath; echo $self >> $out",
        env: &[
            ("passAsFile", "text"),
            ("text", "first\nsecond\n"),
            ("self", &format!("{placeholder}/x")),
        ],
        ..Recipe::default()
    });
    let out = world.print(&world.output(&drv_path, "out"));
    assert_eq!(world.text(&drv_path), format!("first\nsecond\n{out}/x\n"));
}

#[test]
fn structured_attributes_and_exported_references_are_passed() {
    let world = World::new();
    let base = world.script("base", "echo base > $out", &[]);
    let top_script = format!("echo {} > $out", world.print(&world.output(&base, "out")));
    let top = world.script("top", &top_script, &[&base]);
    let (base_out, top_out) = (world.output(&base, "out"), world.output(&top, "out"));
    let top_text = world.print(&top_out);
    let graph = world.derivation(&Recipe {
        name: "graph",
        script: "while read line; do echo \"$line\" >> $out; done < graph",
        env: &[("exportReferencesGraph", &format!("graph {top_text}"))],
        inputs: &[&top],
        ..Recipe::default()
    });
    let mut records = [
        (base_out.clone(), format!("{}\n\n0\n", world.print(&base_out))),
        (top_out, format!("{top_text}\n\n1\n{}\n", world.print(&base_out))),
    ];
    records.sort();
    assert_eq!(world.text(&graph), records.map(|(_, text)| text).concat());

    let json = format!(
        r#"{{"exportReferencesGraph":{{"graph":["{top_text}"]}},"list":["a","b c"],"n":3}}"#
    );
    let structured = world.derivation(&Recipe {
        name: "structured",
        script: "while read -r line; do echo \"$line\"; done < $NIX_ATTRS_SH_FILE; \
                 while read -r line || test -n \"$line\"; do echo \"$line\"; done \
                 < $NIX_ATTRS_JSON_FILE; exit 3",
        structured: Some(&json),
        inputs: &[&top],
        ..Recipe::default()
    });
    let text = failure(&world, &structured);
    let out = world.print(&world.output(&structured, "out"));
    assert!(text.contains("> declare -a list=('a' 'b c' )\n"), "{text}");
    assert!(
        text.contains(&format!("> declare -A outputs=(['out']='{out}' )\n")),
        "{text}"
    );
    let json: serde_json::Value = {
        let line = text.lines().find(|line| line.starts_with("> {")).unwrap();
        serde_json::from_str(line.trim_start_matches("> ")).unwrap()
    };
    assert_eq!(json["outputs"]["out"], out);
    let described = json["graph"].as_array().unwrap();
    let sizes: BTreeMap<&str, (u64, u64)> = described
        .iter()
        .map(|entry| {
            let number = |name: &str| entry[name].as_u64().unwrap();
            let path = entry["path"].as_str().unwrap();
            (path, (number("narSize"), number("closureSize")))
        })
        .collect();
    let (base_size, top_size) = (sizes[&*world.print(&base_out)], sizes[&*top_text]);
    assert_eq!(top_size.1, base_size.0 + top_size.0);
}

#[test]
fn several_outputs_are_registered_together() {
    let world = World::new();
    let drv_path = world.derivation(&Recipe {
        name: "two",
        script: "echo $out > $out; echo $out > $dev",
        outputs: &["out", "dev"],
        ..Recipe::default()
    });
    world.build(&drv_path).unwrap();
    let (out, dev) = (world.output(&drv_path, "out"), world.output(&drv_path, "dev"));
    assert!(world.store.query_references(&out).unwrap().contains(&out));
    assert!(world.store.query_references(&dev).unwrap().contains(&out));

    let half = world.derivation(&Recipe {
        name: "half",
        script: "echo > $dev",
        outputs: &["out", "dev"],
        ..Recipe::default()
    });
    let text = failure(&world, &half);
    let out = world.print(&world.output(&half, "out"));
    let expected = format!("failed to produce output path for output 'out' at '{out}'");
    assert!(text.contains(&expected), "{text}");
    assert!(!world.store.is_valid(&world.output(&half, "dev")).unwrap());
}

#[test]
fn outputs_must_not_refer_to_each_other_in_a_circle() {
    let world = World::new();
    let outputs = ["out", "dev"];
    let build = |name, script| {
        let recipe = Recipe { name, script, outputs: &outputs, ..Recipe::default() };
        world.derivation(&recipe)
    };
    world.build(&build("one-way", "echo $out > $out; echo $out > $dev")).unwrap();
    let text = failure(&world, &build("circle", "echo $dev > $out; echo $out > $dev"));
    assert!(text.contains("cycle detected in the references of output"), "{text}");
}

#[test]
fn a_derivation_makes_only_its_own_paths() {
    let world = World::new();
    let good = world.script("step", "echo good > $out", &[]);
    let bad = world.script("step", "echo bad > $out", &[]);
    let out_of = |drv: &StorePath| {
        let outputs = world.store.derivation_outputs(drv).unwrap();
        world.print(outputs[&OutputName::out()].as_ref().unwrap())
    };
    let text = fs::read_to_string(world.store.real_path(&bad)).unwrap();
    let text = text.replace(&out_of(&bad), &out_of(&good));
    let derivation = world.store.read_derivation(&bad).unwrap();
    let references: BTreeSet<StorePath> = derivation
        .input_srcs
        .iter()
        .chain(derivation.input_drvs.keys())
        .cloned()
        .collect();
    let (name, contents) = ("step.drv", text.as_bytes());
    world.store.add_text(name, contents, &references).unwrap_err();
    // An older picnix took it.
    let text = TextObject { name, contents, references: &references };
    let forged = world.store.add_texts(&[text]).unwrap().remove(0);
    let text = picnix_build::chain(&world.build(&forged).unwrap_err());
    assert!(text.contains("incorrect output"), "{text}");
    assert_eq!(world.text(&good), "good\n");
}

#[test]
fn a_builder_that_closes_its_log_is_over() {
    let world = World::new();
    let drv =
        world.script("closes", "echo > $out; exec >&- 2>&-; while :; do :; done", &[]);
    let text = failure(&world, &drv);
    assert!(text.contains("builder failed due to signal 9"), "{text}");
}

#[test]
fn a_failing_builder_shows_the_end_of_its_log() {
    let world = World::new();
    let script = "i=0; while test $i -lt 100; do echo line $i; i=$((i+1)); done; exit 42";
    let bad = world.script("bad", script, &[]);
    let middle = world.script("middle", "echo > $out", &[&bad]);
    let top = world.script("top", "echo > $out", &[&middle]);
    let text = failure(&world, &top);
    let drv = world.print(&bad);
    assert!(text.starts_with(&format!(
        "Cannot build '{drv}'.\nReason: builder failed with exit code 42.\nLast 25 log lines:\n> line 75\n"
    )), "{text}");
    assert!(
        text.ends_with(&format!(
            "> line 99\nFor full logs, run:\n  picnix store log {drv}\n\
         2 derivations that need it were not built"
        )),
        "{text}"
    );
    let log = find_log(&world.store, &bad).unwrap().unwrap();
    assert_eq!(fs::read_to_string(log).unwrap().lines().count(), 100);
}

#[test]
fn independent_steps_survive_a_failure_if_wished() {
    let mut world = World::new();
    world.config.keep_going = true;
    let bad = world.script("bad", "exit 1", &[]);
    let good = world.script("good", "echo > $out", &[]);
    let top = world.script("top", "echo > $out", &[&bad, &good]);
    let text = failure(&world, &top);
    assert!(text.contains("1 derivation that needs it was not built"), "{text}");
    assert!(world.store.is_valid(&world.output(&good, "out")).unwrap());
}

#[test]
fn fixed_outputs_are_checked() {
    let world = World::new();
    let flat = |name: &str, hash: Hash, script: &str| {
        world.derivation(&Recipe {
            name,
            script,
            env: &[("impureEnvVars", "GIVEN MISSING")],
            fixed: Some((ContentAddressMethod::Flat, hash)),
            ..Recipe::default()
        })
    };
    let hash = Hash::of(HashAlgo::Sha256, b"hello\n");
    let good = flat("good", hash, "echo $NIX_OUTPUT_CHECKED >&2; echo hello > $out");
    assert_eq!(world.text(&good), "hello\n");
    let info = world.store.path_info(&world.output(&good, "out")).unwrap();
    assert!(info.is_content_addressed(world.store.store_dir()));

    let refers = world.script("source", "echo > $out", &[]);
    let refers = world.derivation(&Recipe {
        name: "refers",
        script: "echo $source > $out",
        env: &[("source", &world.print(&world.output(&refers, "out")))],
        inputs: &[&refers],
        fixed: Some((ContentAddressMethod::Flat, hash)),
        ..Recipe::default()
    });
    let text = failure(&world, &refers);
    let why = "fixed output derivation 'refers' is not allowed to refer to other store";
    assert!(text.contains(why), "{text}");

    let bad = flat("bad", hash, "echo other > $out");
    let got = Hash::of(HashAlgo::Sha256, b"other\n");
    let sri = |hash: Hash| hash.print(picnix_store_core::HashFormat::Sri);
    let drv = world.print(&bad);
    assert!(failure(&world, &bad).contains(&format!(
        "hash mismatch in fixed-output derivation '{drv}':\n  specified: {}\n     got:    {}",
        sri(hash),
        sri(got)
    )));
    let directory =
        flat("directory", hash, ": > $out; exec 3>&-; test -e $out && exit 0");
    failure(&world, &directory);
}

#[test]
fn allowed_references_are_enforced() {
    let world = World::new();
    let library = world.script("library", "echo > $out", &[]);
    let library_out = world.print(&world.output(&library, "out"));
    let refers = |name: &str, env: &[(&str, &str)]| {
        let script = format!("echo {library_out} $out > $out");
        world.derivation(&Recipe {
            name,
            script: &script,
            env,
            inputs: &[&library],
            ..Recipe::default()
        })
    };
    let good = refers("good", &[("allowedReferences", &format!("out {library_out}"))]);
    world.build(&good).unwrap();
    let bad = refers("bad", &[("allowedReferences", "out")]);
    let text = failure(&world, &bad);
    let expected =
        format!("is not allowed to refer to the following paths:\n  {library_out}");
    assert!(text.contains(&expected), "{text}");
    let bad = refers("worse", &[("disallowedRequisites", &library_out)]);
    assert!(failure(&world, &bad).contains(&expected));
}

#[test]
fn only_inputs_are_visible() {
    let world = World::new();
    let hidden = world.script("hidden", "echo secret > $out", &[]);
    world.build(&hidden).unwrap();
    let path = world.print(&world.output(&hidden, "out"));
    let script = format!(
        "for path in /nix/store/*; do echo $path; done > $out; \
         test ! -e {path}; test ! -e /etc/shadow; test ! -e {}",
        world.store.real_path(&hidden).display()
    );
    let probe = world.script("probe", &script, &[]);
    let own = world.print(&world.output(&probe, "out"));
    let mut expected = vec![world.print(&world.shell.object), own];
    expected.sort();
    assert_eq!(world.text(&probe).lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_root_tree_is_shown_when_asked_for() {
    let world = World::new();
    let tree = world.dir.path().join("root");
    fs::create_dir_all(tree.join("usr/share")).unwrap();
    fs::write(tree.join("usr/share/note"), "seed\n").unwrap();
    std::os::unix::fs::symlink("usr/share", tree.join("lib")).unwrap();
    let request = picnix_store::AddRequest::source("root");
    let root = world.store.add_source(&tree, &request, &mut |_, _| Ok(true)).unwrap();
    let recipe = |sources: &[&StorePath], name: &str| {
        world.derivation(&Recipe {
            name,
            script: "read line < /usr/share/note; read again < /lib/note; echo $line $again > $out",
            env: &[("boxRoot", &world.print(&root))],
            sources,
            ..Recipe::default()
        })
    };
    let drv_path = recipe(&[&root], "with-root");
    assert_eq!(world.text(&drv_path), "seed seed\n");
    let text = failure(&world, &recipe(&[], "without-root"));
    assert!(text.contains("is not an input of the derivation"), "{text}");
}

#[test]
fn limits_and_machines_are_respected() {
    let mut world = World::new();
    world.config.limits.wall = Some(Duration::from_millis(100));
    let slow = world.script("slow", "while :; do :; done", &[]);
    let text = failure(&world, &slow);
    assert!(text.contains("Reason: timed out after 0.1 seconds.\n"), "{text}");
    world.config.jobs = 0;
    let text = failure(&world, &world.script("nowhere", "echo > $out", &[]));
    assert!(text.contains("Reason: local builds are disabled (max-jobs = 0)"), "{text}");
    world.config.jobs = 2;
    let drv_path = world.derivation(&Recipe {
        name: "featured",
        env: &[("requiredSystemFeatures", "moon")],
        ..Recipe::default()
    });
    let text = failure(&world, &drv_path);
    let reason = "Reason: missing system features\nRequired features: {moon}\n\
                  Available features: {benchmark, big-parallel, nixos-test}";
    assert!(text.contains(reason), "{text}");
}

#[test]
fn a_second_build_is_compared() {
    let mut world = World::new();
    let stable = world.script("stable", "echo same > $out", &[]);
    let random = "read -r line < /proc/sys/kernel/random/uuid; echo $line > $out";
    let unstable = world.script("unstable", random, &[]);
    world.config.purpose = Purpose::Check;
    let error = world.build(&stable).unwrap_err();
    assert!(error.to_string().contains("some outputs are not valid"), "{error}");
    world.config.purpose = Purpose::Realise;
    world.build(&stable).unwrap();
    let before = world.text(&unstable);
    world.config.purpose = Purpose::Check;
    world.config.keep_failed = true;
    world.build(&stable).unwrap();
    let error = world.build(&unstable).unwrap_err().to_string();
    let out = world.output(&unstable, "out");
    let expected = format!(
        "may not be deterministic: output '{}' differs from '",
        world.print(&out)
    );
    assert!(error.contains(&expected), "{error}");
    let kept = error.split("differs from '").nth(1).unwrap().trim_end_matches('\'');
    assert_ne!(fs::read_to_string(kept).unwrap(), before);
    assert_eq!(fs::read_to_string(world.store.real_path(&out)).unwrap(), before);
}

#[test]
fn a_failed_build_directory_is_kept_if_wished() {
    let mut world = World::new();
    world.config.keep_failed = true;
    let bad = world.script("bad", "echo evidence > trace; exit 1", &[]);
    failure(&world, &bad);
    let kept = world.dir.path().join("store/nix/var/picnix/failed/bad-0/trace");
    assert_eq!(fs::read_to_string(kept).unwrap(), "evidence\n");
}

#[test]
fn a_request_to_stop_ends_everything() {
    let world = World::new();
    let endless = world.script("endless", "echo started; while :; do :; done", &[]);
    let waiting = world.script("waiting", "echo > $out", &[&endless]);
    std::thread::scope(|scope| {
        let build = scope.spawn(|| world.build(&waiting));
        while world.events.count("log endless.drv started") == 0 {
            std::thread::yield_now();
        }
        world.cancel.cancel();
        assert!(matches!(build.join().unwrap(), Err(Error::Interrupted)));
    });
    world.assert_clean();
}

#[test]
fn what_came_with_a_wrong_hash_is_there_when_the_hash_is_mended() {
    let world = World::new();
    let recipe = |hash: Hash| Recipe {
        name: "fixed",
        script: "echo right > $out",
        fixed: Some((ContentAddressMethod::Flat, hash)),
        ..Recipe::default()
    };
    let wrong = world.derivation(&recipe(Hash::of(HashAlgo::Sha256, b"wrong")));
    assert!(failure(&world, &wrong).contains("hash mismatch"));
    let right = world.derivation(&recipe(Hash::of(HashAlgo::Sha256, b"right\n")));
    assert_eq!(world.text(&right), "right\n");
    assert_eq!(world.events.count("started"), 1, "nothing is built again");
    let info = world.store.path_info(&world.output(&right, "out")).unwrap();
    assert!(info.is_content_addressed(world.store.store_dir()));
}

/// The process that [`a_killed_picnix_leaves_a_good_store`] kills.
/// As a test of its own it does nothing.
#[test]
fn victim() {
    let Some(dir) = std::env::var_os("PICNIX_TEST_DIR") else { return };
    let dir = PathBuf::from(dir);
    let store = common::open_store(&dir);
    let name = std::env::var("PICNIX_TEST_DRV").unwrap();
    let drv_path = StorePath::parse(name.as_bytes()).unwrap();
    let config = BuildConfig::new("test-system", 1);
    let builder = Builder {
        store: &store,
        config: &config,
        builtins: &Builtins::new(),
        observer: &Echo,
        cancel: &Cancel::new(),
        substituters: None,
    };
    builder.build(&[common::target(&drv_path)]).unwrap();
}

/// Writes the lines of logs to standard output.
struct Echo;

impl Observer for Echo {
    fn event(&self, event: &Event<'_>) {
        if let Event::Log { line, .. } = event {
            std::io::stdout().write_all(&[*line, b"\n"].concat()).unwrap();
        }
    }
}

#[test]
fn a_killed_picnix_leaves_a_good_store() {
    let world = World::new();
    let script = "echo half > $out; echo written; while :; do :; done";
    let endless = world.script("endless", script, &[]);
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["victim", "--exact", "--nocapture"])
        .env("PICNIX_TEST_DIR", world.dir.path())
        .env("PICNIX_TEST_DRV", endless.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.ends_with("written")));
    victim.kill().unwrap();
    victim.wait().unwrap();
    assert!(!world.store.is_valid(&world.output(&endless, "out")).unwrap());
    let locks = world.store.lock_paths([&world.output(&endless, "out")]).unwrap();
    drop(locks);
    let other = world.script("other", "echo whole > $out", &[]);
    assert_eq!(world.text(&other), "whole\n");
}

#[test]
fn two_builders_share_the_work() {
    let world = World::new();
    let drv_path = world.script(
        "once",
        "i=0; while test $i -lt 20000; do i=$((i+1)); done; echo > $out",
        &[],
    );
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..3).map(|_| scope.spawn(|| world.build(&drv_path))).collect();
        threads.into_iter().for_each(|thread| {
            thread.join().unwrap().unwrap();
        });
    });
    assert_eq!(world.events.count("started"), 1);
}

#[test]
fn many_builds_at_once() {
    let mut world = World::new();
    world.config.jobs = 4;
    let leaves: Vec<StorePath> = (0..40)
        .map(|n| world.script(&format!("leaf-{n}"), &format!("echo {n} > $out"), &[]))
        .collect();
    let leaves: Vec<&StorePath> = leaves.iter().collect();
    let outputs: Vec<String> =
        leaves.iter().map(|leaf| world.print(&world.output(leaf, "out"))).collect();
    let script =
        format!("for i in {}; do read n < $i; echo $n; done > $out", outputs.join(" "));
    let top = world.script("top", &script, &leaves);
    let expected: String = (0..40).map(|n| format!("{n}\n")).collect();
    assert_eq!(world.text(&top), expected);
    world.assert_clean();
}

/// Writes an attribute and the sizes of a closure.
struct Describe;

impl BuiltinBuilder for Describe {
    fn name(&self) -> &str {
        "describe"
    }

    fn build(&self, ctx: &BuiltinContext<'_>) -> Result<(), BuiltinError> {
        let note = ctx.variable("note").ok_or("no note")?;
        if note == b"fail" {
            ctx.log("about to fail");
            return Err("told to fail".into());
        }
        let out = ctx.outputs.values().next().ok_or("no output")?;
        let mut file = fs::File::create(&out.physical)?;
        for path in ctx.exported("closure")? {
            let logical = ctx.store.store_dir().print(&path);
            let contents = fs::read_to_string(ctx.real_path(logical.as_bytes())?)?;
            write!(file, "{} {contents}", path.name())?;
        }
        ctx.progress(1, Some(1));
        Ok(file.write_all(&note)?)
    }
}

#[test]
fn builtin_builders_run_in_process() {
    let mut world = World::new();
    world.builtins.add(Describe);
    let input = world.script("input", "echo data > $out", &[]);
    let graph = format!("closure {}", world.print(&world.output(&input, "out")));
    let recipe = |name: &str, builder: &str, note: &str| {
        world.derivation(&Recipe {
            name,
            builder: Some(builder),
            inputs: &[&input],
            env: &[("note", note), ("exportReferencesGraph", &graph)],
            ..Recipe::default()
        })
    };
    let good = recipe("good", "builtin:describe", "a note");
    assert_eq!(world.text(&good), "input data\na note");
    let bad = recipe("bad", "builtin:describe", "fail");
    let text = failure(&world, &bad);
    assert!(text.ends_with("Reason: builtin:describe failed: told to fail"), "{text}");
    assert_eq!(world.events.count("log bad.drv about to fail"), 1);
    let unknown = recipe("unknown", "builtin:unknown", "");
    let text = failure(&world, &unknown);
    assert!(
        text.contains(
            "unsupported builtin builder 'unknown'; there are: describe, fetchurl"
        ),
        "{text}"
    );
}

/// A builtin builder with a bug.
struct Panics;

impl BuiltinBuilder for Panics {
    fn name(&self) -> &str {
        "panics"
    }

    fn build(&self, _ctx: &BuiltinContext<'_>) -> Result<(), BuiltinError> {
        panic!("a bug")
    }
}

#[test]
fn a_bug_in_a_builtin_builder_ends_the_build() {
    let mut world = World::new();
    world.builtins.add(Panics);
    let builder = Some("builtin:panics");
    let buggy = world.derivation(&Recipe { name: "buggy", builder, ..Recipe::default() });
    let top = world.script("top", "echo > $out", &[&buggy]);
    let result =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.build(&top)));
    assert!(result.is_err());
    world.assert_clean();
}

#[test]
fn files_are_fetched() {
    let world = World::new();
    let file = world.dir.path().join("file");
    fs::write(&file, "contents").unwrap();
    let url = format!("file://{}", file.display());
    let fetch = |name: &str, urls: &str, contents: &[u8]| {
        world.derivation(&Recipe {
            name,
            builder: Some("builtin:fetchurl"),
            env: &[("url", "file:///nonexistent"), ("urls", urls)],
            fixed: Some((
                ContentAddressMethod::Flat,
                Hash::of(HashAlgo::Sha256, contents),
            )),
            ..Recipe::default()
        })
    };
    let good = fetch("good", &format!("file:///nonexistent {url}"), b"contents");
    assert_eq!(world.text(&good), "contents");
    let bad = fetch("bad", &url, b"other contents");
    let text = failure(&world, &bad);
    assert!(text.contains("hash mismatch in fixed-output derivation"), "{text}");
    assert!(text.contains(&format!("     from:   {url}")), "{text}");
    let gone = fetch("gone", "file:///nonexistent mirror://debian/x", b"x");
    let text = failure(&world, &gone);
    assert!(
        text.contains("unable to download 'file:///nonexistent': No such file"),
        "{text}"
    );
    let downloads = world.dir.path().join("store/nix/var/picnix/downloads");
    let left: Vec<_> =
        fs::read_dir(downloads).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(left.len() <= 1, "{left:?}");
}

#[test]
fn a_builder_that_does_not_exist_is_named() {
    let world = World::new();
    let drv_path = world.derivation(&Recipe {
        name: "absent",
        builder: Some("/nix/store/absent"),
        ..Recipe::default()
    });
    let error = world.build(&drv_path).unwrap_err();
    let Error::Failed(failure) = error else { panic!("{error}") };
    assert!(matches!(failure.reason, StepError::Box(_)));
    assert!(
        failure.to_string().contains(
            "Reason: cannot execute \"/nix/store/absent\" in the build box: No such file"
        ),
        "{failure}"
    );
}

#[test]
fn all_of_this_holds_for_a_user() {
    again_as_user(&[
        "outputs_become_valid_with_their_references",
        "the_environment_is_that_of_nix",
        "several_outputs_are_registered_together",
        "a_failing_builder_shows_the_end_of_its_log",
        "fixed_outputs_are_checked",
        "only_inputs_are_visible",
        "a_root_tree_is_shown_when_asked_for",
        "a_second_build_is_compared",
        "a_failed_build_directory_is_kept_if_wished",
        "a_request_to_stop_ends_everything",
        "many_builds_at_once",
        "builtin_builders_run_in_process",
        "files_are_fetched",
    ]);
}
