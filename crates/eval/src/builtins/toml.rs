//! `fromTOML`: TOML 1.0, as strictly as Nix's parser reads it.
//!
//! Tables can be added to until the end of the text, so they are collected first and become values then. `scan`
//! knows what keys and scalars look like. Messages have the layout of Nix's TOML library, not all of its words.

mod scan;

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use self::scan::{Problem, Scalar, Scanner};
use super::json::nul_error;
use super::{Builtin, Scope};
use crate::error::Result;
use crate::evaluator::Evaluator;
use crate::features::Feature;
use crate::pos::Pos;
use crate::symbol::Symbol;
use crate::value::{AttrsBuilder, Value};
use crate::{bail, err};

pub(super) const BUILTINS: &[Builtin] = &[Builtin {
    name: "fromTOML",
    parameters: &["e"],
    scope: Scope::Plain,
    doc: "The set that a TOML text stands for. Dates and times are an error, unless the \
          experimental feature `parse-toml-timestamps` is on.",
    function: from_toml,
}];

fn from_toml<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = "while evaluating the argument passed to builtins.fromTOML";
    let text = ev.expect_plain_string(args[0], pos, doing)?;
    let mut parser = Parser { ev, scanner: Scanner::new(text), depth: 0 };
    match parser.document() {
        Ok(table) => table_value(ev, table),
        Err(problem) => Err(err!(Other, "while parsing TOML: {}", problem.report(text))),
    }
}

/// How deep arrays and inline tables may be nested, and how long a dotted key may be.
const MAX_DEPTH: usize = 500;

