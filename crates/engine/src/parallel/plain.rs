//! What `--strict` prints, made by several processes.
//!
//! A set that was printed already is `«repeated»`, so it matters which sets are one object. In one process that is
//! known. Sets of different processes can be one object only if they look alike; then both are looked up in this
//! process, where they are one or are not. Which lists are one depends on the order of evaluation (Nix goes by where
//! a list is stored, not by what it is), so where lists look alike everything is done on one core.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use picnix_eval::fragment::Numbers;
use picnix_eval::pos::Pos;
use picnix_eval::{Error, Result, Seen, Value, print_attr_name};

use super::conduct::{Harvest, OURSELVES, conduct};
use super::explore::{Entered, Explorer, Kept, Part, Wanted, Work};
use super::territory::Place;
use super::wire::{Reader, Writer};
use crate::session::{Session, WorkError};

/// Values that are nested deeper are printed on one core.
const MAX_DEPTH: usize = 2000;

struct Plain<'s, 'e, 'h> {
    session: &'s Session<'e, 'h>,
    seen: Seen,
    numbers: Numbers,
    kept: Kept<'h>,
}

/// A value, forced deeply and printed; none if that is not a thing for several processes.
pub(super) fn print<'h>(
    session: &Session<'_, 'h>,
    value: Value<'h>,
) -> std::result::Result<Option<Vec<u8>>, WorkError> {
    let (seen, numbers, kept) =
        (Seen::default(), Numbers::default(), Kept::new(session.ev));
    let work = Plain { session, seen, numbers, kept };
    let explorer = Explorer::new(work, Part { value, pos: Pos::NONE, depth: 0 });
    let Some(harvest) = conduct(session, explorer)? else { return Ok(None) };
    if harvest.known_at_start.len() == 1 {
        // There was no help.
        return Ok(Some(session.ev.print_ambiguous(value)?));
    }
    let messages = session.world.messages();
    let mut table = Table::default();
    let top = table.read(&harvest, &mut Vec::new(), None).ok_or(WorkError::Again)?;
    let mut printer = Printer {
        looks: vec![None; table.nodes.len()],
        printed: vec![false; table.nodes.len()],
        addresses: HashMap::new(),
        alike: HashMap::new(),
        table: &table,
        session,
        top: value,
        out: Vec::new(),
    };
    printer.print(top, 0).ok_or(WorkError::Again)?;
    if session.world.messages() != messages {
        return Err(WorkError::Again);
    }
    Ok(Some(printer.out))
}

impl<'h> Work for Plain<'_, '_, 'h> {
    type Part = Part<'h>;

