//! What the heap promises.

use super::*;
use crate::value::List;

#[test]
fn objects_of_all_sizes_stay_what_they_are() {
    let heap = Heap::new();
    let numbers: Vec<&u64> = (0..100_000).map(|number| heap.alloc(number)).collect();
    let large = heap.slice_from(vec![7_u64; 1_000_000]);
    let texts: Vec<&[u8]> =
        (0..1000_usize).map(|length| heap.bytes(&vec![1; length])).collect();
    assert!(numbers.iter().zip(0..).all(|(found, wanted)| **found == wanted));
    assert!(large.iter().all(|number| *number == 7));
    assert!(texts.iter().enumerate().all(|(length, text)| text.len() == length));
    assert!(heap.slice::<u64>(&[]).is_empty());
}

#[test]
fn scratch_is_taken_back_unless_something_was_kept() {
    let heap = Heap::new();
    let top = heap.scope(0, None);
    let mark = heap.mark();
    heap.scope_of_one(Value::Int(1), top);
    assert!(heap.at.get() > mark.at);
    heap.release(mark);
    assert_eq!(heap.at.get(), mark.at);
    assert_eq!(heap.log.get(), mark.log);

    let env = heap.scope_of_one(Value::Int(2), top);
    let kept = heap.alloc(List { items: env.slots() });
    heap.release(mark);
    assert!(heap.at.get() > mark.at);
    assert!(matches!(kept.items[0].get(), Value::Int(2)));
}

#[test]
fn a_mark_of_another_region_releases_nothing() {
    let heap = Heap::new();
    heap.scope(0, None);
    let mark = heap.mark();
    heap.scope(10_000, None);
    let at = heap.at.get();
    heap.release(mark);
    assert_eq!(heap.at.get(), at);
}

#[test]
fn a_shape_is_one_object() {
    let heap = Heap::new();
    heap.collected(|| {
        let symbols = crate::symbol::Symbols::new(&heap);
        for count in [0, 1, 2, 7, 3000] {
            let names =
                (0..count).map(|number| symbols.intern(format!("n{number}").as_bytes()));
            let attrs: Vec<_> =
                names.zip(0..).map(|(name, pos)| (name, Pos(pos))).collect();
            let shape = heap.shape(attrs.iter().copied());
            for _ in 0..3 {
                std::hint::black_box(table(&heap, 20, 20));
                heap.collect(&|_| {});
            }
            assert_eq!(shape.names.len(), count);
            let found = shape.names.iter().copied().zip(shape.positions.iter().copied());
            assert_eq!(found.collect::<Vec<_>>(), attrs);
            assert!(
                attrs
                    .iter()
                    .zip(0..)
                    .all(|(attr, index)| shape.find(attr.0) == Some(index))
            );
        }
    });
}

/// A list of lists of numbers, with much between its parts that nothing needs.
fn table<'h>(heap: &'h Heap, rows: i32, columns: i32) -> &'h [Slot<'h>] {
    let row = |row: i32| {
        let cells = (0..columns).map(|column| {
            std::hint::black_box(heap.bytes(&[9; 200]));
            let value = Value::Int(i64::from(row * columns + column));
            let thunk = heap.thunk(Thunk::application(&[]));
            thunk.leave(crate::value::State::Done(value), heap);
            Value::Thunk(thunk)
        });
        let items = heap.slots(cells);
        Value::List(heap.alloc(List { items }))
    };
    heap.slots((0..rows).map(row))
}

fn check(table: &[Slot<'_>], columns: usize) {
    let mut wanted = 0;
    for row in table {
        let Value::List(list) = row.get() else { panic!("a row is a list") };
        assert_eq!(list.len(), columns);
        for cell in list.items {
            assert!(matches!(cell.get().peek(), Value::Int(found) if found == wanted));
            wanted += 1;
        }
    }
}

#[test]
fn what_the_stack_refers_to_stays_and_the_rest_is_used_again() {
    let heap = Heap::new();
    heap.collected(|| {
        let first = table(&heap, 100, 50);
        let before = heap.allocated_bytes();
        for _ in 0..200 {
            std::hint::black_box(table(&heap, 100, 50));
            heap.collect(&|_| {});
            check(first, 50);
        }
        let after = heap.allocated_bytes();
        assert!(after < 20 * before, "{before} bytes became {after}");
        assert_eq!(heap.collections(), 200);
    });
}

#[test]
fn registered_items_and_roots_stay() {
    let heap = Heap::new();
    heap.collected(|| {
        let mut items: Items<'_, Value<'_>> = Items::new(&heap);
        let env = heap.scope(3, None);
        for number in 0..50 {
            let items = &mut items;
            // Not inlined, so that no reference to the row stays in this frame.
            std::hint::black_box(|| {
                let text = heap.bytes(format!("row {number}").as_bytes());
                items.push(Value::String(
                    heap.alloc(crate::value::Str { bytes: text, context: &[] }),
                ));
            })();
            heap.collect(&|visit| visit(env.addr()));
        }
        for (number, item) in items.iter().enumerate() {
            let Value::String(text) = item else { panic!("a row is a string") };
            assert_eq!(text.bytes, format!("row {number}").as_bytes());
        }
        drop(items);
        heap.collect(&|_| {});
    });
}

#[test]
fn an_address_in_the_middle_keeps_the_whole() {
    let heap = Heap::new();
    heap.collected(|| {
        let middle = {
            let large = heap.slice_from((0..40_000_u64).collect::<Vec<_>>());
            &large[20_000..20_010]
        };
        let small = {
            let text = heap.bytes(b"a text of some length that is cut in the middle");
            &text[20..26]
        };
        for _ in 0..10 {
            std::hint::black_box(table(&heap, 20, 20));
            heap.collect(&|_| {});
        }
        assert_eq!(middle[5], 20_005);
        assert_eq!(small, b"h that");
    });
}

/// A short text of its own for each number.
fn text(heap: &Heap, number: usize) -> Value<'_> {
    let bytes = heap.bytes(format!("text {number}").as_bytes());
    Value::String(heap.alloc(crate::value::Str { bytes, context: &[] }))
}

