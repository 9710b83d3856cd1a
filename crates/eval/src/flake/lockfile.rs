//! `flake.lock`, version 7 (5 and 6 are read): a graph of inputs, as JSON.
//!
//! Nodes lie in a vector; 0 is the root. What is written is byte-equal to Nix's: keys are the names of inputs in
//! the order of a walk from the root, with `_2`, `_3` where a name is taken.

use std::collections::{BTreeMap, BTreeSet};

use picnix_store_core::encoding::date_digits;
use serde_json::{Map, Value as Json, json};

use super::input::attrs_json;
use super::{FlakeRef, InputAttrs, InputValue, RefResult, wrong};

/// The version that is written.
const VERSION: u64 = 7;
/// The oldest version that is read.
const OLDEST_VERSION: u64 = 5;

/// The index of a node.
pub type NodeId = usize;
/// The names of inputs that lead from the root to an input.
pub type InputPath = Vec<String>;

/// What an input is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edge {
    /// A node of its own.
    Node(NodeId),
    /// The input at a path from the root.
    Follows(InputPath),
}

/// What is known of an input that is locked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedNode {
    /// The tree, exactly.
    pub locked: FlakeRef,
    /// What the flake asked for.
    pub original: FlakeRef,
    /// Whether it is a flake, rather than any tree.
    pub is_flake: bool,
    /// The path of the flake that a relative path is relative to.
    pub parent: Option<InputPath>,
}

/// A node of the graph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// What is locked; nothing for the root.
    pub locked: Option<LockedNode>,
    /// Its inputs by name.
    pub inputs: BTreeMap<String, Edge>,
}

/// The graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockFile {
    /// The nodes; the root is the first.
    pub nodes: Vec<Node>,
}

impl Default for LockFile {
    fn default() -> Self {
        Self { nodes: vec![Node::default()] }
    }
}

impl LockFile {
    /// The root.
    pub const ROOT: NodeId = 0;

    /// Adds a node.
    pub fn add(&mut self, locked: LockedNode) -> NodeId {
        self.nodes.push(Node { locked: Some(locked), inputs: BTreeMap::new() });
        self.nodes.len() - 1
    }

    /// Parses a lock file; `place` is where it lies, for messages.
    ///
    /// # Errors
    /// It is no lock file, or of a version that is not known, or has an input that is not locked.
    pub fn parse(text: &[u8], place: &str) -> RefResult<Self> {
        let json: Json = match serde_json::from_slice(text) {
            Ok(json) => json,
            Err(error) => return wrong(format!("Could not parse '{place}': {error}")),
        };
        let version = json.get("version").and_then(Json::as_u64).unwrap_or(0);
        if !(OLDEST_VERSION..=VERSION).contains(&version) {
            return wrong(format!(
                "lock file '{place}' has unsupported version {version}"
            ));
        }
        let (Some(Json::String(root)), Some(Json::Object(nodes))) =
            (json.get("root"), json.get("nodes"))
        else {
            return wrong(format!("lock file '{place}' has no 'root' and 'nodes'"));
        };
        let mut reader = Reader { nodes, file: Self::default(), known: BTreeMap::new() };
        reader.known.insert(root.clone(), Self::ROOT);
        reader.inputs(Self::ROOT, root)?;
        Ok(reader.file)
    }

    /// The file's text, with a newline at its end.
    #[must_use]
    pub fn print(&self) -> String {
        // Printing a JSON value into a string cannot fail.
        let text = serde_json::to_string_pretty(&self.to_json().0).unwrap_or_default();
        format!("{text}\n")
    }

    /// The file as JSON, and the key of each node.
    #[must_use]
    pub fn to_json(&self) -> (Json, BTreeMap<NodeId, String>) {
        let mut writer = Writer {
            file: self,
            nodes: Map::new(),
            keys: BTreeMap::new(),
            taken: BTreeSet::new(),
        };
        let root = writer.node("root", Self::ROOT);
        (json!({ "version": VERSION, "root": root, "nodes": writer.nodes }), writer.keys)
    }