    fn enter(
        &mut self,
        part: &Part<'h>,
        wanted: Wanted,
    ) -> Result<Option<Entered<Part<'h>>>> {
        let ev = self.session.ev;
        let value = ev.deeper(part.depth + 1, || ev.force(part.value))?;
        let count = match value {
            Value::List(list) => list.len(),
            Value::Attrs(attrs) => attrs.len(),
            _ => return Ok(None),
        };
        if !wanted.includes(count) || (!self.seen.note(value) && wanted != Wanted::All) {
            return Ok(None);
        }
        let Some((number, _)) = self.numbers.of(value) else { return Ok(None) };
        let depth = part.depth + 1;
        let mut shape = number.to_le_bytes().to_vec();
        let mut writer = Writer(&mut shape);
        let mut members: Vec<Part<'h>> = Vec::with_capacity(count);
        match value {
            Value::Attrs(attrs) => {
                writer.byte(b'a');
                for attr in ev.sorted_by_name(attrs) {
                    let mut name = Vec::new();
                    print_attr_name(&mut name, ev.symbols.name(attr.name));
                    writer.bytes(&name);
                    members.push(Part { value: attr.slot.get(), pos: attr.pos, depth });
                }
            }
            Value::List(list) => {
                writer.byte(b'l');
                let pos = part.pos;
                members.extend(list.iter().map(|value| Part { value, pos, depth }));
            }
            _ => {}
        }
        self.kept.keep(members.iter().map(|part| part.value));
        Ok(Some(Entered { shape, members }))
    }

    fn handle(&mut self, part: &Part<'h>, out: &mut Vec<u8>) -> Result<()> {
        self.repeat(part)?;
        self.session.ev.write_fragment(part.value, &mut self.numbers, out)
    }

    fn repeat(&mut self, part: &Part<'h>) -> Result<()> {
        let (ev, Part { value, pos, depth }) = (self.session.ev, *part);
        ev.deeper(depth, || ev.force_deep_further(value, pos, &mut self.seen))
    }

    fn tell(&self, error: Error, ancestors: &[(Part<'h>, u32)]) -> Option<Error> {
        let ev = self.session.ev;
        let mut error = error;
        for (part, number) in ancestors.iter().rev() {
            error = match part.value.peek() {
                Value::Attrs(attrs) => {
                    let attr = *ev.sorted_by_name(attrs).get(*number as usize)?;
                    let name = ev.symbols.shown(attr.name);
                    error.trace(
                        attr.pos,
                        format!("while evaluating the attribute '{name}'"),
                    )
                }
                Value::List(_) => error.trace(
                    Pos::NONE,
                    format!("while evaluating list element at index {number}"),
                ),
                _ => return None,
            };
        }
        Some(error)
    }

    fn numbered(&self) -> u32 {
        self.numbers.next()
    }
}

/// All sets, lists and atoms, from all processes.
#[derive(Default)]
struct Table {
    nodes: Vec<Node>,
    /// Sets and lists by the process that numbered them and their number.
    numbered: HashMap<(u32, u32), usize>,
}

struct Node {
    kind: Kind,
    /// Where it was met first: in which node, as which member.
    parent: Option<(usize, u32)>,
    process: u32,
}

enum Kind {
    Atom(Vec<u8>),
    Attrs(Vec<(Vec<u8>, usize)>),
    List(Vec<usize>),
    /// What another node is, by process and number.
    Same(u32, u32),
}

impl Table {
    fn add(&mut self, process: u32, parent: Option<(usize, u32)>) -> usize {
        self.nodes.push(Node { kind: Kind::List(Vec::new()), parent, process });
        self.nodes.len() - 1
    }

    /// Reads everything at a place; none if something is missing.
    fn read(
        &mut self,
        harvest: &Harvest,
        place: &mut Place,
        parent: Option<(usize, u32)>,
    ) -> Option<usize> {
        let Some(known) = harvest.splits.get(place.as_slice()) else {
            let (process, fragment) = harvest.done.get(place.as_slice())?;
            let first = *harvest.known_at_start.get(*process as usize)?;
            let mut reader = Reader(fragment);
            return self.fragment(&mut reader, (*process, first), parent);
        };
        let node = self.add(OURSELVES, parent);
        let mut kind = b'l';
        let mut names = Vec::new();
        for (process, shape) in &known.shapes {
            let mut reader = Reader(shape);
            let key = owner(*process, reader.word()?, harvest)?;
            self.numbered.entry(key).or_insert(node);
            kind = reader.byte()?;
            names.clear();
            while !reader.0.is_empty() {
                names.push(reader.bytes()?.to_vec());
            }
        }
        // Any of those that have entered it will do, but only one may be named.
        self.nodes[node].process = known.shapes.first()?.0;
        let mut members = Vec::new();
        for number in 0..known.count {
            place.push(number);
            members.push(self.read(harvest, place, Some((node, number)))?);
            place.pop();
        }
        self.nodes[node].kind = match kind {
            b'a' => Kind::Attrs(names.into_iter().zip(members).collect()),
            _ => Kind::List(members),
        };
        Some(node)
    }

    /// Reads a fragment of a process; numbers from `first` on are its own.
    fn fragment(
        &mut self,
        reader: &mut Reader<'_>,
        (process, first): (u32, u32),
        parent: Option<(usize, u32)>,
    ) -> Option<usize> {
        let node = self.add(process, parent);
        let own = |number| if number < first { OURSELVES } else { process };
        let kind = reader.byte()?;
        let word = reader.word()?;
        self.nodes[node].kind = match kind {
            b's' => Kind::Atom(reader.take(word as usize)?.to_vec()),
            b'r' => Kind::Same(own(word), word),
            _ => {
                self.numbered.entry((own(word), word)).or_insert(node);
                let count = reader.word()?;
                let mut names = Vec::new();
                let mut members = Vec::new();
                for number in 0..count {
                    if kind == b'a' {
                        let length = reader.word()? as usize;
                        names.push(reader.take(length)?.to_vec());
                    }
                    let parent = Some((node, number));
                    members.push(self.fragment(reader, (process, first), parent)?);
                }
                if kind == b'a' {
                    Kind::Attrs(names.into_iter().zip(members).collect())
                } else {
                    Kind::List(members)
                }
            }
        };
        Some(node)
    }

    /// The node that a node stands for.
    fn resolve(&self, node: usize) -> Option<usize> {
        match self.nodes[node].kind {
            Kind::Same(process, number) => self.numbered.get(&(process, number)).copied(),
            _ => Some(node),
        }
    }
}

/// Whose number a number is.
fn owner(process: u32, number: u32, harvest: &Harvest) -> Option<(u32, u32)> {
    let first = *harvest.known_at_start.get(process as usize)?;
    Some((if number < first { OURSELVES } else { process }, number))
}

/// How a node looks. Nodes that are one object look alike.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Look {
    /// Its contents are being looked at.
    Open,
    /// Its contents lead back to itself or to what does.
    Endless,
    Like(u64, u64),
}

/// Sets that look alike and were printed.
#[derive(Default)]
struct Alike {
    nodes: Vec<usize>,
    /// Their addresses in this process, as far as somebody asked.
    addresses: HashSet<usize>,
}

struct Printer<'t, 'e, 'h> {
    table: &'t Table,
    session: &'t Session<'e, 'h>,
    top: Value<'h>,
    looks: Vec<Option<Look>>,
    printed: Vec<bool>,
    /// The values of nodes in this process: forced parts of `top` (no evaluation) lets go of them.
    addresses: HashMap<usize, Value<'h>>,
    alike: HashMap<(bool, Look), Alike>,
    out: Vec<u8>,
}

