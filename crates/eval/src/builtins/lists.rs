//! Lists.
//!
//! `map` and `genList` make suspended calls, all in one piece of memory; `tail` shares its argument's slots.
//! What a builtin forces it forces in the slot, so that everyone who shares the list finds it forced.

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use super::sort::peeksort;
use super::{Builtin, Scope};
use crate::bail;
use crate::error::Result;
use crate::evaluator::Evaluator;
use crate::pos::Pos;
use crate::sym;
use crate::symbol::Symbol;
use crate::value::{AttrsBuilder, Items, Slot, Thunk, Value, still_needed};

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "length",
        parameters: &["e"],
        scope: Scope::Prefixed,
        doc: "The number of elements of a list.",
        function: length,
    },
    Builtin {
        name: "elemAt",
        parameters: &["xs", "n"],
        scope: Scope::Prefixed,
        doc: "Element *n* of the list *xs*, counted from 0.",
        function: elem_at,
    },
    Builtin {
        name: "head",
        parameters: &["list"],
        scope: Scope::Prefixed,
        doc: "The first element of a list that is not empty.",
        function: head,
    },
    Builtin {
        name: "tail",
        parameters: &["list"],
        scope: Scope::Prefixed,
        doc: "A list that is not empty, without its first element.",
        function: tail,
    },
    Builtin {
        name: "map",
        parameters: &["f", "list"],
        scope: Scope::Plain,
        doc: "The list of `f x` for every element `x` of *list*.",
        function: map,
    },
    Builtin {
        name: "filter",
        parameters: &["f", "list"],
        scope: Scope::Prefixed,
        doc: "The elements of *list* for which *f* returns `true`.",
        function: filter,
    },
    Builtin {
        name: "elem",
        parameters: &["x", "xs"],
        scope: Scope::Prefixed,
        doc: "Whether an element of *xs* equals *x*.",
        function: elem,
    },
    Builtin {
        name: "concatLists",
        parameters: &["lists"],
        scope: Scope::Prefixed,
        doc: "The lists of a list, one after the other.",
        function: concat_lists,
    },
    Builtin {
        name: "concatMap",
        parameters: &["f", "list"],
        scope: Scope::Prefixed,
        doc: "The lists that *f* returns for the elements of *list*, one after the other.",
        function: concat_map,
    },
    Builtin {
        name: "foldl'",
        parameters: &["op", "nul", "list"],
        scope: Scope::Prefixed,
        doc: "Reduces a list from the left: `op (op (op nul x0) x1) x2`. Every intermediate \
              result is evaluated at once.",
        function: foldl_strict,
    },
    Builtin {
        name: "any",
        parameters: &["pred", "list"],
        scope: Scope::Prefixed,
        doc: "Whether *pred* returns `true` for at least one element of *list*.",
        function: any,
    },
    Builtin {
        name: "all",
        parameters: &["pred", "list"],
        scope: Scope::Prefixed,
        doc: "Whether *pred* returns `true` for all elements of *list*.",
        function: all,
    },
    Builtin {
        name: "genList",
        parameters: &["generator", "length"],
        scope: Scope::Prefixed,
        doc: "The list of `generator i` for every `i` from 0 to *length* - 1.",
        function: gen_list,
    },
    Builtin {
        name: "sort",
        parameters: &["comparator", "list"],
        scope: Scope::Prefixed,
        doc: "The list in the order of *comparator*, which tells whether its first argument \
              is less than its second. Elements that are equal keep their order.",
        function: sort,
    },
    Builtin {
        name: "partition",
        parameters: &["pred", "list"],
        scope: Scope::Prefixed,
        doc: "`{ right; wrong; }`: the elements of *list* for which *pred* returns `true`, \
              and the others.",
        function: partition,
    },
    Builtin {
        name: "groupBy",
        parameters: &["f", "list"],
        scope: Scope::Prefixed,
        doc: "The elements of *list* by the string that *f* returns for them: a set of lists.",
        function: group_by,
    },
];

/// Suspended calls.
pub(super) fn suspend_all<'h>(
    ev: &Evaluator<'h>,
    calls: impl ExactSizeIterator<Item = Thunk<'h>>,
) -> &'h [Slot<'h>] {
    ev.heap.slots(calls.map(|call| Value::Thunk(ev.heap.thunk(call))))
}

fn length<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to builtins.length";
    let list = ev.expect_list(args[0], pos, doing)?;
    Ok(Value::Int(int(list.len())))
}

/// A length as an integer of the language.
pub(super) fn int(length: usize) -> i64 {
    i64::try_from(length).expect("nothing in memory is longer than 2^63")
}

