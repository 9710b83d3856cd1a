//! Every package of ekala-project/corepkgs, nested package sets and all, under picnix and under the real Nix.
//!
//! Runs where `PICNIX_COREPKGS` names a checkout whose `pins.nix` names a local nix-lib, and `PICNIX_PEER_NIX` a Nix.
//! Attributes are asked for one by one, so that one which fails hides no other: in process here, in `nix repl`
//! there. Compared are what each is (a derivation and its path, a set and its names, a value of another type, a
//! failure), and then the bytes of every `.drv` file that came of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use picnix_build::Cancel;
use picnix_build::Silent;
use picnix_engine::session::{EvalOptions, Program, Session, WorkError, evaluate};
use picnix_engine::world::Writes;
use picnix_engine::{BuildOptions, Config, Engine};
use picnix_eval::Value;
use picnix_eval::pos::Pos;

use crate::common::skip;

/// How deep package sets are looked into: `python3Packages.numpy` is two names.
const MAX_NAMES: usize = 2;
/// Sets with all packages once more, for other platforms, and sets of other things than packages.
const NOT_ENTERED: &[&str] =
    &["__splicedPackages", "buildPackages", "targetPackages", "pkgs", "lib", "config"];
/// Other names of sets with all packages begin with this.
const VARIANT_PREFIX: &str = "pkgs";
/// What is asked of an attribute; its number comes first in the answer, because a failing one gives none.
const QUESTION: &str = r#"
pkgs: number: names:
let
  value = builtins.foldl' (set: name: set.${name}) pkgs names;
  answer =
    if !builtins.isAttrs value then
      builtins.typeOf value
    else if value.type or null == "derivation" then
      "drv ${value.drvPath}"
    else
      "set ${builtins.toJSON (builtins.attrNames value)}";
in
"${toString number} ${answer}"
"#;

/// What a Nix says of each attribute, by the attribute's number; nothing of one that fails.
type Answers = BTreeMap<usize, String>;

/// A folder with a store, and the question in a file that both read.
struct Place {
    temp: tempfile::TempDir,
    corepkgs: PathBuf,
}

impl Place {
    fn question(&self) -> PathBuf {
        self.temp.path().join("question.nix")
    }

    fn engine(&self) -> Engine {
        let env = [("HOME", self.temp.path()), ("PICNIX_STORE", self.temp.path())];
        let env = env.map(|(name, path)| (name.into(), path.as_os_str().to_owned()));
        let config = Config::new(env.to_vec(), self.temp.path().to_owned()).unwrap();
        let options = BuildOptions::default();
        Engine::new(config, &options, Arc::new(Silent), Cancel::new())
    }

    fn packages(&self) -> String {
        format!("(import {} {{ }})", self.corepkgs.display())
    }
}

/// Asks picnix: all attributes at the top, and those of every set that is to be entered.
fn ask_picnix(place: &Place) -> (Vec<Vec<String>>, Answers) {
    let engine = place.engine();
    let options = EvalOptions::default();
    evaluate(
        &engine,
        Writes::Always,
        &options,
        |_| {},
        |session| {
            let load =
                |text: String| session.load(&Program::Text(text), place.temp.path());
            let packages = load(place.packages())?;
            let question = load(format!("import {}", place.question().display()))?;
            let mut asked: Vec<Vec<String>> = Vec::new();
            let mut answers = Answers::new();
            let top = load(format!(
                "builtins.toJSON (builtins.attrNames {})",
                place.packages()
            ))?;
            let top = String::from_utf8(
                session.ev.expect_string(top, Pos::NONE, "")?.bytes.to_vec(),
            )
            .unwrap();
            enter(&mut asked, &[], &top);
            let mut number = 0;
            while number < asked.len() {
                let names = asked[number].clone();
                if let Some(answer) = answer(session, question, packages, number, &names)
                {
                    if let Some((_, set)) = answer.split_once(" set ") {
                        enter(&mut asked, &names, set);
                    }
                    answers.insert(number, answer);
                }
                number += 1;
            }
            session.world.flush()?;
            Ok::<_, WorkError>((asked, answers))
        },
    )
    .unwrap_or_else(|error| panic!("{error}"))
}

/// Adds what is in a set to what is asked for.
fn enter(asked: &mut Vec<Vec<String>>, set: &[String], names: &str) {
    let is_variant = |name: &String| {
        NOT_ENTERED.contains(&name.as_str()) || name.starts_with(VARIANT_PREFIX)
    };
    if set.len() == MAX_NAMES || set.iter().any(is_variant) {
        return;
    }
    let names: Vec<String> = serde_json::from_str(names).unwrap();
    asked.extend(names.into_iter().map(|name| [set, &[name]].concat()));
}