fn check_text(value: Value<'_>, number: usize) {
    let Value::String(text) = value.peek() else { panic!("it is a string") };
    assert_eq!(text.bytes, format!("text {number}").as_bytes());
}

#[test]
fn an_old_thunk_keeps_its_young_value() {
    let heap = Heap::new();
    heap.collected(|| {
        let empty = (0..100).map(|_| Value::Thunk(heap.thunk(Thunk::application(&[]))));
        let slots = heap.slots(empty);
        heap.collect(&|_| {});
        for (number, slot) in slots.iter().enumerate() {
            let Value::Thunk(thunk) = slot.get() else { panic!("it was not forced") };
            assert!(matches!(thunk.enter(&heap), State::Application([])));
            // A third of them grows old while it is being forced, and another is met once more by itself.
            if number % 3 == 1 {
                heap.collect(&|_| {});
            } else if number % 3 == 2 {
                assert!(matches!(thunk.enter(&heap), State::Blackhole));
            }
            let value = text(&heap, number);
            thunk.leave(State::Done(value), &heap);
            slot.settle(value);
        }
        for _ in 0..6 {
            std::hint::black_box(table(&heap, 20, 20));
            heap.collect(&|_| {});
            slots
                .iter()
                .enumerate()
                .for_each(|(number, slot)| check_text(slot.get(), number));
        }
    });
}

#[test]
fn an_old_set_that_is_flattened_keeps_its_young_parts() {
    let heap = Heap::new();
    heap.collected(|| {
        let symbols = crate::symbol::Symbols::new(&heap);
        let set = |number: usize| {
            let name = symbols.intern(format!("n{number}").as_bytes());
            let shape = heap.shape([(name, Pos(1))].into_iter());
            heap.attrs(Attrs::new(shape, heap.slots([text(&heap, number)])))
        };
        let sets: Vec<_> = (0..50)
            .map(|pair| set(pair * 2).update(set(pair * 2 + 1), &heap))
            .map(Value::Attrs)
            .collect();
        let slots = heap.slots_from(&sets);
        drop(sets);
        heap.collect(&|_| {});
        for slot in slots {
            let Value::Attrs(attrs) = slot.get() else { panic!("it is a set") };
            attrs.flatten(&heap);
        }
        for _ in 0..6 {
            std::hint::black_box(table(&heap, 20, 20));
            heap.collect(&|_| {});
            for (pair, slot) in slots.iter().enumerate() {
                let Value::Attrs(attrs) = slot.get() else { panic!("it is a set") };
                for number in [pair * 2, pair * 2 + 1] {
                    let name = symbols.intern(format!("n{number}").as_bytes());
                    let found = attrs.get(name).expect("both sets' names are there");
                    check_text(found.get(), number);
                }
            }
        }
    });
}

#[test]
fn immortal_things_outlive_collections() {
    let heap = Heap::new();
    heap.collected(|| {
        let hidden = {
            let text = heap.immortal(|| heap.bytes(b"for ever"));
            // The complement is no address.
            !text.as_ptr().addr()
        };
        for _ in 0..5 {
            std::hint::black_box(table(&heap, 20, 20));
            heap.collect(&|_| {});
        }
        let start: *const u8 = std::ptr::with_exposed_provenance(!hidden);
        // SAFETY: eight bytes were written there, and are never freed.
        assert_eq!(unsafe { std::slice::from_raw_parts(start, 8) }, b"for ever");
    });
}

#[test]
fn without_a_known_stack_nothing_is_collected() {
    let heap = Heap::new();
    heap.collect_every(1);
    heap.collect(&|_| {});
    assert_eq!(heap.collections(), 0);
}
