//! Turning values into strings and paths, and the contexts of strings.

pub use picnix_syntax::canonical_path;

use crate::bail;
use crate::err;
use crate::error::{At, Error, Kind, Result};
use crate::evaluator::Evaluator;
use crate::pos::Pos;
use crate::symbol::sym;
use crate::value::{Attr, Attrs, Context, ContextElement, Items, PathId, Str, Value};
use crate::world::{Ingestion, Realisation, WorldError};

/// How willing a coercion to a string is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coercion {
    /// Numbers, Booleans, null and lists become strings too.
    pub more: bool,
    /// A path is copied to the store and becomes its store path.
    pub copy_to_store: bool,
}

impl Coercion {
    /// Strings, paths as they are, and sets that say how.
    pub const STRING: Self = Self { more: false, copy_to_store: false };
    /// `builtins.toString`
    pub const TO_STRING: Self = Self { more: true, copy_to_store: false };
    /// The attributes of a derivation.
    pub const ENV: Self = Self { more: true, copy_to_store: true };
    /// `"${...}"`
    pub const INTERPOLATION: Self = Self { more: false, copy_to_store: true };
}

impl<'h> Evaluator<'h> {
    /// Coerces a value to a string with its context.
    ///
    /// # Errors
    /// The value cannot be evaluated or is of a kind that the coercion does not take.
    pub fn coerce_to_string(
        &self,
        value: Value<'h>,
        pos: Pos,
        coercion: Coercion,
        doing: &str,
    ) -> Result<&'h Str<'h>> {
        let heap = self.heap;
        let plain = |bytes: &[u8]| -> Result<&'h Str<'h>> {
            Ok(heap.alloc(Str { bytes: heap.bytes(bytes), context: &[] }))
        };
        match self.force(value).at(pos)? {
            Value::String(string) => Ok(string),
            Value::Path(path) if coercion.copy_to_store => {
                let id = self.copy_path_to_store(path.bytes, pos)?;
                let context = heap.slice(&[ContextElement::Opaque(id)]);
                Ok(heap.alloc(Str { bytes: self.print_store_path(id), context }))
            }
            Value::Path(path) => Ok(heap.alloc(Str { bytes: path.bytes, context: &[] })),
            Value::Attrs(attrs) => self.attrs_to_string(attrs, pos, coercion, doing),
            Value::Bool(true) if coercion.more => plain(b"1"),
            Value::Bool(false) | Value::Null if coercion.more => plain(b""),
            Value::Int(int) if coercion.more => plain(int.to_string().as_bytes()),
            Value::Float(float) if coercion.more => {
                plain(format!("{float:.6}").as_bytes())
            }
            Value::List(list) if coercion.more => {
                let _call = self.enter_call(pos)?;
                self.with_stack(|| self.list_to_string(list, pos, coercion))
                    .trace(pos, || doing)
            }
            other => Err(self.cannot_coerce(other).trace(pos, doing)),
        }
    }

    #[cold]
    fn cannot_coerce(&self, value: Value<'h>) -> Error {
        err!(
            Type,
            "cannot coerce {} to a string: {}",
            value.type_phrase(),
            self.print_for_error(value)
        )
    }

    fn attrs_to_string(
        &self,
        attrs: &'h Attrs<'h>,
        pos: Pos,
        coercion: Coercion,
        doing: &str,
    ) -> Result<&'h Str<'h>> {
        let _call = self.enter_call(pos)?;
        self.with_stack(|| {
            if let Some(to_string) = attrs.get(sym::TO_STRING) {
                let text = self.call(to_string.get(), &[Value::Attrs(attrs)], pos)?;
                let doing = "while evaluating the result of the `__toString` attribute";
                return self.coerce_to_string(text, pos, coercion, doing);
            }
            match attrs.get(sym::OUT_PATH) {
                Some(out_path) => {
                    let value = self.force_slot(out_path)?;
                    self.coerce_to_string(value, pos, coercion, doing)
                }
                None => Err(self.cannot_coerce(Value::Attrs(attrs)).trace(pos, doing)),
            }
        })
    }

