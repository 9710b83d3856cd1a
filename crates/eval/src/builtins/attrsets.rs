//! Attribute sets.
//!
//! What a user sees of a set is in the order of its names' bytes; work that no one sees is done in the order of
//! the symbols, which is how sets are stored.

use std::cmp::Ordering;

use super::lists::suspend_all;
use super::{Builtin, Scope};
use crate::error::Result;
use crate::evaluator::Evaluator;
use crate::pos::Pos;
use crate::sym;
use crate::symbol::Symbol;
use crate::value::{Attr, Attrs, AttrsBuilder, Items, Shape, Thunk, Value, still_needed};

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "attrNames",
        parameters: &["set"],
        scope: Scope::Prefixed,
        doc: "The names of the attributes of *set* in alphabetical order.",
        function: attr_names,
    },
    Builtin {
        name: "attrValues",
        parameters: &["set"],
        scope: Scope::Prefixed,
        doc: "The values of the attributes of *set* in the order of their names.",
        function: attr_values,
    },
    Builtin {
        name: "getAttr",
        parameters: &["s", "set"],
        scope: Scope::Prefixed,
        doc: "The attribute named *s* of *set*: `.` with a computed name.",
        function: get_attr,
    },
    Builtin {
        name: "hasAttr",
        parameters: &["s", "set"],
        scope: Scope::Prefixed,
        doc: "Whether *set* has an attribute named *s*: `?` with a computed name.",
        function: has_attr,
    },
    Builtin {
        name: "unsafeGetAttrPos",
        parameters: &["s", "set"],
        scope: Scope::Prefixed,
        doc: "Where the attribute named *s* of *set* was written: `{ file; line; column; }`, \
              or `null`.",
        function: unsafe_get_attr_pos,
    },
    Builtin {
        name: "removeAttrs",
        parameters: &["set", "list"],
        scope: Scope::Plain,
        doc: "*set* without the attributes whose names are in *list*.",
        function: remove_attrs,
    },
    Builtin {
        name: "listToAttrs",
        parameters: &["e"],
        scope: Scope::Prefixed,
        doc: "A set out of a list of `{ name; value; }`. Of several elements with one name \
              the first counts.",
        function: list_to_attrs,
    },
    Builtin {
        name: "intersectAttrs",
        parameters: &["e1", "e2"],
        scope: Scope::Prefixed,
        doc: "The attributes of *e2* whose names *e1* has too.",
        function: intersect_attrs,
    },
    Builtin {
        name: "catAttrs",
        parameters: &["attr", "list"],
        scope: Scope::Prefixed,
        doc: "The attributes named *attr* of the sets in *list* that have it.",
        function: cat_attrs,
    },
    Builtin {
        name: "mapAttrs",
        parameters: &["f", "attrset"],
        scope: Scope::Prefixed,
        doc: "The set of `f name value` for every attribute.",
        function: map_attrs,
    },
    Builtin {
        name: "zipAttrsWith",
        parameters: &["f", "list"],
        scope: Scope::Prefixed,
        doc: "For every name in any set of *list*, `f name values`, where *values* are the \
              attributes of that name in the order of the list.",
        function: zip_attrs_with,
    },
];

fn attr_names<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = "while evaluating the argument passed to builtins.attrNames";
    let attrs = ev.expect_attrs(args[0], pos, doing)?;
    if attrs.is_empty() {
        return Ok(ev.list(&[]));
    }
    let names = attrs.parts(ev.heap).0.names;
    let order = ev.symbols.sorted(names);
    let sorted = order.iter().map(|(_, index)| name_string(ev, names[*index]));
    Ok(ev.list_of(ev.heap.slots(sorted)))
}

fn name_string<'h>(ev: &Evaluator<'h>, name: Symbol) -> Value<'h> {
    Value::String(ev.symbols.string(name))
}

fn attr_values<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let doing = "while evaluating the argument passed to builtins.attrValues";
    let attrs = ev.expect_attrs(args[0], pos, doing)?;
    let attrs = ev.sorted_by_name(attrs);
    let values: Vec<_> = attrs.iter().map(|attr| attr.slot.get().peek()).collect();
    Ok(ev.list(&values))
}

/// The arguments of a builtin that takes a name and a set. The name has no symbol if no set has it.
fn name_and_attrs<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
    [first, second]: [&str; 2],
) -> Result<(&'h [u8], &'h Attrs<'h>)> {
    let name = ev.expect_plain_string(args[0], pos, first)?;
    Ok((name, ev.expect_attrs(args[1], pos, second)?))
}

