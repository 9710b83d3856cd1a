//! Printing values as Nix does: for `eval`, for messages, for traces.

use std::collections::HashSet;

use picnix_syntax::float_text;

use crate::error::{Kind, Result};
use crate::evaluator::Evaluator;
use crate::pos::Pos;
use crate::symbol::{Symbol, sym};
use crate::value::{Attr, Attrs, Items, Thunk, Value, still_needed};

/// How a value is printed.
#[derive(Clone, Copy, Debug)]
pub struct PrintOptions {
    /// Force what is printed; otherwise a thunk prints as `«thunk»`.
    pub force: bool,
    /// Print a derivation as `«derivation /nix/store/...drv»`.
    pub derivation_paths: bool,
    /// Print a set or list that was printed before as `«repeated»`.
    pub track_repeated: bool,
    /// The most nested sets and lists.
    pub max_depth: usize,
    /// The most attributes in all.
    pub max_attrs: usize,
    /// The most list items in all.
    pub max_list_items: usize,
    /// The most bytes of a string.
    pub max_string_length: usize,
    /// Spaces of indentation; zero prints on one line.
    pub indent: usize,
    /// What happens where a part cannot be evaluated.
    pub errors: Errors,
    /// Colour what is printed, for a terminal.
    pub colors: bool,
}

/// What happens where a part of what is printed cannot be evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errors {
    /// It ends the printing.
    Raise,
    /// It is printed as `«error: ...»`.
    Inline,
    /// It ends the printing if it is the whole value, and is printed if it is a part.
    InlineBelowTop,
}

/// The colours of Nix's own printer.
mod color {
    pub(super) const PLAIN: &str = "\u{1b}[0m";
    pub(super) const FAINT: &str = "\u{1b}[2m";
    pub(super) const RED: &str = "\u{1b}[31;1m";
    pub(super) const GREEN: &str = "\u{1b}[32;1m";
    pub(super) const BLUE: &str = "\u{1b}[34;1m";
    pub(super) const MAGENTA: &str = "\u{1b}[35;1m";
    pub(super) const CYAN: &str = "\u{1b}[36;1m";
}

impl PrintOptions {
    /// What `nix-instantiate --eval` prints.
    pub const EVAL: Self = Self {
        force: false,
        derivation_paths: false,
        track_repeated: true,
        max_depth: usize::MAX,
        max_attrs: usize::MAX,
        max_list_items: usize::MAX,
        max_string_length: usize::MAX,
        indent: 0,
        errors: Errors::Raise,
        colors: false,
    };

    /// What error messages print.
    pub const ERROR: Self = Self {
        max_depth: 10,
        max_attrs: 10,
        max_list_items: 10,
        max_string_length: 1024,
        errors: Errors::Inline,
        ..Self::EVAL
    };

    /// What the repl prints.
    pub const REPL: Self = Self { errors: Errors::InlineBelowTop, ..Self::PRETTY };

    /// What `nix eval` prints.
    pub const PRETTY: Self = Self {
        force: true,
        derivation_paths: true,
        indent: 2,
        track_repeated: true,
        ..Self::EVAL
    };
}

impl<'h> Evaluator<'h> {
    /// Prints a value.
    ///
    /// # Errors
    /// A part that has to be forced fails, unless errors are printed inline.
    pub fn print_value(
        &self,
        value: Value<'h>,
        options: &PrintOptions,
    ) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.print_value_to(value, options, &mut out)?;
        Ok(out)
    }

    /// As [`Self::print_value`], for a caller who shows also what was printed before an error.
    ///
    /// # Errors
    /// See [`Self::print_value`].
    pub fn print_value_to(
        &self,
        value: Value<'h>,
        options: &PrintOptions,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let mut printer = Printer {
            ev: self,
            options,
            out,
            seen: HashSet::new(),
            attrs_printed: 0,
            items_printed: 0,
            indent: 0,
        };
        let result = printer.print(value, 0);
        // What was seen stays a part of the value, so that no other object gets its address.
        still_needed(&value);
        result
    }

    /// A name as Nix's messages show it: quoted where it is no identifier.
    pub fn show_name(&self, name: Symbol) -> String {
        let mut shown = Vec::new();
        print_attr_name(&mut shown, self.symbols.name(name));
        String::from_utf8_lossy(&shown).into_owned()
    }

    /// Prints a value for a message: shortened, and without forcing anything.
    pub fn print_for_error(&self, value: Value<'h>) -> String {
        let printed = self.print_value(value, &PrintOptions::ERROR).unwrap_or_default();
        String::from_utf8_lossy(&printed).into_owned()
    }
}