fn answer<'h>(
    session: &Session<'_, 'h>,
    question: Value<'h>,
    packages: Value<'h>,
    number: usize,
    names: &[String],
) -> Option<String> {
    let ev = session.ev;
    let names: Vec<Value<'h>> =
        names.iter().map(|name| ev.string(name.as_bytes())).collect();
    let arguments =
        [packages, Value::Int(i64::try_from(number).unwrap()), ev.list(&names)];
    let value = ev.call(question, &arguments, Pos::NONE).ok()?;
    let string = ev.expect_string(value, Pos::NONE, "").ok()?;
    Some(String::from_utf8(string.bytes.to_vec()).unwrap())
}

fn peer(words: &[&str]) -> Command {
    let prefix = std::env::var("PICNIX_PEER_NIX").unwrap_or_default();
    let mut all = prefix.split_whitespace().chain(words.iter().copied());
    let mut command = Command::new(all.next().unwrap());
    command.args(all);
    command
}

/// Asks the real Nix the same, a line a question.
fn ask_peer(place: &Place, asked: &[Vec<String>]) -> Answers {
    let mut script =
        format!("ask = import {} {}\n", place.question().display(), place.packages());
    for (number, names) in asked.iter().enumerate() {
        let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
        script += &format!("ask {number} [ {} ]\n", names.join(" "));
    }
    let file = place.temp.path().join("script");
    fs::write(&file, script).unwrap();
    let output = peer(&["nix", "repl"])
        .env("TERM", "dumb")
        .stdin(fs::File::open(file).unwrap())
        .output()
        .unwrap();
    let mut answers = Answers::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        // An answer is a string; what was typed is shown as well, after a prompt.
        let Some((_, text)) = line.split_once('"') else { continue };
        let Some((text, _)) = text.rsplit_once('"') else { continue };
        let text = text.replace("\\\"", "\"").replace("\\$", "$");
        let number = text.split_once(' ').and_then(|(number, _)| number.parse().ok());
        if let Some(number) = number {
            answers.insert(number, text);
        }
    }
    assert!(
        answers.len() > asked.len() / 2,
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    answers
}

/// The `.drv` files of picnix's store.
fn derivations(place: &Place) -> Vec<String> {
    let store = place.temp.path().join("nix/store");
    let names = fs::read_dir(store).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".drv")).collect();
    names.sort();
    names
}

/// The files of the peer's store, which may be in a place that only it sees, laid into a folder.
fn fetch_peers(names: &[String], folder: &Path) {
    fs::create_dir(folder).unwrap();
    let pack = ["tar", "-C", "/nix/store", "-c", "--ignore-failed-read", "-T", "-"];
    let mut packing =
        peer(&pack).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = packing.stdin.take().unwrap();
    let list = names.join("\n");
    let writing = std::thread::spawn(move || input.write_all(list.as_bytes()).unwrap());
    let unpacked = Command::new("tar")
        .arg("-xC")
        .arg(folder)
        .stdin(packing.stdout.take().unwrap())
        .status()
        .unwrap();
    writing.join().unwrap();
    packing.wait().unwrap();
    assert!(unpacked.success());
}

#[test]
fn every_package_is_the_same_to_the_byte() {
    let variables = ["PICNIX_COREPKGS", "PICNIX_PEER_NIX"].map(std::env::var_os);
    let [Some(corepkgs), Some(_)] = variables else {
        skip("corepkgs", "PICNIX_COREPKGS and PICNIX_PEER_NIX do not name it and a Nix");
        return;
    };
    let place = Place { temp: tempfile::tempdir().unwrap(), corepkgs: corepkgs.into() };
    fs::write(place.question(), QUESTION).unwrap();
    let (asked, ours) = ask_picnix(&place);
    let theirs = ask_peer(&place, &asked);

    let mut differing = Vec::new();
    for (number, names) in asked.iter().enumerate() {
        if ours.get(&number) != theirs.get(&number) {
            let name = names.join(".");
            let show = |answers: &Answers| {
                answers.get(&number).map_or("fails".to_owned(), Clone::clone)
            };
            differing.push(format!("{name}: {} | {}", show(&ours), show(&theirs)));
        }
    }
    let paths = ours.values().filter(|answer| answer.contains(" drv ")).count();
    let failing = asked.len() - ours.len();
    println!(
        "{} attributes: {paths} derivations, {failing} fail; {} differ",
        asked.len(),
        differing.len()
    );
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    assert!(paths > 5000, "only {paths} derivations: this is not corepkgs");

    let names = derivations(&place);
    let folder = place.temp.path().join("theirs");
    fetch_peers(&names, &folder);
    let store = place.temp.path().join("nix/store");
    let read = |folder: &Path, name: &String| fs::read(folder.join(name)).ok();
    let differing: Vec<&String> =
        names.iter().filter(|name| read(&store, name) != read(&folder, name)).collect();
    println!("{} .drv files: {} differ", names.len(), differing.len());
    assert!(differing.is_empty(), "{differing:?}");
}