fn get_attr<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = [
        "while evaluating the first argument passed to builtins.getAttr",
        "while evaluating the second argument passed to builtins.getAttr",
    ];
    let (name, attrs) = name_and_attrs(ev, args, pos, doing)?;
    let missing = "in the attribute set under consideration";
    let slot = ev.required_attr(attrs, ev.symbol(name), Pos::NONE, missing)?;
    ev.force_slot(slot)
}

fn has_attr<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = [
        "while evaluating the first argument passed to builtins.hasAttr",
        "while evaluating the second argument passed to builtins.hasAttr",
    ];
    let (name, attrs) = name_and_attrs(ev, args, pos, doing)?;
    let found = ev.symbols.lookup(name).and_then(|name| attrs.get(name));
    Ok(Value::Bool(found.is_some()))
}

fn unsafe_get_attr_pos<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let doing = [
        "while evaluating the first argument passed to builtins.unsafeGetAttrPos",
        "while evaluating the second argument passed to builtins.unsafeGetAttrPos",
    ];
    let (name, attrs) = name_and_attrs(ev, args, pos, doing)?;
    let attr = ev.symbols.lookup(name).and_then(|name| attrs.get_attr(name));
    Ok(attr.map_or(Value::Null, |attr| ev.pos_value(attr.pos)))
}

fn push<'h>(builder: &mut AttrsBuilder<'h>, attr: Attr<'h>) {
    builder.push(attr.name, attr.pos, attr.slot.get().peek());
}

fn remove_attrs<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to builtins.removeAttrs";
    let attrs = ev.expect_attrs(args[0], pos, doing)?;
    let doing = "while evaluating the second argument passed to builtins.removeAttrs";
    let list = ev.expect_list(args[1], pos, doing)?;
    let doing = "while evaluating the values of the second argument passed to builtins.removeAttrs";
    let mut removed = Vec::with_capacity(list.len());
    for slot in list.items {
        let name = ev.expect_plain_string(slot.get(), pos, doing)?;
        if let Some(name) = ev.symbols.lookup(name)
            && attrs.get(name).is_some()
        {
            removed.push(name);
        }
    }
    if removed.is_empty() {
        return Ok(Value::Attrs(attrs));
    }
    removed.sort_unstable();
    let mut removed = removed.into_iter().peekable();
    let mut builder = attrs.to_builder();
    builder.retain(|found| {
        while removed.next_if(|name| *name < found).is_some() {}
        removed.peek() != Some(&found)
    });
    Ok(Value::Attrs(builder.finish(ev.heap)))
}

fn list_to_attrs<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let doing = "while evaluating the argument passed to builtins.listToAttrs";
    let list = ev.expect_list(args[0], pos, doing)?;
    if list.is_empty() {
        return Ok(Value::Attrs(ev.empty_attrs()));
    }
    let missing = "in a {name=...; value=...;} pair";
    let mut pairs = Vec::with_capacity(list.len());
    for slot in list.items {
        let doing =
            "while evaluating an element of the list passed to builtins.listToAttrs";
        let pair = ev.expect_attrs(slot.get(), pos, doing)?;
        let name = ev.required_attr(pair, sym::NAME, Pos::NONE, missing)?;
        let doing = "while evaluating the `name` attribute of an element of the list passed to \
                     builtins.listToAttrs";
        let name = ev.expect_plain_string(name.get(), pos, doing)?;
        pairs.push((ev.symbol(name), pair));
    }
    // The list has the pairs.
    still_needed(&list);
    // A pair that a former one hides may lack its value, so names come first. The sort is stable.
    pairs.sort_by_key(|(name, _)| *name);
    pairs.dedup_by_key(|(name, _)| *name);
    let mut builder = AttrsBuilder::with_capacity(pairs.len());
    for (name, pair) in pairs {
        match pair.get_attr(sym::VALUE) {
            Some(value) => builder.push(name, value.pos, value.slot.get().peek()),
            None => {
                ev.required_attr(pair, sym::VALUE, Pos::NONE, missing)?;
            }
        }
    }
    Ok(Value::Attrs(builder.finish(ev.heap)))
}

/// Where one set is this many times larger than the other, its names are searched rather than walked.
const SEARCH_FACTOR: usize = 8;

