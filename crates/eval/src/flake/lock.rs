//! Locking: from `flake.nix` and the lock file that there is to the lock file that there should be.
//!
//! An input is kept if it is asked for as it was when it was locked; then nothing of it is fetched or read.
//! Otherwise it is fetched, its `flake.nix` is read, and its inputs are locked by its own lock file. Overrides
//! (`inputs.a.inputs.b.url`) and `follows` of the flakes above win over what a flake says of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use picnix_store_core::StorePath;

use super::lockfile::InputPath;
use super::source::TreeShape;
use super::{
    Edge, FlakeRef, Input, InputAttrs, InputValue, LockFile, LockedNode, NodeId,
    Registries, Scheme,
};
use crate::coerce::canonical_path;
use crate::error::{At, Result};
use crate::evaluator::Evaluator;
use crate::pos::Pos;
use crate::value::{AttrsBuilder, Value};
use crate::world::FileKind;
use crate::{bail, err};

mod read;

use read::{Flake, FlakeInput, FlakeInputs};

/// How locking goes about its work.
#[derive(Clone, Debug, Default)]
pub struct LockFlags {
    /// Forget the lock file that there is.
    pub recreate: bool,
    /// The inputs that are to be locked anew.
    pub updates: BTreeSet<InputPath>,
    /// What inputs are to be, whatever the flake says.
    pub overrides: BTreeMap<InputPath, FlakeRef>,
    /// New inputs must be locked already.
    pub only_locked: bool,
}

/// A flake with all of its inputs locked.
#[derive(Clone, Debug)]
pub struct Locked {
    /// What was asked for, with names resolved.
    pub resolved: FlakeRef,
    /// The tree, exactly.
    pub locked: FlakeRef,
    /// What the flake says of itself.
    pub description: Option<String>,
    /// The lock file that there was.
    pub old: LockFile,
    /// The lock file that there should be.
    pub file: LockFile,
    /// Whether the flake is not quite the commit that its tree has: its lock file is not written.
    pub is_changed: bool,
    /// The directory of the flake in the store.
    pub dir: String,
    /// The directories of the inputs that were fetched on the way.
    dirs: BTreeMap<NodeId, String>,
}

impl Locked {
    /// Whether the lock file is not as it should be.
    #[must_use]
    pub fn needs_writing(&self) -> bool {
        self.file.to_json().0 != self.old.to_json().0
    }
}

/// An input that a flake above has its own idea of.
#[derive(Clone)]
struct Override {
    input: FlakeInput,
    /// The directory of the flake that says so.
    dir: String,
    /// The flake that says so.
    parent: Option<InputPath>,
}

/// A node of an existing lock file.
type OldNode = Option<(Rc<LockFile>, NodeId)>;

/// The flake whose inputs are being locked.
struct Place<'p> {
    node: NodeId,
    path: &'p InputPath,
    old: OldNode,
    /// Before every path that is followed.
    follows_prefix: &'p InputPath,
    dir: &'p str,
    /// Whether the inputs come from the lock file that is being replaced, so that they are known to be right.
    is_trusted: bool,
}

struct Locker<'e, 'h> {
    ev: &'e Evaluator<'h>,
    flags: &'e LockFlags,
    overrides: BTreeMap<InputPath, Override>,
    used: BTreeSet<InputPath>,
    file: LockFile,
    dirs: BTreeMap<NodeId, String>,
    /// The flakes that are being locked: one of them again is a circle.
    parents: Vec<FlakeRef>,
}