impl<'h> Printer<'_, '_, 'h> {
    /// Prints a node; none if that has to be done on one core.
    fn print(&mut self, node: usize, depth: usize) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        let table = self.table;
        let node = table.resolve(node)?;
        match &table.nodes[node].kind {
            Kind::Atom(text) => self.out.extend_from_slice(text),
            Kind::Attrs(members) => {
                if self.is_repeated(node, depth)? {
                    self.out.extend_from_slice("«repeated»".as_bytes());
                    return Some(());
                }
                self.out.extend_from_slice(b"{ ");
                for (name, member) in members {
                    self.out.extend_from_slice(name);
                    self.out.extend_from_slice(b" = ");
                    self.print(*member, depth + 1)?;
                    self.out.extend_from_slice(b"; ");
                }
                self.out.push(b'}');
            }
            Kind::List(members) => {
                self.is_new_list(node, depth)?;
                self.out.extend_from_slice(b"[ ");
                for member in members {
                    self.print(*member, depth + 1)?;
                    self.out.push(b' ');
                }
                self.out.push(b']');
            }
            Kind::Same(..) => return None,
        }
        Some(())
    }

    /// Nothing, if a list looks like one before.
    fn is_new_list(&mut self, node: usize, depth: usize) -> Option<()> {
        let look = self.look(node, depth)?;
        let alike = self.alike.entry((true, look)).or_default();
        alike.nodes.push(node);
        (alike.nodes.len() == 1).then_some(())
    }

    /// Whether a set was printed already.
    fn is_repeated(&mut self, node: usize, depth: usize) -> Option<bool> {
        if std::mem::replace(&mut self.printed[node], true) {
            return Some(true);
        }
        let key = (false, self.look(node, depth)?);
        let process = self.table.nodes[node].process;
        let mut alike = self.alike.remove(&key).unwrap_or_default();
        let is_of_others = |other: &usize| self.table.nodes[*other].process != process;
        if !alike.addresses.is_empty() || alike.nodes.iter().any(is_of_others) {
            for other in std::mem::take(&mut alike.nodes) {
                alike.addresses.insert(self.address(other)?);
            }
            let address = self.address(node)?;
            let is_repeated = !alike.addresses.insert(address);
            self.alike.insert(key, alike);
            return Some(is_repeated);
        }
        alike.nodes.push(node);
        self.alike.insert(key, alike);
        Some(false)
    }

    /// The address of a set in this process.
    fn address(&mut self, node: usize) -> Option<usize> {
        match self.value(node)? {
            Value::Attrs(attrs) => Some(std::ptr::from_ref(attrs).addr()),
            _ => None,
        }
    }

    /// The value of a node in this process, evaluated to its outermost layer.
    fn value(&mut self, node: usize) -> Option<Value<'h>> {
        if let Some(value) = self.addresses.get(&node) {
            return Some(*value);
        }
        let ev = self.session.ev;
        let value = match self.table.nodes[node].parent {
            None => self.top,
            Some((parent, number)) => match self.value(parent)? {
                Value::Attrs(attrs) => {
                    ev.sorted_by_name(attrs).get(number as usize)?.slot.get()
                }
                Value::List(list) => list.items.get(number as usize)?.get(),
                _ => return None,
            },
        };
        let value = ev.force(value).ok()?;
        self.addresses.insert(node, value);
        Some(value)
    }

    /// How a node looks.
    fn look(&mut self, node: usize, depth: usize) -> Option<Look> {
        if depth > MAX_DEPTH {
            return None;
        }
        let table = self.table;
        let node = table.resolve(node)?;
        match self.looks[node] {
            Some(Look::Open) => return Some(Look::Endless),
            Some(look) => return Some(look),
            None => self.looks[node] = Some(Look::Open),
        }
        let mut hashers = [0_u8, 1].map(|salt| {
            let mut hasher = DefaultHasher::new();
            salt.hash(&mut hasher);
            hasher
        });
        let mut is_endless = false;
        let mut add =
            |part: &dyn Fn(&mut DefaultHasher)| hashers.iter_mut().for_each(part);
        match &table.nodes[node].kind {
            Kind::Atom(text) => add(&|hasher| (0_u8, text).hash(hasher)),
            Kind::Attrs(members) => {
                add(&|hasher| (1_u8, members.len()).hash(hasher));
                for (name, member) in members {
                    let look = self.look(*member, depth + 1)?;
                    is_endless |= look == Look::Endless;
                    add(&|hasher| (name, look).hash(hasher));
                }
            }
            Kind::List(members) => {
                add(&|hasher| (2_u8, members.len()).hash(hasher));
                for member in members {
                    let look = self.look(*member, depth + 1)?;
                    is_endless |= look == Look::Endless;
                    add(&|hasher| look.hash(hasher));
                }
            }
            Kind::Same(..) => return None,
        }
        let [one, two] = hashers.map(|hasher| hasher.finish());
        let look = if is_endless { Look::Endless } else { Look::Like(one, two) };
        self.looks[node] = Some(look);
        Some(look)
    }
}
