//! The text of a `.drv` file: an ATerm, `Derive([outputs],[inputDrvs],[inputSrcs],…)`.
//!
//! Printing is byte-equal to Nix. Parsing accepts what Nix accepts, which is a little more than it
//! prints (lists without commas, entries in any order), except for bytes after the end.
//!
//! Strings are escaped (`\"`, `\\`, `\n`, `\r`, `\t`) only where a user's bytes may stand: builder,
//! arguments, environment. Names and paths go unescaped.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::{
    Derivation, DerivationOutput, Environment, InputOutputs, JSON_KEY, OutputPaths,
};
use crate::content_address::{ContentAddress, ContentAddressMethod};
use crate::error::{Error, Result, show};
use crate::hash::{Hash, Sha256};
use crate::store_path::{OutputName, StoreDir, StorePath};

/// The most levels of dynamic inputs; nobody has used more than two.
const MAX_DYNAMIC_DEPTH: usize = 64;
/// The name of the format with dynamic inputs.
const DYNAMIC_VERSION: &[u8] = b"xp-dyn-drv";

/// How many bytes are looked at together when a text is escaped.
const ESCAPE_BLOCK: usize = 32;

/// What follows the backslash where a byte is escaped; zero where it is not.
const ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table[b'\n' as usize] = b'n';
    table[b'\r' as usize] = b'r';
    table[b'\t' as usize] = b't';
    table
};

/// Is any byte of a block escaped? Without branches, so that it takes a few instructions.
fn needs_escapes(block: &[u8; ESCAPE_BLOCK]) -> bool {
    let mut found = [0; ESCAPE_BLOCK];
    for (found, byte) in found.iter_mut().zip(block) {
        let is_control = (*byte == b'\n') | (*byte == b'\r') | (*byte == b'\t');
        *found = u8::from(is_control | (*byte == b'"') | (*byte == b'\\'));
    }
    found != [0; ESCAPE_BLOCK]
}

/// What is left empty when a derivation is printed.
#[derive(Clone, Copy)]
pub(super) enum Mask<'a> {
    /// Nothing: the file's text has these paths.
    Nothing(&'a OutputPaths),
    /// The outputs' paths, also in the environment.
    Outputs,
}

/// The hashes modulo of input derivations, and which of their outputs are inputs.
pub(super) type InputHashes = BTreeMap<Sha256, BTreeSet<OutputName>>;

/// What is printed as the input derivations.
#[derive(Clone, Copy)]
pub(super) enum Inputs<'a> {
    /// Their paths.
    Paths,
    /// Their hashes modulo, in base 16.
    Hashes(&'a InputHashes),
}

impl Derivation {
    /// Prints the text of the `.drv` file.
    pub fn print(&self, store_dir: &StoreDir) -> Result<Vec<u8>> {
        let paths = self.output_paths(store_dir)?;
        print_with(self, store_dir, Mask::Nothing(&paths), Inputs::Paths)
    }

    /// Parses the text of a `.drv` file; `name` is its name without `.drv`.
    pub fn parse(store_dir: &StoreDir, text: &[u8], name: &str) -> Result<Self> {
        Parser { rest: text, store_dir }.derivation(name)
    }
}

/// Prints a derivation, masked or with other inputs than its own.
pub(super) fn print_with(
    drv: &Derivation,
    store_dir: &StoreDir,
    mask: Mask<'_>,
    inputs: Inputs<'_>,
) -> Result<Vec<u8>> {
    let mut printer = Printer::new(store_dir);
    printer.start(drv);
    printer.outputs(drv, mask);
    printer.raw(b"],[");
    printer.inputs(drv, inputs);
    printer.rest(drv, mask)?;
    Ok(printer.text)
}

/// Prints the parts of a derivation one after the other.
pub(super) struct Printer<'a> {
    /// What has been printed.
    pub(super) text: Vec<u8>,
    /// Where in the text the masked environment variables of outputs have their values.
    pub(super) gaps: Vec<(usize, OutputName)>,
    store_dir: &'a StoreDir,
}

impl<'a> Printer<'a> {
    pub(super) fn new(store_dir: &'a StoreDir) -> Self {
        Self { text: Vec::with_capacity(4096), gaps: Vec::new(), store_dir }
    }

    /// The beginning: the outputs follow.
    pub(super) fn start(&mut self, drv: &Derivation) {
        let dynamic = drv.input_drvs.values().any(|outputs| !outputs.dynamic.is_empty());
        self.raw(if dynamic { b"DrvWithVersion(\"xp-dyn-drv\",[" } else { b"Derive([" });
    }