impl<'h> Evaluator<'h> {
    /// Reads a flake and works out what its lock file should be. Nothing is written.
    ///
    /// # Errors
    /// The flake or an input cannot be had, or is wrong.
    pub fn lock_flake(&self, reference: &FlakeRef, flags: &LockFlags) -> Result<Locked> {
        let flake = self.get_flake(reference, &Vec::new(), Registries::All)?;
        let doing =
            || format!("while updating the lock file of flake '{}'", flake.locked.show());
        let old = self.read_lock_file(&flake.dir).trace(Pos::NONE, doing)?;
        let overrides = flags.overrides.iter().map(|(path, reference)| {
            let input = FlakeInput {
                reference: Some(reference.clone()),
                ..FlakeInput::default()
            };
            (path.clone(), Override { input, dir: flake.dir.clone(), parent: None })
        });
        let mut locker = Locker {
            ev: self,
            flags,
            overrides: overrides.collect(),
            used: BTreeSet::new(),
            file: LockFile::default(),
            dirs: BTreeMap::from([(LockFile::ROOT, flake.dir.clone())]),
            parents: Vec::new(),
        };
        let place = Place {
            node: LockFile::ROOT,
            path: &Vec::new(),
            old: (!flags.recreate).then(|| (Rc::new(old.clone()), LockFile::ROOT)),
            follows_prefix: &Vec::new(),
            dir: &flake.dir,
            is_trusted: false,
        };
        locker.lock(&flake.inputs, &place).trace(Pos::NONE, doing)?;
        locker.warn_about_unused();
        locker.file.check().map_err(crate::Error::from).trace(Pos::NONE, doing)?;
        Ok(Locked {
            resolved: flake.resolved,
            locked: flake.locked,
            description: flake.description,
            old,
            file: locker.file,
            is_changed: false,
            dir: flake.dir,
            dirs: locker.dirs,
        })
    }

    /// Fetches a flake and reads its `flake.nix`.
    fn get_flake(
        &self,
        reference: &FlakeRef,
        lock_root: &InputPath,
        registries: Registries,
    ) -> Result<Flake> {
        let resolved = self.resolve_flake(reference, registries)?;
        let mut fetched = self.fetch_tree(&resolved.input, Pos::NONE)?;
        let mut dir = self.flake_dir(&fetched.path, &resolved.dir);
        let mut flake = self.read_flake(&dir, &resolved, lock_root)?;
        let mut wanted = fetched.locked.clone();
        for (name, value) in &flake.self_attrs {
            if !["submodules", "lfs"].contains(&name.as_str()) {
                bail!(Other, "flake 'self' attribute '{name}' is not supported");
            }
            wanted.attrs.insert(name.clone(), value.clone());
        }
        if wanted != fetched.locked {
            wanted.attrs.remove("narHash");
            wanted.attrs.remove("__final");
            fetched = self.fetch_tree(&wanted, Pos::NONE)?;
            dir = self.flake_dir(&fetched.path, &resolved.dir);
            flake = self.read_flake(&dir, &resolved, lock_root)?;
        }
        flake.locked = FlakeRef { input: fetched.locked, dir: resolved.dir.clone() };
        Ok(flake)
    }

    /// What a name in a registry stands for; anything else is itself.
    pub(crate) fn resolve_flake(
        &self,
        reference: &FlakeRef,
        registries: Registries,
    ) -> Result<FlakeRef> {
        if reference.input.scheme != Some(Scheme::Indirect) {
            return Ok(reference.clone());
        }
        let found = self.world.lookup_flake(&reference.input, registries);
        match found.map_err(|error| self.world_error(error, Pos::NONE))? {
            Some(mut found) => {
                if found.dir.is_empty() {
                    found.dir.clone_from(&reference.dir);
                }
                Ok(found)
            }
            None => Err(err!(
                World,
                "cannot find flake '{}' in the flake registries",
                reference.input.show();
                hint: "name the place itself: 'github:owner/repo', 'path:/dir', 'git+https://...'"
            )),
        }
    }

    fn flake_dir(&self, tree: &StorePath, dir: &str) -> String {
        let path = format!("{}/{dir}", self.world.store_dir().print(tree));
        String::from_utf8_lossy(&canonical_path(path.as_bytes())).into_owned()
    }