    /// Every input by its path; a node that several inputs share is walked once.
    #[must_use]
    pub fn all_inputs(&self) -> BTreeMap<InputPath, Edge> {
        let mut all = BTreeMap::new();
        let mut done = BTreeSet::new();
        self.collect(&mut Vec::new(), Self::ROOT, &mut done, &mut all);
        all
    }

    fn collect(
        &self,
        path: &mut InputPath,
        node: NodeId,
        done: &mut BTreeSet<NodeId>,
        all: &mut BTreeMap<InputPath, Edge>,
    ) {
        if !done.insert(node) {
            return;
        }
        for (name, edge) in &self.nodes[node].inputs {
            path.push(name.clone());
            all.insert(path.clone(), edge.clone());
            if let Edge::Node(child) = edge {
                self.collect(path, *child, done, all);
            }
            path.pop();
        }
    }

    /// The node at a path, through `follows`; nothing if there is no such input.
    ///
    /// # Errors
    /// The inputs follow each other in a circle.
    pub fn find(&self, path: &[String]) -> RefResult<Option<NodeId>> {
        self.find_from(path, &mut Vec::new())
    }

    fn find_from(
        &self,
        path: &[String],
        visited: &mut Vec<InputPath>,
    ) -> RefResult<Option<NodeId>> {
        if let Some(start) = visited.iter().position(|seen| seen == path) {
            let cycle = visited[start..].iter().map(|path| path.join("/"));
            let cycle: Vec<String> = cycle.chain([path.join("/")]).collect();
            return wrong(format!("follow cycle detected: [{}]", cycle.join(" -> ")));
        }
        visited.push(path.to_vec());
        let mut node = Self::ROOT;
        for name in path {
            node = match self.nodes[node].inputs.get(name) {
                None => return Ok(None),
                Some(Edge::Node(child)) => *child,
                Some(Edge::Follows(target)) => match self.find_from(target, visited)? {
                    Some(found) => found,
                    None => return Ok(None),
                },
            };
        }
        Ok(Some(node))
    }

    /// Checks that everything that is followed is there.
    ///
    /// # Errors
    /// An input follows nothing, or itself.
    pub fn check(&self) -> RefResult<()> {
        for (path, edge) in self.all_inputs() {
            if let Edge::Follows(target) = edge
                && !target.is_empty()
                && self.find(&target)?.is_none()
            {
                return wrong(format!(
                    "input '{}' follows a non-existent input '{}'",
                    path.join("/"),
                    target.join("/")
                ));
            }
        }
        Ok(())
    }

    /// An input that does not always mean the same tree.
    #[must_use]
    pub fn unlocked(&self) -> Option<&FlakeRef> {
        self.nodes.iter().filter_map(|node| node.locked.as_ref()).find_map(|node| {
            let input = &node.locked.input;
            let is_fine = input.relative_path().is_some() || input.is_locked();
            (!is_fine).then_some(&node.locked)
        })
    }

    /// What changed since `old`, as Nix tells it, without colours.
    #[must_use]
    pub fn changes_since(&self, old: &Self) -> String {
        let (before, after) = (old.all_inputs(), self.all_inputs());
        let paths: BTreeSet<&InputPath> = before.keys().chain(after.keys()).collect();
        let mut text = String::new();
        for path in paths {
            let name = path.join("/");
            match (before.get(path), after.get(path)) {
                (None, Some(new)) => {
                    text +=
                        &format!("• Added input '{name}':\n    {}\n", self.describe(new));
                }
                (Some(_), None) => text += &format!("• Removed input '{name}'\n"),
                (Some(was), Some(is)) => {
                    let (was, is) = (old.describe(was), self.describe(is));
                    if was != is {
                        text +=
                            &format!("• Updated input '{name}':\n    {was}\n  → {is}\n");
                    }
                }
                (None, None) => {}
            }
        }
        text
    }

