//! Files as programs: `import`, `scopedImport`, expressions from the command line; and the base scope.

use std::cell::OnceCell;

use crate::bail;
use crate::builtins::{Builtin, Scope as BuiltinScope, imported_derivation};
use crate::err;
use crate::error::{At, Result};
use crate::evaluator::{BaseScope, Evaluator, Map};
use crate::expr::{Expr, ExprKind};
use crate::internal;
use crate::lower::{Scope, lower};
use crate::pos::Pos;
use crate::source::Origin;
use crate::symbol::{Symbol, Symbols, sym};
use crate::value::{Attrs, AttrsBuilder, Env, PathId, Thunk, Value};
use crate::world::FileKind;

/// The version of Nix whose language this is: `builtins.nixVersion`.
pub const NIX_VERSION: &str = "2.34.8";
/// `builtins.langVersion`
const LANGUAGE_VERSION: i64 = 6;
/// The most symbolic links that one path may lead over.
const MAX_LINKS: usize = 1024;

/// The table of this file.
pub(crate) const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "import",
        parameters: &["path"],
        scope: BuiltinScope::Plain,
        doc: "Loads, parses and evaluates the file at *path*, or `default.nix` in the directory \
              there. A file is evaluated once, however often it is imported.",
        function: import,
    },
    Builtin {
        name: "scopedImport",
        parameters: &["scope", "path"],
        scope: BuiltinScope::Plain,
        doc: "Like `import`, but the attributes of *scope* are variables in the file, and the file \
              is evaluated anew each time.",
        function: scoped_import,
    },
];

fn import<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to builtins.import";
    let path = ev.readable_path(args[0], pos, doing)?;
    // A store derivation is no program, but a value of its own.
    match ev.world.store_dir().parse_path_within(path) {
        Ok((object, b"")) if object.is_derivation() => {
            imported_derivation(ev, &object, pos)
        }
        _ => ev.import_file(path, pos),
    }
}

fn scoped_import<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to builtins.scopedImport";
    let scope = ev.expect_attrs(args[0], pos, doing)?;
    let doing = "while evaluating the second argument passed to builtins.scopedImport";
    let path = ev.readable_path(args[1], pos, doing)?;
    let path = ev.program_path(path, pos)?;
    let (shape, slots) = scope.parts(ev.heap);
    let env = ev.heap.scope(slots.len(), Some(ev.top_env()));
    for (variable, slot) in env.slots().iter().zip(slots) {
        variable.set(slot.get().peek(), ev.heap);
    }
    let expr =
        ev.lower_file(path, vec![Scope::Nameless, Scope::Sorted(shape.names)], pos)?;
    ev.eval(expr, env)
}