    pub(super) fn inputs(&mut self, drv: &Derivation, inputs: Inputs<'_>) {
        match inputs {
            Inputs::Paths => self.list(&drv.input_drvs, |printer, (path, outputs)| {
                printer.raw(b"(");
                printer.path(path);
                printer.raw(b",");
                printer.input(outputs);
                printer.raw(b")");
            }),
            Inputs::Hashes(hashes) => self.list(hashes, |printer, (hash, outputs)| {
                printer.raw(b"(");
                printer.plain(&hash.base16_digits());
                printer.raw(b",");
                printer.output_names(outputs);
                printer.raw(b")");
            }),
        }
    }

    /// What follows the input derivations.
    pub(super) fn rest(&mut self, drv: &Derivation, mask: Mask<'_>) -> Result<()> {
        self.raw(b"],[");
        self.list(&drv.input_srcs, |printer, path| printer.path(path));
        self.raw(b"],");
        self.plain(&drv.system);
        self.raw(b",");
        self.string(&drv.builder);
        self.raw(b",[");
        self.list(&drv.args, |printer, arg| printer.string(arg));
        self.raw(b"],[");
        self.env(drv, mask)?;
        self.raw(b"])");
        Ok(())
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.text.extend_from_slice(bytes);
    }

    fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut print: impl FnMut(&mut Self, T),
    ) {
        for (at, item) in items.into_iter().enumerate() {
            if at > 0 {
                self.raw(b",");
            }
            print(self, item);
        }
    }

    /// A quoted text without escapes.
    fn plain(&mut self, bytes: &[u8]) {
        self.raw(b"\"");
        self.raw(bytes);
        self.raw(b"\"");
    }

    /// A quoted text with escapes.
    fn string(&mut self, bytes: &[u8]) {
        self.raw(b"\"");
        self.escaped(bytes);
        self.raw(b"\"");
    }

    /// A text with escapes. Blocks without any, which are most, are found out many bytes at a time.
    pub(super) fn escaped(&mut self, bytes: &[u8]) {
        let (blocks, rest) = bytes.as_chunks::<ESCAPE_BLOCK>();
        let mut plain_from = 0;
        for (index, block) in blocks.iter().enumerate() {
            if needs_escapes(block) {
                self.escape_block(bytes, block, index * ESCAPE_BLOCK, &mut plain_from);
            }
        }
        let mut last = [0; ESCAPE_BLOCK];
        last[..rest.len()].copy_from_slice(rest);
        if needs_escapes(&last) {
            self.escape_block(bytes, rest, bytes.len() - rest.len(), &mut plain_from);
        }
        self.raw(&bytes[plain_from..]);
    }

    /// Prints `bytes` from `plain_from` up to the last character of `block`, at `start`, that is escaped.
    fn escape_block(
        &mut self,
        bytes: &[u8],
        block: &[u8],
        start: usize,
        plain_from: &mut usize,
    ) {
        for (index, byte) in block.iter().enumerate() {
            let escape = ESCAPES[usize::from(*byte)];
            if escape != 0 {
                self.raw(&bytes[*plain_from..start + index]);
                self.raw(&[b'\\', escape]);
                *plain_from = start + index + 1;
            }
        }
    }

    fn path(&mut self, path: &StorePath) {
        self.raw(b"\"");
        self.store_dir.push_path(path, &mut self.text);
        self.raw(b"\"");
    }

    pub(super) fn outputs(&mut self, drv: &Derivation, mask: Mask<'_>) {
        for (at, (name, output)) in drv.outputs.iter().enumerate() {
            self.raw(if at > 0 { b",(" } else { b"(" });
            self.plain(name.as_str().as_bytes());
            self.raw(b",");
            match mask {
                Mask::Nothing(paths) => match paths.get(name) {
                    Some(Some(path)) => self.path(path),
                    _ => self.plain(b""),
                },
                Mask::Outputs => self.plain(b""),
            }
            let (algo, hash) = output.print_hash();
            self.raw(b",");
            self.plain(algo.as_bytes());
            self.raw(b",");
            self.plain(hash.as_bytes());
            self.raw(b")");
        }
    }

    fn output_names(&mut self, names: &BTreeSet<OutputName>) {
        self.raw(b"[");
        self.list(names, |printer, name| printer.plain(name.as_str().as_bytes()));
        self.raw(b"]");
    }

    fn input(&mut self, input: &InputOutputs) {
        if input.dynamic.is_empty() {
            return self.output_names(&input.outputs);
        }
        self.raw(b"(");
        self.output_names(&input.outputs);
        self.raw(b",[");
        self.list(&input.dynamic, |printer, (name, input)| {
            printer.raw(b"(");
            printer.plain(name.as_str().as_bytes());
            printer.raw(b",");
            printer.input(input);
            printer.raw(b")");
        });
        self.raw(b"])");
    }

    /// The environment, with structured attributes in their alphabetical place.
    fn env(&mut self, drv: &Derivation, mask: Mask<'_>) -> Result<()> {
        if drv.env.contains_key(JSON_KEY) {
            return Err(Error::DrvJsonKey);
        }
        let mut json = drv.structured_attrs.as_deref();
        let mut is_first = true;
        for (key, value) in drv.env.iter() {
            if key > JSON_KEY
                && let Some(json) = json.take()
            {
                self.pair(JSON_KEY, json, &mut is_first);
            }
            match masked_output(drv, mask, key) {
                None => self.pair(key, value, &mut is_first),
                Some(output) => {
                    self.pair(key, b"", &mut is_first);
                    self.gaps.push((self.text.len() - b"\")".len(), output));
                }
            }
        }
        if let Some(json) = json {
            self.pair(JSON_KEY, json, &mut is_first);
        }
        Ok(())
    }

    fn pair(&mut self, key: &[u8], value: &[u8], is_first: &mut bool) {
        self.raw(if std::mem::take(is_first) { b"(" } else { b",(" });
        self.string(key);
        self.raw(b",");
        self.string(value);
        self.raw(b")");
    }
}

