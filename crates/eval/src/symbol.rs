//! Interned names of attributes and variables.

use std::cell::RefCell;
use std::hash::BuildHasher;

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;

use crate::shared::{Common, Shared};
use crate::value::{Heap, Str};

/// An interned name. Two symbols of one evaluation are equal if and only if their names are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol(u32);

impl Symbol {
    /// The number that the symbol is.
    pub(crate) fn number(self) -> u32 {
        self.0
    }

    /// The symbol of a number that [`Self::number`] gave.
    pub(crate) fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// The bit that stands for the symbol in the `bits` of a shape.
    #[inline]
    pub(crate) fn bit(self) -> u64 {
        1 << (self.0 % u64::BITS)
    }

    /// The same for fewer bits.
    #[inline]
    pub(crate) fn one_of_few_bits(self) -> u16 {
        1 << (self.0 % u16::BITS)
    }
}

/// A name, and what is known of it.
#[derive(Clone, Copy)]
pub(crate) struct Name<'h> {
    bytes: &'h [u8],
    /// Its first eight bytes as a number, which sorts as they do.
    prefix: u64,
    /// The name as a string of the language, once it was asked for.
    string: Option<&'h Str<'h>>,
}

impl<'h> Name<'h> {
    fn new(bytes: &'h [u8]) -> Self {
        let mut first = [0; 8];
        let length = bytes.len().min(first.len());
        first[..length].copy_from_slice(&bytes[..length]);
        Self { bytes, prefix: u64::from_be_bytes(first), string: None }
    }
}

/// The names of one evaluation.
pub struct Symbols<'h> {
    heap: &'h Heap,
    names: RefCell<Vec<Name<'h>>>,
    table: RefCell<HashTable<Symbol>>,
    /// The names of all threads, in the order of their symbols. Those of this thread are the first of them.
    common: Shared<Vec<Name<'h>>>,
}

impl<'h> Symbols<'h> {
    /// Makes a table that holds the names of [`sym`].
    #[must_use]
    pub fn new(heap: &'h Heap) -> Self {
        let symbols = Self {
            heap,
            names: RefCell::new(Vec::with_capacity(4096)),
            table: RefCell::new(HashTable::with_capacity(4096)),
            common: Shared::default(),
        };
        for name in sym::NAMES {
            symbols.intern(name.as_bytes());
        }
        symbols
    }

    /// The names, for other threads.
    pub(crate) fn share(&self) -> Common<Vec<Name<'h>>> {
        self.common.share(|| self.names.borrow().clone())
    }

    /// The names of an evaluation, for one more thread.
    pub(crate) fn of(common: Common<Vec<Name<'h>>>, heap: &'h Heap) -> Self {
        let symbols = Self {
            heap,
            names: RefCell::default(),
            table: RefCell::default(),
            common: Shared::of(common),
        };
        symbols.learn();
        symbols
    }

    /// Adds the names that other threads have met.
    #[cold]
    fn learn(&self) {
        if let Some(common) = self.common.lock() {
            let (mut names, mut table) =
                (self.names.borrow_mut(), self.table.borrow_mut());
            learn(&mut names, &mut table, &common);
        }
    }

    /// The symbol of a name.
    pub fn intern(&self, name: &[u8]) -> Symbol {
        let hash = FxBuildHasher.hash_one(name);
        let mut names = self.names.borrow_mut();
        let mut table = self.table.borrow_mut();
        if let Some(found) =
            table.find(hash, |symbol| names[symbol.0 as usize].bytes == name)
        {
            return *found;
        }
        let mut common = self.common.lock();
        if let Some(common) = &common {
            learn(&mut names, &mut table, common);
            if let Some(found) =
                table.find(hash, |symbol| names[symbol.0 as usize].bytes == name)
            {
                return *found;
            }
        }
        // A thunk keeps the numbers of names in 31 bits.
        let number = u32::try_from(names.len()).ok().filter(|number| number >> 31 == 0);
        let number = number.expect("fewer than 2^31 names fit in memory");
        let name = Name::new(self.heap.immortal(|| self.heap.bytes(name)));
        add(&mut names, &mut table, name, Symbol(number));
        if let Some(common) = &mut common {
            common.push(name);
        }
        Symbol(number)
    }

    /// The symbol of a name, if there is one: what was never interned is in no set.
    pub fn lookup(&self, name: &[u8]) -> Option<Symbol> {
        let hash = FxBuildHasher.hash_one(name);
        let known = |symbols: &Self| {
            let (names, table) = (symbols.names.borrow(), symbols.table.borrow());
            table.find(hash, |symbol| names[symbol.0 as usize].bytes == name).copied()
        };
        known(self).or_else(|| {
            self.learn();
            known(self)
        })
    }

    /// The name of a symbol.
    #[inline]
    pub fn name(&self, symbol: Symbol) -> &'h [u8] {
        self.entry(symbol).bytes
    }

    #[inline]
    fn entry(&self, symbol: Symbol) -> Name<'h> {
        if let Some(name) = self.names.borrow().get(symbol.0 as usize) {
            return *name;
        }
        self.learned(symbol)
    }

    /// What is known of a symbol that another thread has made.
    #[cold]
    fn learned(&self, symbol: Symbol) -> Name<'h> {
        self.learn();
        self.names.borrow()[symbol.0 as usize]
    }

    /// The name of a symbol as a string of the language: one for all who ask.
    pub(crate) fn string(&self, symbol: Symbol) -> &'h Str<'h> {
        let name = self.entry(symbol);
        if let Some(string) = name.string {
            return string;
        }
        let string = Str { bytes: name.bytes, context: &[] };
        let string = self.heap.immortal(|| self.heap.alloc(string));
        self.names.borrow_mut()[symbol.0 as usize].string = Some(string);
        string
    }

    /// The order of distinct symbols by their names: the beginning of each name, and the symbol's index.
    pub(crate) fn sorted(&self, symbols: &[Symbol]) -> Vec<(u64, usize)> {
        let known = self.names.borrow().len();
        if symbols.iter().any(|symbol| symbol.0 as usize >= known) {
            self.learn();
        }
        let names = self.names.borrow();
        let name = |index: usize| names[symbols[index].0 as usize];
        let mut order: Vec<(u64, usize)> =
            (0..symbols.len()).map(|index| (name(index).prefix, index)).collect();
        // Most names differ in their first bytes, which lie side by side here.
        order.sort_unstable_by(|a, b| {
            a.0.cmp(&b.0).then_with(|| name(a.1).bytes.cmp(name(b.1).bytes))
        });
        order
    }

    /// The name of a symbol as messages show it: quoted where it is no identifier.
    pub fn shown(&self, symbol: Symbol) -> String {
        let mut out = Vec::new();
        crate::print::print_attr_name(&mut out, self.name(symbol));
        String::from_utf8_lossy(&out).into_owned()
    }

    /// The name of a symbol as text.
    pub fn text(&self, symbol: Symbol) -> String {
        String::from_utf8_lossy(self.name(symbol)).into_owned()
    }
}

