//! Values on their way from one process to another, as far as printing needs them.
//!
//! What `--strict` prints depends on which sets are the same object: the second time, a set is `«repeated»`. So a
//! fragment keeps, beside the text of what is atomic, the structure of sets and lists and a number for each of
//! them; where one is met again, the number alone is written.
//!
//! Format, integers in little-endian order: `s` length bytes | `a` number count (length name, fragment)... |
//! `l` number count fragment... | `r` number.

use rustc_hash::FxHashMap;

use crate::bail;
use crate::error::Result;
use crate::evaluator::Evaluator;
use crate::print::print_attr_name;
use crate::value::Value;

/// Values that are nested deeper make no fragments.
const MAX_DEPTH: usize = 1000;

/// The numbers of sets and lists.
#[derive(Default)]
pub struct Numbers {
    known: FxHashMap<usize, u32>,
    next: u32,
}

impl Numbers {
    /// The number that the next new object gets.
    #[must_use]
    pub fn next(&self) -> u32 {
        self.next
    }

    /// The number of a set or list, and whether it is new.
    pub fn of(&mut self, value: Value<'_>) -> Option<(u32, bool)> {
        let address = match value {
            Value::Attrs(attrs) => std::ptr::from_ref(attrs).addr(),
            Value::List(list) => std::ptr::from_ref(list).addr(),
            _ => return None,
        };
        let next = self.next;
        let number = *self.known.entry(address).or_insert(next);
        let is_new = number == next;
        if is_new {
            self.next += 1;
        }
        Some((number, is_new))
    }
}

impl<'h> Evaluator<'h> {
    /// Writes a value that was forced deeply as a fragment.
    ///
    /// # Errors
    /// The value is nested too deeply, or more than 4 GiB long.
    pub fn write_fragment(
        &self,
        value: Value<'h>,
        numbers: &mut Numbers,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        self.write_fragment_at(value, 0, numbers, out)
    }

    fn write_fragment_at(
        &self,
        value: Value<'h>,
        depth: usize,
        numbers: &mut Numbers,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        if depth > MAX_DEPTH {
            bail!(StackOverflow, "stack overflow; max-call-depth exceeded");
        }
        let value = value.peek();
        let is_collection = match value {
            Value::Attrs(attrs) => !attrs.is_empty(),
            Value::List(list) => !list.is_empty(),
            _ => false,
        };
        let numbered = if is_collection { numbers.of(value) } else { None };
        let Some((number, is_new)) = numbered else {
            out.push(b's');
            return text(out, &self.print_ambiguous(value)?);
        };
        if !is_new {
            out.push(b'r');
            out.extend_from_slice(&number.to_le_bytes());
            return Ok(());
        }
        match value {
            Value::Attrs(attrs) => {
                let attrs = self.sorted_by_name(attrs);
                header(out, b'a', number, attrs.len())?;
                for attr in attrs {
                    let mut name = Vec::new();
                    print_attr_name(&mut name, self.symbols.name(attr.name));
                    text(out, &name)?;
                    let member = attr.slot.get();
                    self.with_stack(|| {
                        self.write_fragment_at(member, depth + 1, numbers, out)
                    })?;
                }
            }
            Value::List(list) => {
                header(out, b'l', number, list.len())?;
                for member in list.iter() {
                    self.with_stack(|| {
                        self.write_fragment_at(member, depth + 1, numbers, out)
                    })?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn header(out: &mut Vec<u8>, kind: u8, number: u32, count: usize) -> Result<()> {
    out.push(kind);
    out.extend_from_slice(&number.to_le_bytes());
    length(out, count)
}

fn text(out: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    length(out, bytes.len())?;
    out.extend_from_slice(bytes);
    Ok(())
}

fn length(out: &mut Vec<u8>, length: usize) -> Result<()> {
    let Ok(length) = u32::try_from(length) else {
        bail!(Other, "a value of 4 GiB cannot be handed to another process");
    };
    out.extend_from_slice(&length.to_le_bytes());
    Ok(())
}