fn intersect_attrs<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to builtins.intersectAttrs";
    let left = ev.expect_attrs(args[0], pos, doing)?;
    let doing = "while evaluating the second argument passed to builtins.intersectAttrs";
    let right = ev.expect_attrs(args[1], pos, doing)?;
    if left.is_empty() || right.is_empty() {
        return Ok(Value::Attrs(ev.empty_attrs()));
    }
    let mut builder = AttrsBuilder::with_capacity(left.len().min(right.len()));
    if left.len() * SEARCH_FACTOR < right.len() {
        for attr in left.iter(ev.heap).filter_map(|attr| right.get_attr(attr.name)) {
            push(&mut builder, attr);
        }
    } else if right.len() * SEARCH_FACTOR < left.len() {
        for attr in right.iter(ev.heap).filter(|attr| left.get(attr.name).is_some()) {
            push(&mut builder, attr);
        }
    } else {
        let mut names = left.parts(ev.heap).0.names;
        for attr in right.iter(ev.heap) {
            while let Some((name, rest)) = names.split_first()
                && *name < attr.name
            {
                names = rest;
            }
            if names.first() == Some(&attr.name) {
                push(&mut builder, attr);
            }
        }
    }
    if builder.is_empty() {
        return Ok(Value::Attrs(ev.empty_attrs()));
    }
    Ok(Value::Attrs(builder.finish(ev.heap)))
}

fn cat_attrs<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to builtins.catAttrs";
    let name = ev.symbol(ev.expect_plain_string(args[0], pos, doing)?);
    let doing = "while evaluating the second argument passed to builtins.catAttrs";
    let list = ev.expect_list(args[1], pos, doing)?;
    let doing = "while evaluating an element in the list passed as second argument to \
                 builtins.catAttrs";
    let mut found = Items::with_capacity(ev.heap, list.len());
    for slot in list.items {
        if let Some(value) = ev.expect_attrs(slot.get(), pos, doing)?.get(name) {
            found.push(value.get().peek());
        }
    }
    Ok(ev.list(&found))
}

/// Positions for the shape of a set that no source text defined, as far as they go.
static NO_POSITIONS: [Pos; 64] = [Pos::NONE; 64];

/// The shape of a set with the given names and no positions.
fn shape_without_positions<'h>(ev: &Evaluator<'h>, names: &'h [Symbol]) -> &'h Shape<'h> {
    let positions = match NO_POSITIONS.get(..names.len()) {
        Some(positions) => positions,
        None => ev.heap.slice_from(names.iter().map(|_| Pos::NONE)),
    };
    ev.heap.alloc(Shape::new(names, positions))
}

fn map_attrs<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = "while evaluating the second argument passed to builtins.mapAttrs";
    let attrs = ev.expect_attrs(args[1], pos, doing)?;
    if attrs.is_empty() {
        return Ok(Value::Attrs(attrs));
    }
    let (shape, values) = attrs.parts(ev.heap);
    let function = ev.heap.alloc(args[0]);
    let calls = shape.names.iter().zip(values);
    let calls = calls.map(|(name, slot)| Thunk::named(function, *name, slot));
    let values = suspend_all(ev, calls);
    let shape = shape_without_positions(ev, shape.names);
    Ok(Value::Attrs(ev.heap.attrs(Attrs::new(shape, values))))
}

fn zip_attrs_with<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to builtins.zipAttrsWith";
    let function = ev.expect_function(args[0], pos, doing)?;
    let doing = "while evaluating the second argument passed to builtins.zipAttrsWith";
    let list = ev.expect_list(args[1], pos, doing)?;
    let doing = "while evaluating a value of the list passed as second argument to \
                 builtins.zipAttrsWith";
    let mut members: Items<'h, (Symbol, Value<'h>)> = Items::new(ev.heap);
    for slot in list.items {
        let attrs = ev.expect_attrs(slot.get(), Pos::NONE, doing)?;
        members
            .extend(attrs.iter(ev.heap).map(|attr| (attr.name, attr.slot.get().peek())));
    }
    // The sort is stable: the values of one name stay in the order of the list.
    members.with(|all| all.sort_by(|a, b| Ord::cmp(&a.0, &b.0)));
    let groups: Vec<_> =
        members.chunk_by(|a, b| a.0.cmp(&b.0) == Ordering::Equal).collect();
    let names = ev.heap.slice_from(groups.iter().map(|group| group[0].0));
    let calls = groups.iter().map(|group| {
        let values: Vec<_> = group.iter().map(|(_, value)| *value).collect();
        let call = [function, name_string(ev, group[0].0), ev.list(&values)];
        Thunk::application(ev.heap.slice(&call))
    });
    let values = suspend_all(ev, calls);
    let shape = shape_without_positions(ev, names);
    Ok(Value::Attrs(ev.heap.attrs(Attrs::new(shape, values))))
}