fn elem_at<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = "while evaluating the second argument passed to 'builtins.elemAt'";
    let index = ev.expect_int(args[1], pos, doing)?;
    let doing = "while evaluating the first argument passed to 'builtins.elemAt'";
    let list = ev.expect_list(args[0], pos, doing)?;
    match usize::try_from(index).ok().and_then(|index| list.items.get(index)) {
        Some(slot) => ev.force_slot(slot),
        None => bail!(
            pos => Other,
            "'builtins.elemAt' called with index {index} on a list of size {}",
            list.len()
        ),
    }
}

fn head<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to 'builtins.head'";
    match ev.expect_list(args[0], pos, doing)?.items.first() {
        Some(slot) => ev.force_slot(slot),
        None => bail!(pos => Other, "'builtins.head' called on an empty list"),
    }
}

fn tail<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to 'builtins.tail'";
    match ev.expect_list(args[0], pos, doing)?.items.split_first() {
        Some((_, rest)) => Ok(ev.list_of(rest)),
        None => bail!(pos => Other, "'builtins.tail' called on an empty list"),
    }
}

fn map<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = "while evaluating the second argument passed to builtins.map";
    let list = ev.expect_list(args[1], pos, doing)?;
    if list.is_empty() {
        return Ok(Value::List(list));
    }
    let doing = "while evaluating the first argument passed to builtins.map";
    let function = ev.expect_function(args[0], pos, doing)?;
    let function = ev.heap.alloc(function);
    let calls = list.items.iter().map(|slot| Thunk::mapped(function, slot));
    Ok(ev.list_of(suspend_all(ev, calls)))
}

fn filter<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = "while evaluating the second argument passed to builtins.filter";
    let list = ev.expect_list(args[1], pos, doing)?;
    if list.is_empty() {
        return Ok(Value::List(list));
    }
    let doing = "while evaluating the first argument passed to builtins.filter";
    let function = ev.expect_function(args[0], pos, doing)?;
    let doing = "while evaluating the return value of the filtering function passed to \
                 builtins.filter";
    let mut kept = Items::with_capacity(ev.heap, list.len());
    for slot in list.items {
        let result = ev.call(function, &[slot.get()], Pos::NONE)?;
        if ev.expect_bool(result, pos, doing)? {
            kept.push(slot.get().peek());
        }
    }
    if kept.len() == list.len() {
        return Ok(Value::List(list));
    }
    Ok(ev.list(&kept))
}

fn elem<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = "while evaluating the second argument passed to builtins.elem";
    let list = ev.expect_list(args[1], pos, doing)?;
    let doing = "while searching for the presence of the given element in the list";
    for slot in list.items {
        // The slot is forced by the comparison only after the element that is searched for.
        if ev.equal(args[0], slot.get(), pos, doing)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn concat_lists<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to builtins.concatLists";
    let lists = ev.expect_list(args[0], pos, doing)?;
    let doing = "while evaluating a value of the list passed to builtins.concatLists";
    let mut parts = Items::with_capacity(ev.heap, lists.len());
    for slot in lists.items {
        parts.push(ev.expect_list(slot.get(), pos, doing)?);
    }
    Ok(ev.concat_all(parts.iter().copied()))
}

fn concat_map<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to builtins.concatMap";
    let function = ev.expect_function(args[0], pos, doing)?;
    let doing = "while evaluating the second argument passed to builtins.concatMap";
    let list = ev.expect_list(args[1], pos, doing)?;
    let doing = "while evaluating the return value of the function passed to \
                 builtins.concatMap";
    let mut parts = Items::with_capacity(ev.heap, list.len());
    for slot in list.items {
        let result = ev.call(function, &[slot.get()], pos)?;
        parts.push(ev.expect_list(result, pos, doing)?);
    }
    Ok(ev.concat_all(parts.iter().copied()))
}

fn foldl_strict<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to builtins.foldlStrict";
    let function = ev.expect_function(args[0], pos, doing)?;
    let doing = "while evaluating the third argument passed to builtins.foldlStrict";
    let list = ev.expect_list(args[2], pos, doing)?;
    let mut result = args[1];
    for slot in list.items {
        result = ev.call(function, &[result, slot.get()], pos)?;
    }
    ev.force(result)
}

fn any<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing =
        "while evaluating the return value of the function passed to builtins.any";
    exists(ev, args, pos, true, ["any", doing]).map(Value::Bool)
}

fn all<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing =
        "while evaluating the return value of the function passed to builtins.all";
    exists(ev, args, pos, false, ["all", doing]).map(|found| Value::Bool(!found))
}

