//! `toXML`: the layout that Nix's documentation describes by example.

use hashbrown::HashSet;
use picnix_syntax::float_text;
use rustc_hash::FxBuildHasher;

use super::{Builtin, Forcing, Scope};
use crate::error::Result;
use crate::evaluator::Evaluator;
use crate::expr::{Lambda, Parameter};
use crate::pos::Pos;
use crate::sym;
use crate::symbol::Symbol;
use crate::value::{Attrs, ContextElement, Value};

pub(super) const BUILTINS: &[Builtin] = &[Builtin {
    name: "toXML",
    parameters: &["e"],
    scope: Scope::Prefixed,
    doc: "*e* as XML, evaluated deeply. A derivation is written once; functions are written as \
          the arguments that they take.",
    function: to_xml,
}];

fn to_xml<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let style = (Locations::Omitted, Forcing::Deep);
    super::written(ev, |context| write(ev, args[0], pos, style, context))
}

/// Whether XML says where things were written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Locations {
    /// File, line and column of attributes and functions are written.
    Written,
    /// They are not.
    Omitted,
}

/// Writes a value as XML. What its strings depend on is added to `context`.
///
/// Decision: the text is measured first, and what has to be evaluated is evaluated then. A set within itself would
/// otherwise, as every level is further to the right, be written to gigabytes before it is found to be too deep.
///
/// # Errors
/// The value cannot be evaluated.
pub fn write<'h>(
    ev: &Evaluator<'h>,
    value: Value<'h>,
    pos: Pos,
    (locations, forcing): (Locations, Forcing),
    context: &mut Vec<ContextElement>,
) -> Result<Vec<u8>> {
    let mut lengths = Writer::new(ev, (locations, forcing), Length(0));
    lengths.document(value, pos)?;
    let out = Vec::with_capacity(lengths.out.0);
    let mut writer = Writer::new(ev, (locations, forcing), out);
    writer.document(value, pos)?;
    context.append(&mut writer.context);
    Ok(writer.out)
}

/// Where text goes.
trait Sink {
    fn text(&mut self, bytes: &[u8]);
    fn spaces(&mut self, count: usize);
    /// What a string in the text depends on.
    fn depends(_context: &mut Vec<ContextElement>, _on: &[ContextElement]) {}
}

/// Text of which only the length is wanted.
struct Length(usize);

impl Sink for Length {
    fn text(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }

    fn spaces(&mut self, count: usize) {
        self.0 += count;
    }
}

impl Sink for Vec<u8> {
    fn text(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn spaces(&mut self, count: usize) {
        self.extend(std::iter::repeat_n(b' ', count));
    }

    fn depends(context: &mut Vec<ContextElement>, on: &[ContextElement]) {
        context.extend_from_slice(on);
    }
}

struct Writer<'e, 'h, Out> {
    ev: &'e Evaluator<'h>,
    locations: Locations,
    forcing: Forcing,
    context: Vec<ContextElement>,
    out: Out,
    depth: usize,
    /// The derivations that were written already.
    seen: HashSet<Vec<u8>, FxBuildHasher>,
}

/// Attributes of an element, in the order of their names.
type XmlAttrs<'a> = [(&'a str, &'a [u8])];

impl<'e, 'h, Out: Sink> Writer<'e, 'h, Out> {
    fn new(
        ev: &'e Evaluator<'h>,
        (locations, forcing): (Locations, Forcing),
        out: Out,
    ) -> Self {
        let (context, seen) = (Vec::new(), HashSet::default());
        Self { ev, locations, forcing, context, out, depth: 1, seen }
    }

    fn document(&mut self, value: Value<'h>, pos: Pos) -> Result<()> {
        self.out.text(b"<?xml version='1.0' encoding='utf-8'?>\n<expr>\n");
        self.value(value, pos)?;
        self.out.text(b"</expr>\n");
        Ok(())
    }

    fn value(&mut self, value: Value<'h>, pos: Pos) -> Result<()> {
        let value = match self.forcing {
            Forcing::Deep => self.ev.force(value)?,
            Forcing::Nothing => value.peek(),
        };
        match value {
            Value::Null => self.empty("null", &[]),
            Value::Bool(bool) => {
                let text: &[u8] = if bool { b"true" } else { b"false" };
                self.empty("bool", &[("value", text)]);
            }
            Value::Int(int) => {
                self.empty("int", &[("value", int.to_string().as_bytes())])
            }
            Value::Float(float) => {
                self.empty("float", &[("value", float_text(float).as_bytes())]);
            }
            Value::String(string) => {
                Out::depends(&mut self.context, string.context);
                self.empty("string", &[("value", string.bytes)]);
            }
            Value::Path(path) => self.empty("path", &[("value", path.bytes)]),
            Value::List(list) => {
                self.open("list", &[]);
                let (ev, _call) = (self.ev, self.ev.enter_call(pos)?);
                ev.with_stack(|| {
                    list.items.iter().try_for_each(|slot| self.value(slot.get(), pos))
                })?;
                self.close("list");
            }
            Value::Attrs(attrs) => {
                let (ev, _call) = (self.ev, self.ev.enter_call(pos)?);
                ev.with_stack(|| self.set(attrs))?;
            }
            Value::Lambda(closure) => self.lambda(closure.lambda),
            Value::Builtin(_) | Value::Partial(_) | Value::Thunk(_) => {
                self.empty("unevaluated", &[]);
            }
        }
        Ok(())
    }