    fn describe(&self, edge: &Edge) -> String {
        match edge {
            Edge::Follows(path) => format!("follows '{}'", path.join("/")),
            Edge::Node(node) => {
                let Some(node) = &self.nodes[*node].locked else { return String::new() };
                let date = node.locked.input.number("lastModified").map(|seconds| {
                    let date = date_digits(seconds);
                    format!(" ({}-{}-{})", &date[..4], &date[4..6], &date[6..8])
                });
                format!("'{}'{}", node.locked.show(), date.unwrap_or_default())
            }
        }
    }
}

/// What reading a lock file keeps.
struct Reader<'j> {
    nodes: &'j Map<String, Json>,
    file: LockFile,
    known: BTreeMap<String, NodeId>,
}

impl Reader<'_> {
    fn inputs(&mut self, node: NodeId, key: &str) -> RefResult<()> {
        let json = self.nodes.get(key).and_then(|json| json.get("inputs"));
        let Some(Json::Object(inputs)) = json else { return Ok(()) };
        for (name, target) in inputs {
            let edge = match target {
                Json::String(key) => Edge::Node(self.node(key)?),
                target => Edge::Follows(input_path(target)?),
            };
            self.file.nodes[node].inputs.insert(name.clone(), edge);
        }
        Ok(())
    }

    fn node(&mut self, key: &str) -> RefResult<NodeId> {
        if let Some(node) = self.known.get(key) {
            if *node == LockFile::ROOT {
                return wrong("lock file contains cycle to root node");
            }
            return Ok(*node);
        }
        let Some(json) = self.nodes.get(key) else {
            return wrong(format!("lock file references missing node '{key}'"));
        };
        let node = self.file.add(locked_node(json)?);
        self.known.insert(key.to_owned(), node);
        self.inputs(node, key)?;
        Ok(node)
    }
}

fn locked_node(json: &Json) -> RefResult<LockedNode> {
    let reference = |name: &str, extra: Option<&Json>| {
        let Some(attrs) = json.get(name) else {
            return wrong(format!("attribute '{name}' missing in lock file"));
        };
        let mut attrs = parse_attrs(attrs)?;
        if let Some(extra) = extra {
            attrs.extend(parse_attrs(extra)?);
        }
        FlakeRef::from_attrs(attrs)
    };
    let mut locked = reference("locked", json.get("info"))?;
    let original = reference("original", None)?;
    let input = &mut locked.input;
    let is_fine = input.is_locked() || input.relative_path().is_some();
    if !is_fine && input.text("narHash").is_none() {
        return wrong(format!(
            "Lock file contains unlocked input '{}'. Use '--allow-dirty-locks' to accept this \
             lock file.",
            attrs_json(&input.attrs)
        ));
    }
    input.set_final();
    let is_flake = json.get("flake").and_then(Json::as_bool).unwrap_or(true);
    let parent = json.get("parent").map(input_path).transpose()?;
    Ok(LockedNode { locked, original, is_flake, parent })
}

fn parse_attrs(json: &Json) -> RefResult<InputAttrs> {
    let Json::Object(members) = json else {
        return wrong("lock file has no set of attributes");
    };
    let mut attrs = InputAttrs::new();
    for (name, value) in members {
        let value = match value {
            Json::String(text) => InputValue::Text(text.clone()),
            Json::Bool(bool) => InputValue::Bool(*bool),
            Json::Number(number) if number.is_u64() => {
                InputValue::Number(number.as_u64().unwrap_or_default())
            }
            _ => return wrong("unsupported input attribute type in lock file"),
        };
        attrs.insert(name.clone(), value);
    }
    Ok(attrs)
}

fn input_path(json: &Json) -> RefResult<InputPath> {
    let names = json.as_array().map(|names| {
        names
            .iter()
            .map(|name| name.as_str().map(str::to_owned))
            .collect::<Option<InputPath>>()
    });
    match names.flatten() {
        Some(path) => Ok(path),
        None => wrong(format!(
            "lock file has an input that is neither a name nor a path: {json}"
        )),
    }
}

/// What writing a lock file keeps.
struct Writer<'f> {
    file: &'f LockFile,
    nodes: Map<String, Json>,
    keys: BTreeMap<NodeId, String>,
    taken: BTreeSet<String>,
}