/// What a key stands for.
enum Item<'h> {
    Scalar(Scalar<'h>),
    /// An array as a value: nothing can be added to it.
    Array(Vec<Item<'h>>),
    Table(Table<'h>),
    /// An array whose tables have headers of their own.
    Tables(Vec<Table<'h>>),
}

/// How a table came to be, which decides what may be added to it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// By the header of a table in it.
    Implied,
    /// By its own header.
    Header,
    /// By a dotted key.
    Dotted,
    /// As a value.
    Inline,
}

/// A table in the making.
struct Table<'h> {
    origin: Origin,
    entries: Vec<(Symbol, Item<'h>)>,
    index: HashMap<Symbol, usize, FxBuildHasher>,
}

impl<'h> Table<'h> {
    fn new(origin: Origin) -> Self {
        Self { origin, entries: Vec::new(), index: HashMap::default() }
    }

    fn get(&mut self, name: Symbol) -> Option<&mut Item<'h>> {
        let index = *self.index.get(&name)?;
        Some(&mut self.entries[index].1)
    }

    fn insert(&mut self, name: Symbol, item: Item<'h>) -> &mut Item<'h> {
        self.index.insert(name, self.entries.len());
        self.entries.push((name, item));
        let last = self.entries.len() - 1;
        &mut self.entries[last].1
    }
}

/// A dotted key, and where it stands.
struct Key {
    names: Vec<Symbol>,
    at: usize,
}

struct Parser<'e, 'h> {
    ev: &'e Evaluator<'h>,
    scanner: Scanner<'h>,
    depth: usize,
}

type Parsed<T> = std::result::Result<T, Problem>;

impl<'h> Parser<'_, 'h> {
    fn document(&mut self) -> Parsed<Table<'h>> {
        let mut root = Table::new(Origin::Header);
        self.body(&mut root)?;
        while self.scanner.peek() == Some(b'[') {
            let at = self.scanner.at;
            self.scanner.at += 1;
            let in_array = self.scanner.take(b"[");
            self.scanner.blanks();
            let key = self.key()?;
            self.scanner.blanks();
            let close: &[u8] = if in_array { b"]]" } else { b"]" };
            if !self.scanner.take(close) {
                return Err(self
                    .scanner
                    .problem("a table's header must end with its brackets"));
            }
            self.scanner.end_of_line()?;
            let key = Key { names: key.names, at };
            let table = if in_array {
                open_in_array(&mut root, &key)?
            } else {
                open(&mut root, &key)?
            };
            self.body(table)?;
        }
        match self.scanner.peek() {
            None => Ok(root),
            Some(_) => Err(self.scanner.problem("a key or a table's header is expected")),
        }
    }

    /// Reads the lines of a table, up to the next header.
    fn body(&mut self, table: &mut Table<'h>) -> Parsed<()> {
        loop {
            self.scanner.empty_lines()?;
            if matches!(self.scanner.peek(), None | Some(b'[')) {
                return Ok(());
            }
            self.pair(table)?;
            self.scanner.blanks();
            // Nix's library lets a header follow on the same line.
            if self.scanner.peek() != Some(b'[') {
                self.scanner.end_of_line()?;
            }
        }
    }

    fn pair(&mut self, table: &mut Table<'h>) -> Parsed<()> {
        let key = self.key()?;
        self.scanner.blanks();
        if !self.scanner.take(b"=") {
            return Err(self.scanner.problem("invalid key value separator `=`"));
        }
        self.scanner.blanks();
        let item = self.value()?;
        insert(table, &key, item)
    }

    fn key(&mut self) -> Parsed<Key> {
        let at = self.scanner.at;
        let mut names = Vec::new();
        loop {
            let name = self.scanner.simple_key()?;
            names.push(self.ev.symbol(&name));
            if names.len() > MAX_DEPTH {
                return Err(self.scanner.problem("the key has too many parts"));
            }
            let end = self.scanner.at;
            self.scanner.blanks();
            if !self.scanner.take(b".") {
                self.scanner.at = end;
                return Ok(Key { names, at });
            }
            self.scanner.blanks();
        }
    }

    fn value(&mut self) -> Parsed<Item<'h>> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.scanner.problem("values are nested too deeply"));
        }
        let item = match self.scanner.peek() {
            Some(b'[') => self.array(),
            Some(b'{') => self.inline_table(),
            _ => self.scanner.scalar(self.ev.heap).map(Item::Scalar),
        };
        self.depth -= 1;
        item
    }

    fn array(&mut self) -> Parsed<Item<'h>> {
        self.scanner.at += 1;
        let mut items = Vec::new();
        loop {
            self.scanner.empty_lines()?;
            if self.scanner.take(b"]") {
                return Ok(Item::Array(items));
            }
            items.push(self.value()?);
            self.scanner.empty_lines()?;
            if !self.scanner.take(b",") && self.scanner.peek() != Some(b']') {
                return Err(self
                    .scanner
                    .problem("expected `,` or the array's closing `]`"));
            }
        }
    }

    fn inline_table(&mut self) -> Parsed<Item<'h>> {
        self.scanner.at += 1;
        let mut table = Table::new(Origin::Inline);
        self.scanner.blanks();
        if self.scanner.take(b"}") {
            return Ok(Item::Table(table));
        }
        loop {
            self.scanner.blanks();
            if self.scanner.peek() == Some(b'}') {
                return Err(self
                    .scanner
                    .problem("trailing comma is not allowed in TOML-v1.0.0"));
            }
            self.pair(&mut table)?;
            self.scanner.blanks();
            if self.scanner.take(b"}") {
                close(&mut table);
                return Ok(Item::Table(table));
            }
            if !self.scanner.take(b",") {
                return Err(self
                    .scanner
                    .problem("expected value-separator `,` or closing `}`"));
            }
        }
    }
}

/// Marks the tables that dotted keys made in an inline table: nothing can be added to them later.
fn close(table: &mut Table<'_>) {
    table.origin = Origin::Inline;
    for (_, item) in &mut table.entries {
        if let Item::Table(inner) = item {
            close(inner);
        }
    }
}

// ---- putting things into tables -----------------------------------------------------------------

/// Puts the value of a dotted key into a table.
fn insert<'h>(mut table: &mut Table<'h>, key: &Key, item: Item<'h>) -> Parsed<()> {
    let (last, path) = key.names.split_last().expect("a key has a name");
    for name in path {
        // Two look-ups, because the borrow of a found entry would outlive the decision.
        if table.get(*name).is_none() {
            table.insert(*name, Item::Table(Table::new(Origin::Dotted)));
        }
        table = match table.get(*name) {
            Some(Item::Table(inner)) => match inner.origin {
                Origin::Dotted => inner,
                Origin::Inline => {
                    return key
                        .problem("failed to insert a value: inline table is immutable");
                }
                Origin::Header | Origin::Implied => {
                    return key.problem("reopening a table using dotted keys");
                }
            },
            _ => return key.problem("failed to insert a value, value already exists"),
        };
    }
    if table.get(*last).is_some() {
        return key.problem("failed to insert a value, value already exists");
    }
    table.insert(*last, item);
    Ok(())
}