    fn read_lock_file(&self, dir: &str) -> Result<LockFile> {
        let path = format!("{dir}/flake.lock");
        let fail = |error| self.world_error(error, Pos::NONE);
        match self.world.file_kind(path.as_bytes()).map_err(fail)? {
            None => Ok(LockFile::default()),
            Some(FileKind::Symlink) => {
                let real =
                    self.resolve_path(self.heap.bytes(path.as_bytes()), Pos::NONE)?;
                let text = self.world.read_file(real).map_err(fail)?;
                Ok(LockFile::parse(&text, &path)?)
            }
            Some(_) => {
                let text = self.world.read_file(path.as_bytes()).map_err(fail)?;
                Ok(LockFile::parse(&text, &path)?)
            }
        }
    }

    // ---- calling --------------------------------------------------------------------------------

    /// The value of a flake: what its `outputs` give, with `inputs`, `outputs`, `sourceInfo` and so on.
    ///
    /// # Errors
    /// The flake's outputs cannot be evaluated.
    pub fn call_flake(&self, flake: &Locked) -> Result<Value<'h>> {
        let (_, keys) = flake.file.to_json();
        let mut nodes = AttrsBuilder::new();
        for (node, key) in &keys {
            let value = self.node_value(flake, *node, &keys)?;
            nodes.insert(self.symbol(key.as_bytes()), value);
        }
        let fetch = Value::Builtin(&crate::builtins::FETCH_FINAL_TREE);
        let arguments = self.attrs(&[
            (self.symbol(b"nodes"), Value::Attrs(nodes.finish(self.heap))),
            (self.symbol(b"root"), self.string(keys[&LockFile::ROOT].as_bytes())),
            (self.symbol(b"fetch"), fetch),
        ]);
        let file = self.heap.concat(&[crate::internal::DIR, b"/call-flake.nix"]);
        let function = self.import_file(file, Pos::NONE)?;
        self.call(function, &[arguments], Pos::NONE)
    }

    fn node_value(
        &self,
        flake: &Locked,
        node: NodeId,
        keys: &BTreeMap<NodeId, String>,
    ) -> Result<Value<'h>> {
        let mut attrs = AttrsBuilder::new();
        let mut add =
            |name: &str, value| attrs.insert(self.symbol(name.as_bytes()), value);
        let key_of = |path: &[String]| -> Result<Value<'h>> {
            match flake.file.find(path)?.and_then(|node| keys.get(&node)) {
                Some(key) => Ok(self.string(key.as_bytes())),
                None => bail!(Other, "there is no flake input '{}'", path.join("/")),
            }
        };
        let mut inputs = AttrsBuilder::new();
        for (name, edge) in &flake.file.nodes[node].inputs {
            let key = match edge {
                Edge::Node(child) => self.string(keys[child].as_bytes()),
                Edge::Follows(path) => key_of(path)?,
            };
            inputs.insert(self.symbol(name.as_bytes()), key);
        }
        add("inputs", Value::Attrs(inputs.finish(self.heap)));
        let locked = flake.file.nodes[node].locked.as_ref();
        let reference = locked.map_or(&flake.locked, |locked| &locked.locked);
        let mut subdir = reference.dir.clone();
        let relative = locked.and_then(|_| reference.input.relative_path());
        if let Some(dir) = flake.dirs.get(&node) {
            let (tree, rest) =
                self.world.store_dir().parse_path_within(dir.as_bytes())?;
            subdir = String::from_utf8_lossy(rest).trim_start_matches('/').to_owned();
            let shape = TreeShape {
                hide_rev: locked.is_none() && flake.is_changed,
                ..TreeShape::default()
            };
            add("source", self.tree_value(&tree, &reference.input, shape)?);
        } else if let Some(path) = relative {
            let parent =
                locked.and_then(|locked| locked.parent.as_deref()).unwrap_or_default();
            add("parent", key_of(parent)?);
            let tail = if path.is_empty() { String::new() } else { format!("/{path}") };
            add("relative", self.string(tail.as_bytes()));
        } else {
            add("locked", self.input_value(&reference.input.attrs));
        }
        let tail = if subdir.is_empty() { String::new() } else { format!("/{subdir}") };
        add("dir", self.string(tail.as_bytes()));
        add("isFlake", Value::Bool(locked.is_none_or(|locked| locked.is_flake)));
        Ok(Value::Attrs(attrs.finish(self.heap)))
    }

    /// The attributes of an input as a set.
    pub(crate) fn input_value(&self, attrs: &InputAttrs) -> Value<'h> {
        let mut builder = AttrsBuilder::with_capacity(attrs.len());
        for (name, value) in attrs {
            let value = match value {
                InputValue::Text(text) => self.string(text.as_bytes()),
                InputValue::Number(number) => {
                    Value::Int(i64::try_from(*number).unwrap_or(i64::MAX))
                }
                InputValue::Bool(bool) => Value::Bool(*bool),
            };
            builder.insert(self.symbol(name.as_bytes()), value);
        }
        Value::Attrs(builder.finish(self.heap))
    }
}