struct Printer<'e, 'h> {
    ev: &'e Evaluator<'h>,
    options: &'e PrintOptions,
    out: &'e mut Vec<u8>,
    seen: HashSet<usize>,
    attrs_printed: usize,
    items_printed: usize,
    indent: usize,
}

impl<'h> Printer<'_, 'h> {
    fn print(&mut self, value: Value<'h>, depth: usize) -> Result<()> {
        if depth > self.ev.settings.max_call_depth {
            crate::bail!(StackOverflow, "stack overflow; max-call-depth exceeded");
        }
        let ev = self.ev;
        let printed = ev.with_stack(|| {
            let value = if self.options.force { ev.force(value)? } else { value.peek() };
            self.print_forced(value, depth)
        });
        match printed {
            Err(error) if self.is_printed(&error, depth) => {
                self.colored(color::RED, &format!("«error: {error}»"));
                Ok(())
            }
            printed => printed,
        }
    }

    /// Whether an error becomes a part of the output.
    fn is_printed(&self, error: &crate::Error, depth: usize) -> bool {
        let is_serious = matches!(error.kind(), Kind::StackOverflow | Kind::Interrupted);
        !is_serious
            && match self.options.errors {
                Errors::Raise => false,
                Errors::Inline => true,
                Errors::InlineBelowTop => depth > 0,
            }
    }

    fn print_forced(&mut self, value: Value<'h>, depth: usize) -> Result<()> {
        match value {
            Value::Null => self.colored(color::CYAN, "null"),
            Value::Bool(bool) => {
                self.colored(color::CYAN, if bool { "true" } else { "false" });
            }
            Value::Int(int) => self.colored(color::CYAN, &int.to_string()),
            Value::Float(float) => self.colored(color::CYAN, &float_text(float)),
            Value::String(string) => {
                self.color(color::MAGENTA);
                print_string(self.out, string.bytes, self.options.max_string_length);
                self.color(color::PLAIN);
            }
            Value::Path(path) => {
                self.color(color::GREEN);
                self.out.extend(crate::internal::shown(path.bytes));
                self.color(color::PLAIN);
            }
            Value::List(list) => return self.list(list, depth),
            Value::Attrs(attrs) => return self.attrs(attrs, depth),
            Value::Lambda(closure) => {
                let lambda = closure.lambda;
                let name =
                    lambda.name.map(|name| format!(" {}", self.ev.symbols.text(name)));
                let place = crate::report::show_pos(self.ev, lambda.pos);
                let text = format!("«lambda{} @ {place}»", name.unwrap_or_default());
                self.colored(color::BLUE, &text);
            }
            Value::Builtin(builtin) => {
                self.colored(color::BLUE, &format!("«primop {}»", builtin.name));
            }
            Value::Partial(partial) => {
                let name = partial.builtin.name;
                self.colored(color::BLUE, &format!("«partially applied primop {name}»"));
            }
            Value::Thunk(thunk) => self.colored(color::MAGENTA, thunk_text(thunk)),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn color(&mut self, color: &str) {
        if self.options.colors {
            self.text(color);
        }
    }

    fn colored(&mut self, color: &str, text: &str) {
        self.color(color);
        self.text(text);
        self.color(color::PLAIN);
    }

    fn is_repeated(&mut self, address: usize) -> bool {
        self.options.track_repeated && !self.seen.insert(address)
    }

    fn space(&mut self, pretty: bool) {
        if pretty {
            self.out.push(b'\n');
            self.out.resize(self.out.len() + self.indent, b' ');
        } else {
            self.out.push(b' ');
        }
    }

    /// Whether the members go on lines of their own: more than one, or one that is itself a collection.
    fn is_tall(&self, members: &[Value<'h>]) -> Result<bool> {
        if self.options.indent == 0 || members.is_empty() {
            return Ok(false);
        }
        let [only] = members else { return Ok(true) };
        let only = self.ev.force(*only)?;
        Ok(matches!(only, Value::List(_) | Value::Attrs(_) | Value::Thunk(_)))
    }

    fn elided(&mut self, count: usize, single: &str, plural: &str) {
        let noun = if count == 1 { single } else { plural };
        self.colored(color::FAINT, &format!("«{count} {noun} elided»"));
    }

    fn list(&mut self, list: &'h crate::value::List<'h>, depth: usize) -> Result<()> {
        if !list.is_empty() && self.is_repeated(std::ptr::from_ref(list).addr()) {
            self.colored(color::MAGENTA, "«repeated»");
            return Ok(());
        }
        if depth >= self.options.max_depth {
            self.text("[ ... ]");
            return Ok(());
        }
        let items = Items::from_iter(self.ev.heap, list.iter());
        self.indent += self.options.indent;
        self.text("[");
        // Where this fails, the bracket stays open and the indentation too, as in Nix.
        let tall = self.is_tall(&items)?;
        for (index, item) in items.iter().enumerate() {
            self.space(tall);
            if self.items_printed >= self.options.max_list_items {
                self.elided(items.len() - index, "item", "items");
                break;
            }
            self.print(*item, depth + 1)?;
            self.items_printed += 1;
        }
        self.indent -= self.options.indent;
        self.space(tall);
        self.text("]");
        Ok(())
    }

    fn attrs(&mut self, attrs: &'h Attrs<'h>, depth: usize) -> Result<()> {
        if self.is_repeated(std::ptr::from_ref(attrs).addr()) {
            self.colored(color::MAGENTA, "«repeated»");
            return Ok(());
        }
        if self.options.force
            && self.options.derivation_paths
            && self.ev.is_derivation(attrs)?
        {
            return self.derivation(attrs);
        }
        if depth >= self.options.max_depth {
            self.text("{ ... }");
            return Ok(());
        }
        let sorted = self.sorted(attrs);
        let values = sorted.iter().map(|attr| attr.slot.get());
        let values = Items::from_iter(self.ev.heap, values);
        self.indent += self.options.indent;
        self.text("{");
        let tall = self.is_tall(&values)?;
        for (index, attr) in sorted.iter().enumerate() {
            self.space(tall);
            if self.attrs_printed >= self.options.max_attrs {
                self.elided(sorted.len() - index, "attribute", "attributes");
                break;
            }
            print_attr_name(self.out, self.ev.symbols.name(attr.name));
            self.text(" = ");
            self.print(attr.slot.get(), depth + 1)?;
            self.text(";");
            self.attrs_printed += 1;
        }
        self.indent -= self.options.indent;
        self.space(tall);
        self.text("}");
        Ok(())
    }

    /// Sorted by name; where not all may fit, `type` and `_type` come first.
    fn sorted(&self, attrs: &'h Attrs<'h>) -> Items<'h, Attr<'h>> {
        let mut sorted = self.ev.sorted_by_name(attrs);
        if self.options.max_attrs != usize::MAX {
            let is_other = |attr: &Attr<'h>| {
                attr.name != sym::TYPE && self.ev.symbols.name(attr.name) != b"_type"
            };
            sorted.with(|all| all.sort_by_key(is_other));
        }
        sorted
    }

    fn derivation(&mut self, attrs: &'h Attrs<'h>) -> Result<()> {
        let mut text = b"\xc2\xabderivation".to_vec();
        if let Some(slot) = attrs.get(sym::DRV_PATH) {
            let path = self.ev.force_slot(slot)?;
            let coercion = crate::coerce::Coercion::STRING;
            let doing = "while evaluating the drvPath of a derivation";
            let path = self.ev.coerce_to_string(path, Pos::NONE, coercion, doing)?;
            text.push(b' ');
            text.extend_from_slice(path.bytes);
        }
        text.extend_from_slice("»".as_bytes());
        self.color(color::GREEN);
        self.out.extend(text);
        self.color(color::PLAIN);
        Ok(())
    }
}

fn thunk_text(thunk: &Thunk<'_>) -> &'static str {
    if thunk.is_blackhole() { "«potential infinite recursion»" } else { "«thunk»" }
}

/// Prints a string literal: quoted and escaped.
pub fn print_string(out: &mut Vec<u8>, bytes: &[u8], max_length: usize) {
    out.push(b'"');
    for (index, byte) in bytes.iter().enumerate() {
        if index >= max_length {
            let left = bytes.len() - index;
            let noun = if left == 1 { "byte" } else { "bytes" };
            out.extend_from_slice(format!("\" «{left} {noun} elided»").as_bytes());
            return;
        }
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'$' if bytes.get(index + 1) == Some(&b'{') => out.extend_from_slice(b"\\$"),
            other => out.push(*other),
        }
    }
    out.push(b'"');
}

/// Prints an attribute name, quoted where it is no identifier.
pub fn print_attr_name(out: &mut Vec<u8>, name: &[u8]) {
    const KEYWORDS: &[&[u8]] =
        &[b"if", b"then", b"else", b"assert", b"with", b"let", b"in", b"rec", b"inherit"];
    let starts =
        name.first().is_some_and(|first| first.is_ascii_alphabetic() || *first == b'_');
    let rest = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-'".contains(byte);
    if starts && name.iter().all(rest) && !KEYWORDS.contains(&name) {
        out.extend_from_slice(name);
    } else {
        print_string(out, name, usize::MAX);
    }
}

impl<'h> Evaluator<'h> {
    /// Prints a value as `nix-instantiate --eval` does: what is not evaluated is `<CODE>`, a function
    /// `<LAMBDA>`.
    ///
    /// # Errors
    /// The value is nested deeper than calls may be.
    pub fn print_ambiguous(&self, value: Value<'h>) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.print_ambiguous_at(value, 0, &mut out, &mut HashSet::new())?;
        Ok(out)
    }

    fn print_ambiguous_at(
        &self,
        value: Value<'h>,
        depth: usize,
        out: &mut Vec<u8>,
        seen: &mut HashSet<usize>,
    ) -> Result<()> {
        if depth > self.settings.max_call_depth {
            crate::bail!(StackOverflow, "stack overflow; max-call-depth exceeded");
        }
        match value.peek() {
            Value::Attrs(attrs) => {
                if !attrs.is_empty() && !seen.insert(std::ptr::from_ref(attrs).addr()) {
                    out.extend_from_slice("«repeated»".as_bytes());
                    return Ok(());
                }
                out.extend_from_slice(b"{ ");
                for attr in self.sorted_by_name(attrs) {
                    print_attr_name(out, self.symbols.name(attr.name));
                    out.extend_from_slice(b" = ");
                    let member = attr.slot.get();
                    self.with_stack(|| {
                        self.print_ambiguous_at(member, depth + 1, out, seen)
                    })?;
                    out.extend_from_slice(b"; ");
                }
                out.push(b'}');
            }
            Value::List(list) => {
                // A result is a copy: see `copy_of`.
                let is_copy = depth == 0;
                let address = std::ptr::from_ref(list).addr();
                if !list.is_empty() {
                    self.note_list(list, seen);
                }
                if !list.is_empty() && !is_copy && !seen.insert(address) {
                    out.extend_from_slice("«repeated»".as_bytes());
                    return Ok(());
                }
                out.extend_from_slice(b"[ ");
                for member in list.iter() {
                    self.with_stack(|| {
                        self.print_ambiguous_at(member, depth + 1, out, seen)
                    })?;
                    out.push(b' ');
                }
                out.push(b']');
            }
            Value::Lambda(_) => out.extend_from_slice(b"<LAMBDA>"),
            Value::Builtin(_) => out.extend_from_slice(b"<PRIMOP>"),
            Value::Partial(_) => out.extend_from_slice(b"<PRIMOP-APP>"),
            Value::Thunk(thunk) if thunk.is_blackhole() => {
                out.extend_from_slice("«potential infinite recursion»".as_bytes());
            }
            Value::Thunk(_) => out.extend_from_slice(b"<CODE>"),
            scalar => out.extend(self.print_value(scalar, &PrintOptions::EVAL)?),
        }
        Ok(())
    }
}