/// Adds a name.
fn add<'h>(
    names: &mut Vec<Name<'h>>,
    table: &mut HashTable<Symbol>,
    name: Name<'h>,
    symbol: Symbol,
) {
    names.push(name);
    let hash = |name: &Name<'h>| FxBuildHasher.hash_one(name.bytes);
    table.insert_unique(hash(&name), symbol, |symbol| hash(&names[symbol.0 as usize]));
}

/// Adds the names that come behind those that are known.
fn learn<'h>(
    names: &mut Vec<Name<'h>>,
    table: &mut HashTable<Symbol>,
    common: &[Name<'h>],
) {
    for name in &common[names.len()..] {
        let number = u32::try_from(names.len()).unwrap_or(u32::MAX);
        add(names, table, *name, Symbol(number));
    }
}

macro_rules! known_symbols {
    ($($constant:ident = $name:literal,)*) => {
        /// The names that the evaluator itself uses.
        pub mod sym {
            use super::Symbol;

            #[expect(non_camel_case_types, clippy::upper_case_acronyms,
                reason = "one variant a constant, only counted")]
            enum Index { $($constant,)* }

            $(
                #[doc = concat!("`", $name, "`")]
                pub const $constant: Symbol = Symbol(Index::$constant as u32);
            )*

            pub(super) const NAMES: &[&str] = &[$($name,)*];
        }
    };
}

known_symbols! {
    FUNCTOR = "__functor",
    TO_STRING = "__toString",
    OVERRIDES = "__overrides",
    OUT_PATH = "outPath",
    DRV_PATH = "drvPath",
    TYPE = "type",
    DERIVATION = "derivation",
    NAME = "name",
    VALUE = "value",
    SYSTEM = "system",
    BUILDER = "builder",
    ARGS = "args",
    OUTPUTS = "outputs",
    OUT = "out",
    OUTPUT_NAME = "outputName",
    OUTPUT_HASH = "outputHash",
    OUTPUT_HASH_ALGO = "outputHashAlgo",
    OUTPUT_HASH_MODE = "outputHashMode",
    RECURSIVE = "recursive",
    STRUCTURED_ATTRS = "__structuredAttrs",
    IGNORE_NULLS = "__ignoreNulls",
    CONTENT_ADDRESSED = "__contentAddressed",
    IMPURE = "__impure",
    FILE = "file",
    LINE = "line",
    COLUMN = "column",
    SUCCESS = "success",
    RIGHT = "right",
    WRONG = "wrong",
    PATH = "path",
    PREFIX = "prefix",
    FILTER = "filter",
    SHA256 = "sha256",
    URL = "url",
    KEY = "key",
    START_SET = "startSet",
    OPERATOR = "operator",
    BODY = "body",
    SUB = "__sub",
    MUL = "__mul",
    DIV = "__div",
    LESS_THAN = "__lessThan",
    FIND_FILE = "__findFile",
    NIX_PATH = "__nixPath",
    CUR_POS = "__curPos",
    ALL_OUTPUTS = "allOutputs",
    ALL = "all",
    TO_HASH_FORMAT = "toHashFormat",
    HASH = "hash",
    HASH_ALGO = "hashAlgo",
    VERSION = "version",
    TOPLEVEL = "toplevel",
    PNAME = "pname",
    URLS = "urls",
}