impl Locker<'_, '_> {
    fn lock(&mut self, inputs: &FlakeInputs, place: &Place<'_>) -> Result<()> {
        for (name, input) in inputs {
            self.add_overrides(input, &joined(place.path, name), place);
        }
        for path in self.overrides.keys() {
            if let Some((name, parent)) = path.split_last()
                && parent == place.path.as_slice()
                && !inputs.contains_key(name)
            {
                self.ev.warn(&format!(
                    "input '{}' has an override for a non-existent input '{name}'",
                    parent.join("/")
                ));
            }
        }
        for (name, input) in inputs {
            let path = joined(place.path, name);
            let doing = || format!("while updating the flake input '{}'", path.join("/"));
            self.ev
                .with_stack(|| self.lock_input(name, input, &path, place))
                .trace(Pos::NONE, doing)?;
        }
        Ok(())
    }

    fn add_overrides(&mut self, input: &FlakeInput, path: &InputPath, place: &Place<'_>) {
        for (name, nested) in &input.overrides {
            let path = joined(path, name);
            if nested.reference.is_some() || nested.follows.is_some() {
                self.overrides.entry(path.clone()).or_insert_with(|| Override {
                    input: nested.clone(),
                    dir: place.dir.to_owned(),
                    parent: Some(place.path.clone()),
                });
            }
            self.add_overrides(nested, &path, place);
        }
    }

    fn lock_input(
        &mut self,
        name: &str,
        own: &FlakeInput,
        path: &InputPath,
        place: &Place<'_>,
    ) -> Result<()> {
        let found = self.overrides.get(path).cloned();
        let (mut input, dir, parent) = match found {
            Some(Override { input, dir, parent }) => {
                self.used.insert(path.clone());
                (input, dir, parent)
            }
            None => (own.clone(), place.dir.to_owned(), Some(place.path.clone())),
        };
        input.is_flake = own.is_flake;
        if let Some(target) = input.follows {
            self.file.nodes[place.node]
                .inputs
                .insert(name.to_owned(), Edge::Follows(target));
            return Ok(());
        }
        self.used.insert(path.clone());
        let reference = match input.reference {
            Some(reference) => reference,
            None => read::indirect(name)?,
        };
        let parent = parent.filter(|_| reference.input.relative_path().is_some());
        let wanted = Wanted { reference, is_flake: own.is_flake, parent, dir };
        let is_overridden = self.flags.overrides.contains_key(path);
        let old = self.old_lock(name, path, place).filter(|(file, node)| {
            !is_overridden
                && file.nodes[*node].locked.as_ref().is_some_and(|old| {
                    old.original.canonical() == wanted.reference.canonical()
                        && old.parent == wanted.parent
                })
        });
        match old {
            Some(old) => self.keep(name, path, place, &wanted, old),
            None => {
                let original = match &own.reference {
                    Some(reference) if is_overridden => reference.clone(),
                    _ => wanted.reference.clone(),
                };
                self.lock_anew(name, path, place, &wanted, original)
            }
        }
    }