/// Finds the table that a header's last name belongs to.
fn descend<'t, 'h>(mut table: &'t mut Table<'h>, key: &Key) -> Parsed<&'t mut Table<'h>> {
    for name in &key.names[..key.names.len() - 1] {
        if table.get(*name).is_none() {
            table.insert(*name, Item::Table(Table::new(Origin::Implied)));
        }
        table = match table.get(*name) {
            Some(Item::Table(inner)) if inner.origin != Origin::Inline => inner,
            Some(Item::Tables(tables)) => {
                tables.last_mut().expect("an array of tables begins with one")
            }
            Some(Item::Table(_)) => {
                return key
                    .problem("failed to insert a value: inline table is immutable");
            }
            _ => return key.problem("failed to insert a value, value already exists"),
        };
    }
    Ok(table)
}

/// Opens the table of a header `[key]`.
fn open<'t, 'h>(root: &'t mut Table<'h>, key: &Key) -> Parsed<&'t mut Table<'h>> {
    let table = descend(root, key)?;
    let last = key.names[key.names.len() - 1];
    if table.get(last).is_none() {
        table.insert(last, Item::Table(Table::new(Origin::Implied)));
    }
    match table.get(last) {
        Some(Item::Table(inner)) if inner.origin == Origin::Implied => {
            inner.origin = Origin::Header;
            Ok(inner)
        }
        Some(Item::Table(_)) => {
            key.problem("failed to insert a table, table already defined")
        }
        _ => key.problem("failed to insert a table, value already exists"),
    }
}

/// Opens a new table of a header `[[key]]`.
fn open_in_array<'t, 'h>(
    root: &'t mut Table<'h>,
    key: &Key,
) -> Parsed<&'t mut Table<'h>> {
    let table = descend(root, key)?;
    let last = key.names[key.names.len() - 1];
    if table.get(last).is_none() {
        table.insert(last, Item::Tables(Vec::new()));
    }
    match table.get(last) {
        Some(Item::Tables(tables)) => {
            tables.push(Table::new(Origin::Header));
            Ok(tables.last_mut().expect("one was pushed"))
        }
        Some(Item::Array(_)) => {
            key.problem("failed to insert a table, inline array of tables is immutable")
        }
        _ => key.problem("failed to insert an array of tables, value already exists"),
    }
}

impl Key {
    fn problem<T>(&self, message: &str) -> Parsed<T> {
        Err(Problem::new(message, self.at))
    }
}

// ---- values -------------------------------------------------------------------------------------

fn table_value<'h>(ev: &Evaluator<'h>, table: Table<'h>) -> Result<Value<'h>> {
    let mut builder = AttrsBuilder::with_capacity(table.entries.len());
    for (name, item) in table.entries {
        let text = ev.symbols.name(name);
        if text.contains(&0) {
            return Err(nul_in_toml(text));
        }
        builder.insert(name, item_value(ev, item)?);
    }
    Ok(Value::Attrs(builder.finish(ev.heap)))
}

fn item_value<'h>(ev: &Evaluator<'h>, item: Item<'h>) -> Result<Value<'h>> {
    Ok(match item {
        Item::Table(table) => table_value(ev, table)?,
        Item::Tables(tables) => {
            let tables = tables.into_iter().map(|table| table_value(ev, table));
            ev.list(&tables.collect::<Result<Vec<_>>>()?)
        }
        Item::Array(items) => {
            let items = items.into_iter().map(|item| item_value(ev, item));
            ev.list(&items.collect::<Result<Vec<_>>>()?)
        }
        Item::Scalar(Scalar::Bool(bool)) => Value::Bool(bool),
        Item::Scalar(Scalar::Int(int)) => Value::Int(int),
        Item::Scalar(Scalar::Float(float)) => Value::Float(float),
        Item::Scalar(Scalar::String(bytes)) if bytes.contains(&0) => {
            return Err(nul_in_toml(bytes));
        }
        Item::Scalar(Scalar::String(bytes)) => ev.string_of(bytes, &[]),
        Item::Scalar(Scalar::Time(time)) => {
            if !ev.settings.features.has(Feature::ParseTomlTimestamps) {
                bail!(Other, "while parsing TOML: Dates and times are not supported");
            }
            ev.attrs(&[
                (ev.symbol(b"_type"), ev.string(b"timestamp")),
                (crate::sym::VALUE, ev.string(time.as_bytes())),
            ])
        }
    })
}

fn nul_in_toml(bytes: &[u8]) -> crate::Error {
    err!(Other, "while parsing TOML: error: {}", nul_error(bytes))
}