impl<'h> Evaluator<'h> {
    /// The scope around every program: it has no slots, because base variables are constants.
    pub(crate) fn top_env(&self) -> Env<'h> {
        self.heap.scope(0, None)
    }

    /// Evaluates the file at an absolute path, or `default.nix` in the directory there, once.
    ///
    /// # Errors
    /// The file cannot be read, or its evaluation fails.
    pub fn import_file(&self, path: &'h [u8], pos: Pos) -> Result<Value<'h>> {
        if let Some(value) = self.imports.borrow().get(path) {
            return self.force(*value);
        }
        let resolved = self.program_path(path, pos)?;
        let known = self.imports.borrow().get(resolved).copied();
        let value = match known.or_else(|| self.imported_elsewhere(resolved)) {
            Some(value) => value,
            None => {
                let expr = self.lower_file(resolved, vec![Scope::Nameless], pos)?;
                self.check_doubts()?;
                let thunk = self.heap.thunk(Thunk::suspended(expr, self.top_env()));
                match self.common_imports.lock() {
                    // Another thread may have been faster.
                    Some(mut all) => *all.entry(resolved).or_insert(Value::Thunk(thunk)),
                    None => Value::Thunk(thunk),
                }
            }
        };
        let mut imports = self.imports.borrow_mut();
        imports.insert(resolved, value);
        imports.insert(path, value);
        drop(imports);
        self.force(value)
    }

    /// The value of a file that another thread has imported.
    fn imported_elsewhere(&self, path: &[u8]) -> Option<Value<'h>> {
        self.common_imports.lock()?.get(path).copied()
    }

    /// The value of a file that must be a set as it is written, such as `flake.nix`; none if it is not.
    pub(crate) fn import_literal_set(
        &self,
        path: &'h [u8],
    ) -> Result<Option<&'h Attrs<'h>>> {
        let value = if self.imports.borrow().contains_key(path) {
            self.import_file(path, Pos::NONE)?
        } else {
            let resolved = self.program_path(path, Pos::NONE)?;
            let expr = self.lower_file(resolved, vec![Scope::Nameless], Pos::NONE)?;
            if !matches!(expr.kind, ExprKind::Attrs(_)) {
                return Ok(None);
            }
            let value = self.eval(expr, self.top_env())?;
            self.imports.borrow_mut().insert(path, value);
            value
        };
        Ok(match value {
            Value::Attrs(attrs) => Some(attrs),
            _ => None,
        })
    }

    /// Evaluates a text, such as the argument of `-E`; relative paths in it are relative to `base_dir`.
    ///
    /// # Errors
    /// The text does not parse, or its evaluation fails.
    pub fn eval_text(
        &self,
        text: &[u8],
        base_dir: &[u8],
        origin: Origin<'h>,
    ) -> Result<Value<'h>> {
        self.force(self.delay_text(text, base_dir, origin)?)
    }

    /// As [`Self::eval_text`], but the text is only parsed, and evaluated when its value is needed.
    ///
    /// # Errors
    /// The text does not parse, or names a variable that is nowhere bound.
    pub fn delay_text(
        &self,
        text: &[u8],
        base_dir: &[u8],
        origin: Origin<'h>,
    ) -> Result<Value<'h>> {
        let Some(source) =
            self.sources.add(origin, self.heap.immortal(|| self.heap.bytes(text)))
        else {
            bail!(Other, "the source texts of this evaluation exceed 4 GiB");
        };
        let base_dir = self.heap.immortal(|| self.heap.bytes(base_dir));
        let expr = lower(self, source, base_dir, vec![Scope::Nameless])?;
        Ok(Value::Thunk(self.heap.thunk(Thunk::suspended(expr, self.top_env()))))
    }

    fn lower_file(
        &self,
        path: &'h [u8],
        scopes: Vec<Scope<'h>>,
        pos: Pos,
    ) -> Result<&'h Expr<'h>> {
        let text = match internal::file(path) {
            Some(text) => text,
            None => {
                let text = self.world.read_file(path);
                let text = text.map_err(|error| self.world_error(error, pos))?;
                self.heap.immortal(|| self.heap.bytes(&text))
            }
        };
        let path = self.heap.immortal(|| self.heap.bytes(path));
        let Some(source) = self.sources.add(Origin::File(path), text) else {
            bail!(pos => Other, "the source texts of this evaluation exceed 4 GiB");
        };
        let base_dir = source.directory().unwrap_or(b"/");
        lower(self, source, base_dir, scopes)
    }

    /// The file that `import path` reads: links to it followed, `default.nix` added to a directory.
    pub(crate) fn program_path(&self, path: &'h [u8], pos: Pos) -> Result<&'h [u8]> {
        if internal::file(path).is_some() {
            return Ok(path);
        }
        // Directories on the way may be links and stay as they were written: relative paths in the file are
        // relative to them.
        let mut path = path;
        let mut links = 0;
        let kind = loop {
            let place = self.resolve_ancestors(path, pos)?;
            let kind = self.kind_of(place, pos)?;
            if kind != Some(FileKind::Symlink) {
                break kind;
            }
            links += 1;
            if links > MAX_LINKS {
                let text = String::from_utf8_lossy(path);
                bail!(pos => World, "infinite symlink recursion in path '{text}'");
            }
            path = self.follow(place, path, pos)?;
        };
        match kind {
            Some(FileKind::Directory) => Ok(self.heap.concat(&[path, b"/default.nix"])),
            _ => Ok(path),
        }
    }

    fn kind_of(&self, path: &[u8], pos: Pos) -> Result<Option<FileKind>> {
        match self.world.file_kind(path) {
            // What may not be seen is no link; reading it will fail.
            Err(error) if error.is_forbidden => Ok(None),
            kind => kind.map_err(|error| self.world_error(error, pos)),
        }
    }

    /// Resolves every symbolic link in a canonical path.
    ///
    /// # Errors
    /// There are more than 1024 links on the way, or the outside refuses.
    pub fn resolve_path(&self, path: &'h [u8], pos: Pos) -> Result<&'h [u8]> {
        let mut path = path;
        for _ in 0..MAX_LINKS {
            path = self.resolve_ancestors(path, pos)?;
            if self.kind_of(path, pos)? != Some(FileKind::Symlink) {
                return Ok(path);
            }
            path = self.follow(path, path, pos)?;
        }
        let text = String::from_utf8_lossy(path);
        Err(err!(World, "infinite symlink recursion in path '{text}'").at(pos))
    }

    /// Resolves every symbolic link in a canonical path but one in its last component.
    ///
    /// # Errors
    /// See [`Self::resolve_path`].
    pub fn resolve_ancestors(&self, path: &'h [u8], pos: Pos) -> Result<&'h [u8]> {
        let Some(slash) = memchr::memrchr(b'/', path).filter(|slash| *slash > 0) else {
            return Ok(path);
        };
        let (parent, name) = path.split_at(slash);
        let known = self.resolved_dirs.borrow().get(parent).copied();
        let resolved = match known {
            Some(resolved) => resolved,
            None => {
                let resolved = self.with_stack(|| self.resolve_path(parent, pos))?;
                self.resolved_dirs.borrow_mut().insert(parent, resolved);
                resolved
            }
        };
        if std::ptr::eq(resolved, parent) || resolved == parent {
            return Ok(path);
        }
        Ok(self.heap.concat(&[if resolved == b"/" { b"" } else { resolved }, name]))
    }

    /// What the link at `link` leads to from `from`, which names the same link.
    fn follow(&self, link: &[u8], from: &[u8], pos: Pos) -> Result<&'h [u8]> {
        let target =
            self.world.read_link(link).map_err(|error| self.world_error(error, pos))?;
        let absolute = if target.starts_with(b"/") {
            target
        } else {
            let parent = memchr::memrchr(b'/', from).unwrap_or(0);
            [&from[..parent], b"/", &target].concat()
        };
        Ok(self.heap.bytes(&crate::coerce::canonical_path(&absolute)))
    }

    /// The store path that a context element names, printed; made once.
    pub fn print_store_path(&self, id: PathId) -> &'h [u8] {
        let known = self.printed_paths.borrow().get(&id).copied();
        if let Some(printed) = known {
            return printed;
        }
        let path = self.store_path(id);
        let printed = self.heap.bytes(self.world.store_dir().print(&path).as_bytes());
        self.printed_paths.borrow_mut().insert(id, printed);
        printed
    }

    // ---- the base scope -------------------------------------------------------------------------

    pub(crate) fn base_scope(&self) -> &BaseScope<'h> {
        self.base.get_or_init(|| self.heap.immortal(|| self.make_base_scope()))
    }

    /// The set `builtins`.
    pub fn builtins(&self) -> Value<'h> {
        self.base_scope().builtins
    }

    /// The names of the variables that every program sees, but those that begin with two underscores.
    pub fn base_names(&self) -> Vec<String> {
        let names = self.base_scope().sorted_names(&self.symbols).into_iter();
        names
            .map(|name| self.symbols.text(name))
            .filter(|name| !name.starts_with("__"))
            .collect()
    }

    fn make_base_scope(&self) -> BaseScope<'h> {
        // All is at hand (no evaluation).
        let mut variables: Map<Symbol, Value<'h>> = Map::default();
        let mut builtins = AttrsBuilder::with_capacity(160);
        for builtin in crate::builtins::all() {
            let is_hidden = crate::builtins::feature_of(builtin)
                .is_some_and(|feature| !self.settings.features.has(feature));
            if is_hidden {
                continue;
            }
            let value = Value::Builtin(builtin);
            builtins.insert(self.symbol(builtin.name.as_bytes()), value);
            let global = match builtin.scope {
                BuiltinScope::Plain => builtin.name.to_owned(),
                BuiltinScope::Prefixed => format!("__{}", builtin.name),
            };
            variables.insert(self.symbol(global.as_bytes()), value);
        }
        for (name, value, scope) in self.constants() {
            builtins.insert(self.symbol(name.as_bytes()), value);
            let global = match scope {
                BuiltinScope::Plain => name.to_owned(),
                BuiltinScope::Prefixed => format!("__{name}"),
            };
            variables.insert(self.symbol(global.as_bytes()), value);
        }
        // `builtins.builtins` is the set itself.
        let own_name = self.symbol(b"builtins");
        builtins.insert(own_name, Value::Null);
        let attrs = builtins.finish(self.heap);
        let builtins = Value::Attrs(attrs);
        if let Some(slot) = attrs.get(own_name) {
            slot.set(builtins, self.heap);
        }
        variables.insert(self.symbol(b"builtins"), builtins);
        BaseScope { variables, builtins, names: OnceCell::new() }
    }

    // The base scope is made of what is at hand (no evaluation).
    fn constants(&self) -> Vec<(&'static str, Value<'h>, BuiltinScope)> {
        use BuiltinScope::{Plain, Prefixed};
        let store_dir = self.world.store_dir().to_string();
        let mut constants = vec![
            ("true", Value::Bool(true), Plain),
            ("false", Value::Bool(false), Plain),
            ("null", Value::Null, Plain),
            ("nixVersion", self.string(NIX_VERSION.as_bytes()), Prefixed),
            ("langVersion", Value::Int(LANGUAGE_VERSION), Prefixed),
            ("storeDir", self.string(store_dir.as_bytes()), Prefixed),
            ("nixPath", self.nix_path(), Prefixed),
        ];
        if let Some(time) = self.world.current_time() {
            constants.push(("currentTime", Value::Int(time), Prefixed));
        }
        if let Some(system) = self.world.current_system() {
            constants.push(("currentSystem", self.string(system.as_bytes()), Prefixed));
        }
        constants
    }

    fn nix_path(&self) -> Value<'h> {
        let entries = self.settings.search_path.iter().map(|(prefix, path)| {
            self.attrs(&[
                (sym::PATH, self.string(path)),
                (sym::PREFIX, self.string(prefix)),
            ])
        });
        self.list(&entries.collect::<Vec<_>>())
    }

    /// Looks attributes up one after the other, as `-A a.b.0.c` does; numbers index lists. Functions on the way
    /// are called with `arguments`, but one at the end is left to the caller, as in Nix.
    ///
    /// # Errors
    /// Something on the way is missing or no set.
    pub fn select_path(
        &self,
        value: Value<'h>,
        path: &[&[u8]],
        arguments: &'h Attrs<'h>,
    ) -> Result<Value<'h>> {
        let shown = || String::from_utf8_lossy(&path.join(&b'.')).into_owned();
        let mut value = value;
        for name in path {
            value = self.auto_call(value, arguments)?;
            let text = String::from_utf8_lossy(name);
            let index: Option<usize> = text.parse().ok();
            value = match (value, index) {
                (Value::List(list), Some(index)) => match list.items.get(index) {
                    Some(slot) => self.force_slot(slot)?,
                    None => bail!(
                        Missing,
                        "list index {index} in selection path '{}' is out of range",
                        shown()
                    ),
                },
                (Value::Attrs(attrs), _) => match attrs.get(self.symbol(name)) {
                    Some(slot) => self.force_slot(slot).trace(Pos::NONE, || {
                        format!("while evaluating the attribute '{text}'")
                    })?,
                    None => {
                        let names = attrs
                            .iter(self.heap)
                            .map(|attr| self.symbols.text(attr.name));
                        let similar = crate::report::similar_names(&text, names);
                        return Err(err!(
                            Missing,
                            "attribute '{text}' in selection path '{}' not found",
                            shown()
                        )
                        .suggest(similar));
                    }
                },
                (other, _) => bail!(
                    Type,
                    "the expression selected by the selection path '{}' should be a set but is {}",
                    shown(),
                    other.type_phrase()
                ),
            };
        }
        self.force(value)
    }
}

impl BaseScope<'_> {
    /// The names in alphabetical order, for "did you mean".
    pub(crate) fn sorted_names(&self, symbols: &Symbols<'_>) -> Vec<Symbol> {
        let names = self.names.get_or_init(|| {
            let mut names: Vec<Symbol> = self.variables.keys().copied().collect();
            names.sort_by_key(|name| symbols.text(*name));
            names
        });
        names.clone()
    }
}