    /// The node of an input in the old lock file, unless it is to be updated.
    fn old_lock(
        &self,
        name: &str,
        path: &InputPath,
        place: &Place<'_>,
    ) -> Option<(Rc<LockFile>, NodeId)> {
        let (file, node) = place.old.as_ref()?;
        if self.flags.updates.contains(path) {
            return None;
        }
        match file.nodes[*node].inputs.get(name) {
            Some(Edge::Node(child)) => Some((file.clone(), *child)),
            _ => None,
        }
    }

    /// Takes an input over from the old lock file.
    fn keep(
        &mut self,
        name: &str,
        path: &InputPath,
        place: &Place<'_>,
        wanted: &Wanted,
        old: (Rc<LockFile>, NodeId),
    ) -> Result<()> {
        let (file, old_node) = &old;
        let Some(locked) = file.nodes[*old_node].locked.clone() else { return Ok(()) };
        let node = self.file.add(locked.clone());
        self.file.nodes[place.node].inputs.insert(name.to_owned(), Edge::Node(node));
        let is_inside =
            |update: &InputPath| update.len() > path.len() && update.starts_with(path);
        let mut must_fetch = self.flags.updates.iter().any(is_inside);
        let mut inputs = FlakeInputs::new();
        for (child, edge) in &file.nodes[*old_node].inputs {
            let input = match edge {
                Edge::Node(child) => {
                    let child = file.nodes[*child].locked.as_ref();
                    FlakeInput {
                        reference: child.map(|child| child.original.clone()),
                        is_flake: child.is_none_or(|child| child.is_flake),
                        ..FlakeInput::default()
                    }
                }
                Edge::Follows(target) => {
                    // Without the override that it came from, the input may have changed.
                    let is_known = self.overrides.contains_key(&joined(path, child));
                    must_fetch |= !place.is_trusted && !is_known;
                    let follows = [place.follows_prefix.as_slice(), target].concat();
                    FlakeInput { follows: Some(follows), ..FlakeInput::default() }
                }
            };
            inputs.insert(child.clone(), input);
        }
        if !must_fetch {
            let place = Place {
                node,
                path,
                old: Some(old.clone()),
                follows_prefix: place.follows_prefix,
                dir: place.dir,
                is_trusted: true,
            };
            return self.lock(&inputs, &place);
        }
        let reference = locked.locked.clone();
        let flake = self.input_flake(&Wanted { reference, ..wanted.clone() }, path)?;
        self.dirs.insert(node, flake.dir.clone());
        let place = Place {
            node,
            path,
            old: Some(old.clone()),
            follows_prefix: place.follows_prefix,
            dir: &flake.dir,
            is_trusted: false,
        };
        self.lock(&flake.inputs, &place)
    }

    /// Fetches an input and locks it.
    fn lock_anew(
        &mut self,
        name: &str,
        path: &InputPath,
        place: &Place<'_>,
        wanted: &Wanted,
        original: FlakeRef,
    ) -> Result<()> {
        let Wanted { reference, is_flake, parent, .. } = wanted;
        let is_relative = reference.input.relative_path().is_some();
        if self.flags.only_locked && !reference.input.is_locked() && !is_relative {
            bail!(
                World,
                "cannot update unlocked flake input '{}' in pure mode",
                path.join("/")
            );
        }
        let (is_flake, parent) = (*is_flake, parent.clone());
        if !is_flake {
            let (locked, dir) = self.plain_tree(wanted, path)?;
            let node = self.file.add(LockedNode { locked, original, is_flake, parent });
            self.dirs.insert(node, dir);
            self.file.nodes[place.node].inputs.insert(name.to_owned(), Edge::Node(node));
            return Ok(());
        }
        let flake = self.input_flake(wanted, path)?;
        let locked = flake.locked.clone();
        let node = self.file.add(LockedNode { locked, original, is_flake, parent });
        self.file.nodes[place.node].inputs.insert(name.to_owned(), Edge::Node(node));
        if self.parents.contains(reference) {
            bail!(Other, "found circular import of flake '{}'", reference.show());
        }
        self.parents.push(reference.clone());
        self.dirs.insert(node, flake.dir.clone());
        let old = self.ev.read_lock_file(&flake.dir)?;
        let place = Place {
            node,
            path,
            old: Some((Rc::new(old), LockFile::ROOT)),
            follows_prefix: path,
            dir: &flake.dir,
            is_trusted: false,
        };
        let result = self.lock(&flake.inputs, &place);
        self.parents.pop();
        result
    }

