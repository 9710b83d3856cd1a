//! Interned names of attributes and variables.

use std::cell::RefCell;
use std::hash::BuildHasher;

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;

use crate::value::Heap;

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
struct Name<'h> {
    bytes: &'h [u8],
    /// Its first eight bytes as a number, which sorts as they do.
    prefix: u64,
}

impl<'h> Name<'h> {
    fn new(bytes: &'h [u8]) -> Self {
        let mut first = [0; 8];
        let length = bytes.len().min(first.len());
        first[..length].copy_from_slice(&bytes[..length]);
        Self { bytes, prefix: u64::from_be_bytes(first) }
    }
}

/// The names of one evaluation.
pub struct Symbols<'h> {
    heap: &'h Heap,
    names: RefCell<Vec<Name<'h>>>,
    table: RefCell<HashTable<Symbol>>,
}

impl<'h> Symbols<'h> {
    /// Makes a table that holds the names of [`sym`].
    #[must_use]
    pub fn new(heap: &'h Heap) -> Self {
        let symbols = Self {
            heap,
            names: RefCell::new(Vec::with_capacity(4096)),
            table: RefCell::new(HashTable::with_capacity(4096)),
        };
        for name in sym::NAMES {
            symbols.intern(name.as_bytes());
        }
        symbols
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
        // A thunk keeps the numbers of names in 31 bits.
        let number = u32::try_from(names.len()).ok().filter(|number| number >> 31 == 0);
        let number = number.expect("fewer than 2^31 names fit in memory");
        names.push(Name::new(self.heap.immortal(|| self.heap.bytes(name))));
        table.insert_unique(hash, Symbol(number), |symbol| {
            FxBuildHasher.hash_one(names[symbol.0 as usize].bytes)
        });
        Symbol(number)
    }

    /// The symbol of a name, if there is one: what was never interned is in no set.
    pub fn lookup(&self, name: &[u8]) -> Option<Symbol> {
        let hash = FxBuildHasher.hash_one(name);
        let names = self.names.borrow();
        let table = self.table.borrow();
        table.find(hash, |symbol| names[symbol.0 as usize].bytes == name).copied()
    }

    /// The name of a symbol.
    #[inline]
    pub fn name(&self, symbol: Symbol) -> &'h [u8] {
        self.names.borrow()[symbol.0 as usize].bytes
    }

    /// The order of distinct symbols by their names: the beginning of each name, and the symbol's index.
    pub(crate) fn sorted(&self, symbols: &[Symbol]) -> Vec<(u64, usize)> {
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