impl Writer<'_> {
    fn node(&mut self, name: &str, id: NodeId) -> String {
        if let Some(key) = self.keys.get(&id) {
            return key.clone();
        }
        let mut key = name.to_owned();
        let mut number = 2;
        while !self.taken.insert(key.clone()) {
            key = format!("{name}_{number}");
            number += 1;
        }
        self.keys.insert(id, key.clone());
        let node = &self.file.nodes[id];
        let mut members = Map::new();
        if !node.inputs.is_empty() {
            let mut inputs = Map::new();
            for (name, edge) in &node.inputs {
                let target = match edge {
                    Edge::Node(child) => self.node(name, *child).into(),
                    Edge::Follows(path) => json!(path),
                };
                inputs.insert(name.clone(), target);
            }
            members.insert("inputs".to_owned(), Json::Object(inputs));
        }
        if let Some(LockedNode { locked, original, is_flake, parent }) = &node.locked {
            let mut attrs = locked.to_attrs();
            attrs.remove("__final");
            members.insert("locked".to_owned(), attrs_json(&attrs));
            members.insert("original".to_owned(), attrs_json(&original.to_attrs()));
            if !is_flake {
                members.insert("flake".to_owned(), Json::Bool(false));
            }
            if let Some(parent) = parent {
                members.insert("parent".to_owned(), json!(parent));
            }
        }
        self.nodes.insert(key.clone(), Json::Object(members));
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{
  "nodes": {
    "a": {
      "inputs": {
        "b": [
          "b"
        ]
      },
      "locked": {
        "lastModified": 1700000000,
        "narHash": "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "path": "/a",
        "type": "path"
      },
      "original": {
        "path": "/a",
        "type": "path"
      }
    },
    "b": {
      "flake": false,
      "locked": {
        "path": "./b",
        "type": "path"
      },
      "original": {
        "path": "./b",
        "type": "path"
      },
      "parent": []
    },
    "root": {
      "inputs": {
        "a": "a",
        "b": "b"
      }
    }
  },
  "root": "root",
  "version": 7
}
"#;

    #[test]
    fn what_is_printed_is_what_was_parsed() {
        let file = LockFile::parse(FILE.as_bytes(), "flake.lock").unwrap();
        assert_eq!(file.print(), FILE);
        file.check().unwrap();
        assert!(file.unlocked().is_none());
        let path = ["a".to_owned(), "b".to_owned()];
        assert_eq!(file.find(&path).unwrap(), file.find(&path[1..]).unwrap());
        assert_eq!(file.changes_since(&file), "");
    }

    #[test]
    fn an_empty_file_has_a_root() {
        let text = LockFile::default().print();
        assert_eq!(
            text,
            "{\n  \"nodes\": {\n    \"root\": {}\n  },\n  \"root\": \"root\",\n  \"version\": 7\n}\n"
        );
        assert_eq!(LockFile::parse(text.as_bytes(), "").unwrap(), LockFile::default());
    }

    #[test]
    fn broken_files_say_what_is_broken() {
        let error =
            |text: &str| LockFile::parse(text.as_bytes(), "x").unwrap_err().to_string();
        assert!(error("{").starts_with("Could not parse 'x'"));
        assert_eq!(error("{\"version\":9}"), "lock file 'x' has unsupported version 9");
        assert_eq!(
            error(&FILE.replace("\"a\": \"a\"", "\"a\": \"z\"")),
            "lock file references missing node 'z'"
        );
        let dangling = FILE.replace("          \"b\"\n", "          \"z\"\n");
        let file = LockFile::parse(dangling.as_bytes(), "x").unwrap();
        assert_eq!(
            file.check().unwrap_err().to_string(),
            "input 'a/b' follows a non-existent input 'z'"
        );
        let circle =
            FILE.replace("          \"b\"\n", "          \"a\",\n          \"b\"\n");
        let file = LockFile::parse(circle.as_bytes(), "x").unwrap();
        assert_eq!(
            file.check().unwrap_err().to_string(),
            "follow cycle detected: [a/b -> a/b]"
        );
    }
}