    /// The flake that an input is.
    fn input_flake(&self, wanted: &Wanted, path: &InputPath) -> Result<Flake> {
        let reference = &wanted.reference;
        match wanted.relative_dir(self.ev)? {
            Some(dir) => {
                let dir = canonical_path(format!("{dir}/{}", reference.dir).as_bytes());
                self.ev.read_flake(&String::from_utf8_lossy(&dir), reference, path)
            }
            None => self.ev.get_flake(reference, path, self.registries(path)),
        }
    }

    /// The tree that an input is which is no flake.
    fn plain_tree(
        &self,
        wanted: &Wanted,
        path: &InputPath,
    ) -> Result<(FlakeRef, String)> {
        if let Some(dir) = wanted.relative_dir(self.ev)? {
            return Ok((wanted.reference.clone(), dir));
        }
        let resolved = self.ev.resolve_flake(&wanted.reference, self.registries(path))?;
        let fetched = self.ev.fetch_tree(&resolved.input, Pos::NONE)?;
        let dir = self.ev.flake_dir(&fetched.path, "");
        Ok((FlakeRef { input: fetched.locked, dir: wanted.reference.dir.clone() }, dir))
    }

    /// Where the name of an input is looked up: what the user said in person may be the user's own.
    fn registries(&self, path: &InputPath) -> Registries {
        if self.flags.overrides.contains_key(path) {
            Registries::All
        } else {
            Registries::Global
        }
    }

    fn warn_about_unused(&self) {
        for (path, reference) in &self.flags.overrides {
            if !self.used.contains(path) {
                self.ev.warn(&format!(
                    "the flag '--override-input {} {}' does not match any input",
                    path.join("/"),
                    reference.show()
                ));
            }
        }
        for path in &self.flags.updates {
            if !self.used.contains(path) {
                let path = path.join("/");
                self.ev.warn(&format!("'{path}' does not match any input of this flake"));
            }
        }
    }
}

/// What an input shall be.
#[derive(Clone)]
struct Wanted {
    reference: FlakeRef,
    is_flake: bool,
    /// The flake that a relative path is relative to.
    parent: Option<InputPath>,
    /// Its directory.
    dir: String,
}

impl Wanted {
    /// The directory that a relative path means; it must lie in the tree of the flake that names it.
    fn relative_dir(&self, ev: &Evaluator<'_>) -> Result<Option<String>> {
        let Some(path) = self.reference.input.relative_path() else { return Ok(None) };
        let dir = canonical_path(format!("{}/{path}", self.dir).as_bytes());
        let store_dir = ev.world.store_dir();
        let (tree, _) = store_dir.parse_path_within(self.dir.as_bytes())?;
        match store_dir.parse_path_within(&dir) {
            Ok((found, _)) if found == tree => {
                Ok(Some(String::from_utf8_lossy(&dir).into_owned()))
            }
            _ => bail!(
                World,
                "flake input '{path}' leads out of the tree of the flake in '{}'",
                self.dir
            ),
        }
    }
}

fn joined(path: &InputPath, name: &str) -> InputPath {
    let mut joined = path.clone();
    joined.push(name.to_owned());
    joined
}

impl Input {
    /// The names by which a registry knows an indirect input.
    #[must_use]
    pub fn registry_id(&self) -> Option<&str> {
        self.text("id").filter(|_| self.scheme == Some(Scheme::Indirect))
    }
}