    /// Elements are joined by spaces, except after an empty list.
    fn list_to_string(
        &self,
        list: &'h crate::value::List<'h>,
        pos: Pos,
        coercion: Coercion,
    ) -> Result<&'h Str<'h>> {
        let doing = "while evaluating one element of the list";
        let mut bytes = self.buffer();
        let mut context: Context<'h> = &[];
        for (index, slot) in list.items.iter().enumerate() {
            let value = self.force_slot(slot)?;
            let part = self.coerce_to_string(value, pos, coercion, doing)?;
            bytes.extend_from_slice(part.bytes);
            context = self.context_union(context, part.context);
            let skip = matches!(value, Value::List(inner) if inner.is_empty());
            if index + 1 < list.len() && !skip {
                bytes.push(b' ');
            }
        }
        let string = self.heap.alloc(Str { bytes: self.heap.bytes(&bytes), context });
        self.reuse_buffer(bytes);
        Ok(string)
    }

    /// Coerces a value to an absolute, canonical path, and tells the context that came with it.
    ///
    /// # Errors
    /// The value is no path and no string that is one.
    pub fn coerce_to_path(
        &self,
        value: Value<'h>,
        pos: Pos,
        doing: &str,
    ) -> Result<(&'h [u8], Context<'h>)> {
        let value = self.force(value).trace(pos, || doing)?;
        if let Value::Path(path) = value {
            return Ok((path.bytes, &[]));
        }
        if let Value::Attrs(attrs) = value
            && let Some(to_string) = attrs.get(sym::TO_STRING)
        {
            let result = self.call(to_string.get(), &[value], pos)?;
            return self.coerce_to_path(result, pos, doing);
        }
        let string = self.coerce_to_string(value, pos, Coercion::STRING, doing)?;
        if !string.bytes.starts_with(b"/") {
            let text = string.to_string_lossy();
            return Err(err!(
                Other,
                "string '{text}' doesn't represent an absolute path"
            )
            .at(pos)
            .trace(pos, doing));
        }
        Ok((self.heap.bytes(&canonical_path(string.bytes)), string.context))
    }