/// The output whose path a masked environment variable leaves out.
fn masked_output(drv: &Derivation, mask: Mask<'_>, key: &[u8]) -> Option<OutputName> {
    if matches!(mask, Mask::Nothing(_)) {
        return None;
    }
    let (output, _) = drv.outputs.get_key_value(std::str::from_utf8(key).ok()?)?;
    Some(output.clone())
}

struct Parser<'a> {
    rest: &'a [u8],
    store_dir: &'a StoreDir,
}

impl<'a> Parser<'a> {
    fn derivation(&mut self, name: &str) -> Result<Derivation> {
        let dynamic = self.start()?;
        self.expect(b"[")?;
        let mut outputs = BTreeMap::new();
        while !self.end_of_list() {
            let (name, output) = self.output()?;
            outputs.entry(name).or_insert(output);
        }
        self.expect(b",[")?;
        let mut input_drvs = BTreeMap::new();
        while !self.end_of_list() {
            self.expect(b"(")?;
            let path = self.store_path()?;
            self.expect(b",")?;
            input_drvs.insert(path, self.input(dynamic, 0)?);
            self.expect(b")")?;
        }
        self.expect(b",[")?;
        let mut input_srcs = BTreeSet::new();
        while !self.end_of_list() {
            input_srcs.insert(self.store_path()?);
        }
        self.expect(b",")?;
        let system = self.string()?.into_owned();
        self.expect(b",")?;
        let builder = self.string()?.into_owned();
        self.expect(b",[")?;
        let mut args = Vec::new();
        while !self.end_of_list() {
            args.push(self.string()?.into_owned());
        }
        let (env, structured_attrs) = self.env()?;
        self.expect(b")")?;
        if !self.rest.is_empty() {
            return Err(Error::DrvTrailing);
        }
        let name = name.to_owned();
        Ok(Derivation {
            name,
            outputs,
            input_srcs,
            input_drvs,
            system,
            builder,
            args,
            env,
            structured_attrs,
        })
    }

    /// Reads up to the outputs; is it the format with dynamic inputs?
    fn start(&mut self) -> Result<bool> {
        if let Some(rest) = self.rest.strip_prefix(b"Derive(") {
            self.rest = rest;
            return Ok(false);
        }
        self.rest = self.rest.strip_prefix(b"DrvWithVersion(").ok_or(Error::DrvStart)?;
        let version = self.string()?;
        if *version != *DYNAMIC_VERSION {
            return Err(Error::DrvVersion(show(&version)));
        }
        self.expect(b",")?;
        Ok(true)
    }

    fn env(&mut self) -> Result<(Environment, Option<Vec<u8>>)> {
        self.expect(b",[")?;
        let mut env = Environment::new();
        let mut structured_attrs = None;
        while !self.end_of_list() {
            self.expect(b"(")?;
            let key = self.string()?;
            self.expect(b",")?;
            let value = self.string()?;
            self.expect(b")")?;
            if *key == *JSON_KEY {
                structured_attrs = Some(value.into_owned());
            } else {
                env.insert(&key, &value);
            }
        }
        Ok((env, structured_attrs))
    }

