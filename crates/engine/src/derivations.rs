//! The derivations in a value, as `nix-build` finds them; and what a string depends on.

use picnix_build::{Outputs, Target};
use picnix_eval::pos::Pos;
use picnix_eval::value::{Attr, Attrs, Context, ContextElement, Held, Items, Slot};
use picnix_eval::{Coercion, Value, bail, sym};
use picnix_store_core::{OutputName, StorePath};

use crate::session::Session;

/// The deepest nesting of sets and lists that is searched.
const MAX_DEPTH: usize = 64;

/// One derivation of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The derivation path.
    pub drv_path: StorePath,
    /// The output that the value stands for.
    pub output: OutputName,
}

/// A member of a set or list in which derivations are searched; `depth` is how deep it lies.
#[derive(Clone, Copy)]
pub(crate) enum Member<'h> {
    Attr { attr: Attr<'h>, depth: usize },
    Item { slot: &'h Slot<'h>, depth: usize },
}

impl Held for Member<'_> {
    fn visit(&self, visit: &mut dyn FnMut(usize)) {
        match self {
            Self::Attr { attr, .. } => attr.slot.visit(visit),
            Self::Item { slot, .. } => slot.visit(visit),
        }
    }
}

/// What the search for derivations sees.
pub(crate) enum Look<'h> {
    Derivation(&'h Attrs<'h>),
    /// The members that are searched.
    Members(Items<'h, Member<'h>>),
    Nothing,
}

/// Whether the name of an attribute is one under which Nix looks for derivations.
pub(crate) fn is_searched(name: &[u8]) -> bool {
    let is_first = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    let is_further = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_+".contains(byte);
    name.first().is_some_and(is_first) && name.iter().all(is_further)
}