    /// Coerces to a path that can be read now: what its context needs has been built.
    ///
    /// # Errors
    /// See [`Self::coerce_to_path`]; or a build failed.
    pub fn readable_path(
        &self,
        value: Value<'h>,
        pos: Pos,
        doing: &str,
    ) -> Result<&'h [u8]> {
        let (path, context) = self.coerce_to_path(value, pos, doing)?;
        self.realise_context(context, pos)?;
        Ok(path)
    }

    /// Makes everything that a context names valid, by building if need be.
    ///
    /// # Errors
    /// A build failed, or is not allowed.
    pub fn realise_context(&self, context: Context<'h>, pos: Pos) -> Result<()> {
        if context.is_empty() {
            return Ok(());
        }
        let mut what = Vec::with_capacity(context.len());
        for element in context {
            what.push(match *element {
                ContextElement::Opaque(id) => {
                    Realisation::Opaque((*self.store_path(id)).clone())
                }
                ContextElement::DrvDeep(id) => {
                    Realisation::DrvDeep((*self.store_path(id)).clone())
                }
                ContextElement::Built(..) | ContextElement::Dynamic(..)
                    if !self.settings.allow_import_from_derivation =>
                {
                    bail!(
                        pos => World,
                        "cannot build '{}' during evaluation because the option \
                         'allow-import-from-derivation' is disabled",
                        self.show_context_element(*element)
                    );
                }
                ContextElement::Built(id, output) => {
                    let drv = (*self.store_path(id)).clone();
                    Realisation::Built(drv, self.symbols.text(output))
                }
                ContextElement::Dynamic(..) => {
                    return Err(self.no_dynamic(*element).at(pos));
                }
            });
        }
        self.world.realise(&what).map_err(|error| self.world_error(error, pos))
    }

    /// Copies a path to the store, once per evaluation.
    ///
    /// # Errors
    /// The path is not there, or its name cannot be that of a store object.
    pub fn copy_path_to_store(&self, path: &'h [u8], pos: Pos) -> Result<PathId> {
        if let Some(id) = self.copied_paths.borrow().get(path) {
            return Ok(*id);
        }
        if path.ends_with(b".drv") {
            bail!(pos => Other, "file names are not allowed to end in '.drv'");
        }
        let start = memchr::memrchr(b'/', path).map_or(0, |slash| slash + 1);
        let name = String::from_utf8_lossy(&path[start..]).into_owned();
        let resolved = self.resolve_ancestors(path, pos)?;
        let store_path = self
            .world
            .add_path(resolved, &name, Ingestion::Nar, None, None, &[])
            .map_err(|error| self.world_error(error, pos))??;
        let id = self.path_id(&store_path);
        self.copied_paths.borrow_mut().insert(path, id);
        Ok(id)
    }

    /// The error of the outside as one of the language.
    #[cold]
    pub fn world_error(&self, error: WorldError, pos: Pos) -> Error {
        let kind = match error {
            WorldError { is_build_failure: true, .. } => Kind::Build,
            WorldError { is_forbidden: true, .. } => Kind::Forbidden,
            _ => Kind::World,
        };
        let made = Error::new(kind, error.message).at(pos).with_status(error.nix_status);
        match error.hint {
            Some(hint) => made.hint(hint),
            None => made,
        }
    }

    // ---- contexts -------------------------------------------------------------------------------

    /// The union of two contexts.
    pub fn context_union(&self, a: Context<'h>, b: Context<'h>) -> Context<'h> {
        if b.is_empty() || std::ptr::eq(a, b) {
            return a;
        }
        if a.is_empty() {
            return b;
        }
        if b.iter().all(|element| a.binary_search(element).is_ok()) {
            return a;
        }
        self.context_from([a, b].concat())
    }

    /// A context out of elements in any order.
    pub fn context_from(&self, mut elements: Vec<ContextElement>) -> Context<'h> {
        elements.sort_unstable();
        elements.dedup();
        let mut contexts = self.contexts.borrow_mut();
        if let Some((known, ())) = contexts.get_key_value(&*elements) {
            return known;
        }
        let made = self.heap.slice(&elements);
        contexts.insert(made, ());
        made
    }

    /// A context element as Nix shows it.
    pub fn show_context_element(&self, element: ContextElement) -> String {
        let text = |id| String::from_utf8_lossy(self.print_store_path(id)).into_owned();
        match element {
            ContextElement::Opaque(id) => text(id),
            ContextElement::DrvDeep(id) => format!("{} (deep)", text(id)),
            ContextElement::Built(id, output) | ContextElement::Dynamic(id, output) => {
                let names = self.symbols.text(output);
                let mut shown = text(id);
                for name in names.rsplit('!') {
                    shown.push('^');
                    shown.push_str(name);
                }
                shown
            }
        }
    }

    /// The error of who wants to build an output of a derivation that must be built itself.
    #[cold]
    pub fn no_dynamic(&self, element: ContextElement) -> Error {
        let shown = self.show_context_element(element);
        err!(World, "cannot build '{shown}': dynamic derivations are not supported")
    }

    /// The attributes of a set in the order that users see: by the bytes of their names.
    pub fn sorted_by_name(&self, attrs: &'h Attrs<'h>) -> Items<'h, Attr<'h>> {
        let (shape, slots) = attrs.parts(self.heap);
        let attr = |(_, index): (u64, usize)| Attr {
            name: shape.names[index],
            pos: shape.positions[index],
            slot: &slots[index],
        };
        let order = self.symbols.sorted(shape.names);
        Items::from_iter(self.heap, order.into_iter().map(attr))
    }
}