    fn output(&mut self) -> Result<(OutputName, DerivationOutput)> {
        self.expect(b"(")?;
        let name = OutputName::parse(&self.string()?)?;
        self.expect(b",")?;
        let path = self.string()?;
        self.expect(b",")?;
        let algo = self.text()?;
        self.expect(b",")?;
        let hash = self.text()?;
        self.expect(b")")?;
        if algo.is_empty() {
            if path.is_empty() {
                return Ok((name, DerivationOutput::Deferred));
            }
            check_absolute(&path)?;
            let path = self.store_dir.parse_path(&path)?;
            return Ok((name, DerivationOutput::InputAddressed(path)));
        }
        let (method, algo) = ContentAddressMethod::parse_with_algo(&algo)?;
        let output = match hash.as_str() {
            "impure" if path.is_empty() => DerivationOutput::Impure { method, algo },
            "impure" => return Err(Error::DrvOutputPath("impure")),
            "" if path.is_empty() => DerivationOutput::CaFloating { method, algo },
            "" => return Err(Error::DrvOutputPath("content-addressing")),
            _ => {
                check_absolute(&path)?;
                let hash = Hash::parse_unprefixed(&hash, algo)?;
                DerivationOutput::CaFixed(ContentAddress { method, hash })
            }
        };
        Ok((name, output))
    }

    fn input(&mut self, dynamic: bool, depth: usize) -> Result<InputOutputs> {
        if depth >= MAX_DYNAMIC_DEPTH {
            return Err(Error::DrvInputDepth(MAX_DYNAMIC_DEPTH));
        }
        match self.rest.first() {
            Some(b'(') if dynamic => {}
            Some(b'[') => return Ok(self.output_names()?.into()),
            _ if dynamic => return Err(Error::DrvInput),
            _ => return Err(Error::DrvExpected("[".to_owned())),
        }
        self.expect(b"(")?;
        let mut input = InputOutputs::from(self.output_names()?);
        self.expect(b",[")?;
        while !self.end_of_list() {
            self.expect(b"(")?;
            let name = OutputName::parse(&self.string()?)?;
            self.expect(b",")?;
            input.dynamic.insert(name, self.input(dynamic, depth + 1)?);
            self.expect(b")")?;
        }
        self.expect(b")")?;
        Ok(input)
    }

    fn output_names(&mut self) -> Result<BTreeSet<OutputName>> {
        self.expect(b"[")?;
        let mut names = BTreeSet::new();
        while !self.end_of_list() {
            names.insert(OutputName::parse(&self.string()?)?);
        }
        Ok(names)
    }

    fn store_path(&mut self) -> Result<StorePath> {
        let path = self.string()?;
        check_absolute(&path)?;
        self.store_dir.parse_path(&path)
    }

    /// Is the list at its end? A comma before the next item is read, too.
    fn end_of_list(&mut self) -> bool {
        match self.rest {
            [b',', rest @ ..] => {
                self.rest = rest;
                false
            }
            [b']', rest @ ..] => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn expect(&mut self, token: &[u8]) -> Result<()> {
        self.rest = self
            .rest
            .strip_prefix(token)
            .ok_or_else(|| Error::DrvExpected(show(token)))?;
        Ok(())
    }

    fn text(&mut self) -> Result<String> {
        Ok(show(&self.string()?))
    }

    fn string(&mut self) -> Result<Cow<'a, [u8]>> {
        self.expect(b"\"")?;
        let end = memchr::memchr2(b'"', b'\\', self.rest).ok_or(Error::DrvString)?;
        if self.rest[end] == b'"' {
            let text = &self.rest[..end];
            self.rest = &self.rest[end + 1..];
            return Ok(Cow::Borrowed(text));
        }
        let mut text = Vec::new();
        loop {
            let end = memchr::memchr2(b'"', b'\\', self.rest).ok_or(Error::DrvString)?;
            text.extend_from_slice(&self.rest[..end]);
            if self.rest[end] == b'"' {
                self.rest = &self.rest[end + 1..];
                return Ok(Cow::Owned(text));
            }
            let escaped = *self.rest.get(end + 1).ok_or(Error::DrvString)?;
            text.push(match escaped {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                other => other,
            });
            self.rest = &self.rest[end + 2..];
        }
    }
}

fn check_absolute(path: &[u8]) -> Result<()> {
    if path.first() == Some(&b'/') { Ok(()) } else { Err(Error::DrvPath(show(path))) }
}