impl<'h> Session<'_, 'h> {
    /// The derivations of a value: itself, or those in a list or set. A set inside a set is searched only where
    /// it says `recurseForDerivations = true`.
    ///
    /// # Errors
    /// The value, or a part that has to be looked at, cannot be evaluated; or there is no derivation in it.
    pub fn derivations(&self, value: Value<'h>) -> picnix_eval::Result<Vec<Found>> {
        let mut found = Vec::new();
        self.collect(self.look_at_root(value)?, &mut found)?;
        Ok(found)
    }

    /// What a value is that the user has named.
    pub(crate) fn look_at_root(&self, value: Value<'h>) -> picnix_eval::Result<Look<'h>> {
        match self.ev.auto_call(value, self.arguments)? {
            value @ (Value::Attrs(_) | Value::List(_)) => self.look_inside(value, 0),
            other => bail!(
                Type,
                "expression does not evaluate to a derivation (or a set or list of those)";
                hint: format!("it is {}", other.type_phrase())
            ),
        }
    }

    /// What a member of a set or list is.
    pub(crate) fn look(&self, member: Member<'h>) -> picnix_eval::Result<Look<'h>> {
        let (slot, depth) = match member {
            Member::Item { slot, depth } => {
                return self.look_inside(self.ev.force(slot.get())?, depth);
            }
            Member::Attr { attr, depth } => (attr.slot, depth),
        };
        let member = self.ev.force_slot(slot)?;
        // A member of the outermost set counts where it is a derivation or wants to be searched.
        let is_outermost = depth == 0;
        let recurses = !is_outermost && self.recurses(member)?;
        let Value::Attrs(attrs) = member else { return Ok(Look::Nothing) };
        if self.ev.is_derivation(attrs)? {
            return Ok(Look::Derivation(attrs));
        }
        if recurses || (is_outermost && self.recurses(member)?) {
            return self.look_inside(member, depth + 1);
        }
        Ok(Look::Nothing)
    }

    fn look_inside(
        &self,
        value: Value<'h>,
        depth: usize,
    ) -> picnix_eval::Result<Look<'h>> {
        if depth > MAX_DEPTH {
            bail!(
                Other,
                "sets and lists of derivations are nested deeper than {MAX_DEPTH}"
            );
        }
        let value = self.ev.auto_call(value, self.arguments)?;
        Ok(match value {
            Value::Attrs(attrs) if self.ev.is_derivation(attrs)? => {
                Look::Derivation(attrs)
            }
            Value::Attrs(attrs) => {
                let sorted = self.ev.sorted_by_name(attrs).into_iter();
                let name = |attr: &Attr<'h>| self.ev.symbols.name(attr.name);
                let searched = sorted.filter(|attr| is_searched(name(attr)));
                let members = searched.map(|attr| Member::Attr { attr, depth });
                Look::Members(Items::from_iter(self.ev.heap, members))
            }
            Value::List(list) => {
                let depth = depth + 1;
                let members = list.items.iter().map(|slot| Member::Item { slot, depth });
                Look::Members(Items::from_iter(self.ev.heap, members))
            }
            _ => Look::Nothing,
        })
    }

    /// The derivations of what was looked at.
    pub(crate) fn collect(
        &self,
        look: Look<'h>,
        found: &mut Vec<Found>,
    ) -> picnix_eval::Result<()> {
        match look {
            Look::Nothing => {}
            Look::Derivation(attrs) => found.push(self.found(attrs)?),
            Look::Members(members) => {
                let value = |member: &Member<'h>| match member {
                    Member::Attr { attr, .. } => attr.slot.get(),
                    Member::Item { slot, .. } => slot.get(),
                };
                let visit = self.ev.visiting(|| members.iter().map(value));
                for (index, member) in members.iter().copied().enumerate() {
                    visit.at(index);
                    let looked = self.look(member);
                    looked
                        .and_then(|look| self.collect(look, found))
                        .map_err(|error| self.trace_member(error, member))?;
                }
            }
        }
        Ok(())
    }

    #[cold]
    pub(crate) fn trace_member(
        &self,
        error: picnix_eval::Error,
        member: Member<'h>,
    ) -> picnix_eval::Error {
        let Member::Attr { attr, .. } = member else { return error };
        let name = self.ev.symbols.text(attr.name);
        error.trace(attr.pos, format!("while evaluating the attribute '{name}'"))
    }

    fn recurses(&self, value: Value<'h>) -> picnix_eval::Result<bool> {
        let Value::Attrs(attrs) = value else { return Ok(false) };
        match attrs.get(self.ev.symbol(b"recurseForDerivations")) {
            Some(slot) => Ok(matches!(self.ev.force_slot(slot)?, Value::Bool(true))),
            None => Ok(false),
        }
    }

    /// The derivation that a set describes.
    ///
    /// # Errors
    /// Its `drvPath` or `outputName` is missing or wrong.
    pub fn found(&self, attrs: &'h Attrs<'h>) -> picnix_eval::Result<Found> {
        let doing = "while evaluating the 'drvPath' attribute of a derivation";
        let slot = self.ev.required_attr(attrs, sym::DRV_PATH, Pos::NONE, doing)?;
        let path = self.ev.force_slot(slot)?;
        let path = self.ev.coerce_to_string(path, Pos::NONE, Coercion::STRING, doing)?;
        let drv_path = match self.ev.world.store_dir().parse_path(path.bytes) {
            Ok(path) => path,
            Err(error) => bail!(Other, "{error}"),
        };
        let output = match attrs.get(sym::OUTPUT_NAME) {
            None => OutputName::out(),
            Some(slot) => {
                let doing = "while evaluating the output name of a derivation";
                let value = self.ev.force_slot(slot)?;
                let name = self.ev.expect_string(value, Pos::NONE, doing)?;
                match OutputName::parse(name.bytes) {
                    Ok(name) => name,
                    Err(error) => bail!(Other, "{error}"),
                }
            }
        };
        Ok(Found { drv_path, output })
    }

    /// The derivations that have to be built for a string to mean something.
    ///
    /// # Errors
    /// A name is none of an output, or the derivation is known only once another one is built.
    pub fn targets(&self, context: Context<'h>) -> picnix_eval::Result<Vec<Target>> {
        let mut targets = Vec::new();
        for element in context {
            match *element {
                ContextElement::Opaque(_) => {}
                ContextElement::DrvDeep(id) => targets.push(Target {
                    drv_path: (*self.ev.store_path(id)).clone(),
                    outputs: Outputs::All,
                }),
                ContextElement::Built(id, output) => {
                    let name = OutputName::parse(self.ev.symbols.name(output))?;
                    let drv_path = (*self.ev.store_path(id)).clone();
                    targets.push(crate::engine::target(drv_path, [name]));
                }
                ContextElement::Dynamic(..) => return Err(self.ev.no_dynamic(*element)),
            }
        }
        Ok(targets)
    }

    /// A value as JSON, and what has to be built for it.
    ///
    /// # Errors
    /// A part of the value cannot be evaluated or has no JSON.
    pub fn to_json(
        &self,
        value: Value<'h>,
    ) -> picnix_eval::Result<(String, Vec<Target>)> {
        let builtin = picnix_eval::builtins::find("toJSON").expect("the builtin exists");
        let json = self.ev.call(Value::Builtin(builtin), &[value], Pos::NONE)?;
        let json = self.ev.expect_string(json, Pos::NONE, "")?;
        Ok((json.to_string_lossy().into_owned(), self.targets(json.context)?))
    }
}