/// Whether the predicate gives `wanted` for an element.
fn exists<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
    wanted: bool,
    [name, doing]: [&str; 2],
) -> Result<bool> {
    let argument = |which| {
        format!("while evaluating the {which} argument passed to builtins.{name}")
    };
    let function = match args[0].peek() {
        function @ Value::Lambda(_) => function,
        other => ev.expect_function(other, pos, &argument("first"))?,
    };
    let list = match args[1].peek() {
        Value::List(list) => list,
        other => ev.expect_list(other, pos, &argument("second"))?,
    };
    for slot in list.items {
        let result = ev.call(function, &[slot.get()], pos)?;
        if ev.expect_bool(result, pos, doing)? == wanted {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The longest list that `genList` makes: what is longer fits in no memory.
const MAX_GENERATED: i64 = 1 << 32;

fn gen_list<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = "while evaluating the second argument passed to builtins.genList";
    let length = ev.expect_int(args[1], pos, doing)?;
    if !(0..=MAX_GENERATED).contains(&length) {
        bail!(pos => Other, "cannot create list of size {length}");
    }
    let doing = "while evaluating the first argument passed to builtins.genList";
    let function = ev.expect_function(args[0], Pos::NONE, doing)?;
    if length == 0 {
        return Ok(ev.list(&[]));
    }
    let length = usize::try_from(length).expect("the range was checked");
    let function = ev.heap.alloc(function);
    let calls = (0..length).map(|index| Thunk::numbered(function, int(index)));
    Ok(ev.list_of(suspend_all(ev, calls)))
}

fn sort<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = "while evaluating the second argument passed to builtins.sort";
    let list = ev.expect_list(args[1], pos, doing)?;
    if list.is_empty() {
        return Ok(Value::List(list));
    }
    let doing = "while evaluating the first argument passed to builtins.sort";
    let comparator = ev.expect_function(args[0], pos, doing)?;
    let mut items = Vec::with_capacity(list.len());
    for slot in list.items {
        items.push(ev.force_slot(slot)?);
    }
    if matches!(comparator, Value::Builtin(builtin) if builtin.name == "lessThan") {
        if !sort_plain(&mut items) {
            let doing = "while evaluating the ordering function passed to builtins.sort";
            peeksort(&mut items, &mut |a, b| ev.less_than(*a, *b, Pos::NONE, doing))?;
        }
    } else {
        let doing = "while evaluating the return value of the sorting function passed to \
                     builtins.sort";
        peeksort(&mut items, &mut |a, b| {
            let result = ev.call(comparator, &[*a, *b], Pos::NONE)?;
            ev.expect_bool(result, pos, doing)
        })?;
    }
    // The list has the items that were sorted.
    still_needed(&list);
    Ok(ev.list(&items))
}

/// Sorts where all elements are strings, or all are integers: comparing these cannot fail, so that the order
/// of comparisons shows in nothing.
fn sort_plain(items: &mut [Value<'_>]) -> bool {
    if items.iter().all(|item| matches!(item, Value::String(_))) {
        items.sort_by_key(|item| match item {
            Value::String(string) => string.bytes,
            _ => &[],
        });
        return true;
    }
    if items.iter().all(|item| matches!(item, Value::Int(_))) {
        items.sort_by_key(|item| match item {
            Value::Int(int) => *int,
            _ => 0,
        });
        return true;
    }
    false
}

fn partition<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to builtins.partition";
    let function = ev.expect_function(args[0], pos, doing)?;
    let doing = "while evaluating the second argument passed to builtins.partition";
    let list = ev.expect_list(args[1], pos, doing)?;
    let doing = "while evaluating the return value of the partition function passed to \
                 builtins.partition";
    let (mut right, mut wrong) = (Items::new(ev.heap), Items::new(ev.heap));
    for slot in list.items {
        let item = ev.force_slot(slot)?;
        let result = ev.call(function, &[item], pos)?;
        let chosen =
            if ev.expect_bool(result, pos, doing)? { &mut right } else { &mut wrong };
        chosen.push(item);
    }
    Ok(ev.attrs(&[(sym::RIGHT, ev.list(&right)), (sym::WRONG, ev.list(&wrong))]))
}

fn group_by<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to builtins.groupBy";
    let function = ev.expect_function(args[0], pos, doing)?;
    let doing = "while evaluating the second argument passed to builtins.groupBy";
    let list = ev.expect_list(args[1], pos, doing)?;
    let doing = "while evaluating the return value of the grouping function passed to \
                 builtins.groupBy";
    let mut places: HashMap<Symbol, usize, FxBuildHasher> = HashMap::default();
    let mut groups: Vec<(Symbol, Items<'h, Value<'h>>)> = Vec::new();
    for slot in list.items {
        let name = ev.call(function, &[slot.get()], pos)?;
        let name = ev.symbol(ev.expect_plain_string(name, pos, doing)?);
        let place = *places.entry(name).or_insert_with(|| {
            groups.push((name, Items::new(ev.heap)));
            groups.len() - 1
        });
        groups[place].1.push(slot.get().peek());
    }
    let mut builder = AttrsBuilder::with_capacity(groups.len());
    for (name, items) in groups {
        builder.insert(name, ev.list(&items));
    }
    Ok(Value::Attrs(builder.finish(ev.heap)))
}