    fn set(&mut self, attrs: &'h Attrs<'h>) -> Result<()> {
        if !self.ev.is_derivation(attrs)? {
            self.open("attrs", &[]);
            self.attributes(attrs)?;
            self.close("attrs");
            return Ok(());
        }
        let drv_path = self.string_attr(attrs, sym::DRV_PATH)?;
        let out_path = self.string_attr(attrs, sym::OUT_PATH)?;
        let paths = [("drvPath", drv_path), ("outPath", out_path)];
        let present: Vec<_> =
            paths.iter().filter_map(|(name, path)| Some((*name, (*path)?))).collect();
        self.open("derivation", &present);
        if drv_path
            .is_some_and(|path| !path.is_empty() && self.seen.insert(path.to_vec()))
        {
            self.attributes(attrs)?;
        } else {
            self.empty("repeated", &[]);
        }
        self.close("derivation");
        Ok(())
    }

    /// An attribute, if it is there and a string.
    fn string_attr(
        &self,
        attrs: &'h Attrs<'h>,
        name: Symbol,
    ) -> Result<Option<&'h [u8]>> {
        let Some(slot) = attrs.get(name) else { return Ok(None) };
        Ok(match self.ev.force_slot(slot)? {
            Value::String(string) => Some(string.bytes),
            _ => None,
        })
    }

    fn attributes(&mut self, attrs: &'h Attrs<'h>) -> Result<()> {
        for attr in self.ev.sorted_by_name(attrs) {
            let name = self.ev.symbols.name(attr.name);
            self.open_at("attr", attr.pos, Some(name));
            self.value(attr.slot.get(), attr.pos)?;
            self.close("attr");
        }
        Ok(())
    }

    fn lambda(&mut self, lambda: &Lambda<'h>) {
        self.open_at("function", lambda.pos, None);
        match &lambda.parameter {
            Parameter::Ident(name) => {
                self.empty("varpat", &[("name", self.ev.symbols.name(*name))]);
            }
            Parameter::Formals(formals) => {
                let mut xml_attrs: Vec<(&str, &[u8])> = Vec::new();
                if formals.ellipsis {
                    xml_attrs.push(("ellipsis", b"1"));
                }
                if let Some(name) = formals.binding {
                    xml_attrs.push(("name", self.ev.symbols.name(name)));
                }
                self.open("attrspat", &xml_attrs);
                let names = formals.formals.iter();
                let mut names: Vec<_> =
                    names.map(|formal| self.ev.symbols.name(formal.name)).collect();
                names.sort_unstable();
                for name in names {
                    self.empty("attr", &[("name", name)]);
                }
                self.close("attrspat");
            }
        }
        self.close("function");
    }

    // ---- elements -------------------------------------------------------------------------------

    /// Opens an element that may say where it was written.
    fn open_at(&mut self, element: &str, pos: Pos, name: Option<&[u8]>) {
        let mut xml_attrs = Vec::new();
        let place = self.ev.sources.place(pos);
        let place = place.filter(|_| self.locations == Locations::Written);
        let (line, column, path);
        if let Some(place) = place {
            column = place.column.to_string();
            line = place.line.to_string();
            xml_attrs.push(("column", column.as_bytes()));
            xml_attrs.push(("line", line.as_bytes()));
        }
        if let Some(name) = name {
            xml_attrs.push(("name", name));
        }
        if let Some(crate::source::Origin::File(file)) = place.map(|place| place.origin) {
            path = file;
            xml_attrs.push(("path", path));
        }
        self.open(element, &xml_attrs);
    }

    fn open(&mut self, element: &str, xml_attrs: &XmlAttrs<'_>) {
        self.start(element, xml_attrs);
        self.out.text(b">\n");
        self.depth += 1;
    }

    fn empty(&mut self, element: &str, xml_attrs: &XmlAttrs<'_>) {
        self.start(element, xml_attrs);
        self.out.text(b" />\n");
    }

    fn close(&mut self, element: &str) {
        self.depth -= 1;
        self.indent();
        self.out.text(b"</");
        self.out.text(element.as_bytes());
        self.out.text(b">\n");
    }

    fn indent(&mut self) {
        #[cfg(fuzzing)]
        crate::fuel::burn(1 + self.depth as u64 / 32);
        self.out.spaces(self.depth * 2);
    }

    fn start(&mut self, element: &str, xml_attrs: &XmlAttrs<'_>) {
        self.indent();
        self.out.text(b"<");
        self.out.text(element.as_bytes());
        for (name, value) in xml_attrs {
            self.out.text(b" ");
            self.out.text(name.as_bytes());
            self.out.text(b"=\"");
            self.escaped(value);
            self.out.text(b"\"");
        }
    }

    fn escaped(&mut self, text: &[u8]) {
        let mut plain = 0;
        for (index, byte) in text.iter().enumerate() {
            let escape: &[u8] = match byte {
                b'"' => b"&quot;",
                b'<' => b"&lt;",
                b'>' => b"&gt;",
                b'&' => b"&amp;",
                // A newline as such would be read back as a space.
                b'\n' => b"&#xA;",
                _ => continue,
            };
            self.out.text(&text[plain..index]);
            self.out.text(escape);
            plain = index + 1;
        }
        self.out.text(&text[plain..]);
    }
}
