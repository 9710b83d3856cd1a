//! Peeksort: the stable merge sort that `builtins.sort` is defined by.
//!
//! Nix sorts with Munro and Wild's peeksort ("Nearly-Optimal Mergesorts", 2018), and a comparator of the
//! language can tell in which order it is called: by what it traces, by which of its errors comes first, by the
//! order that a comparator which is no strict order leads to. So the same comparisons are made here, in the
//! same order: runs that are there are found by looking at the ends and the middle of a range, and what is
//! between them is sorted on either side; short ranges are sorted by insertion.

use crate::error::Result;

/// Ranges up to this length are sorted by insertion.
const INSERTION_LEN: usize = 16;

/// Tells whether its first argument is less than its second.
pub(super) type Less<'l, T> = &'l mut dyn FnMut(&T, &T) -> Result<bool>;

/// Sorts stably. Whatever `less` answers, the result has the same items.
///
/// # Errors
/// The first error of `less`.
pub(super) fn peeksort<T: Copy>(items: &mut [T], less: Less<'_, T>) -> Result<()> {
    match items.len() {
        0 | 1 => return Ok(()),
        2 => {
            if less(&items[1], &items[0])? {
                items.swap(0, 1);
            }
            return Ok(());
        }
        _ => {}
    }
    let mut buffer = Vec::with_capacity(items.len());
    let whole =
        Range { begin: 0, end: items.len(), left_end: 0, right_begin: items.len() };
    sort_range(items, whole, &mut buffer, less)
}

/// A range of the items; `begin..left_end` and `right_begin..end` are sorted already.
#[derive(Clone, Copy)]
struct Range {
    begin: usize,
    end: usize,
    left_end: usize,
    right_begin: usize,
}

fn sort_range<T: Copy>(
    items: &mut [T],
    range: Range,
    buffer: &mut Vec<T>,
    less: Less<'_, T>,
) -> Result<()> {
    let Range { begin, end, left_end, right_begin } = range;
    if left_end == end || right_begin == begin {
        return Ok(());
    }
    if end - begin <= INSERTION_LEN {
        return insertion_sort(&mut items[begin..end], less);
    }
    let middle = begin + (end - begin) / 2;
    if middle <= left_end {
        let rest = Range { begin: left_end, end, left_end: left_end + 1, right_begin };
        sort_range(items, rest, buffer, less)?;
        return merge(&mut items[begin..end], left_end - begin, buffer, less);
    }
    if middle >= right_begin {
        let rest =
            Range { begin, end: right_begin, left_end, right_begin: right_begin - 1 };
        sort_range(items, rest, buffer, less)?;
        return merge(&mut items[begin..end], right_begin - begin, buffer, less);
    }

    let (run_begin, run_end) = middle_run(items, range, middle, less)?;
    if run_begin == begin && run_end == end {
        return Ok(());
    }
    // The run goes to the half that it takes less of, so that the two sides stay balanced.
    if middle - run_begin < run_end - middle {
        let left = Range {
            begin,
            end: run_begin,
            left_end,
            right_begin: run_begin.saturating_sub(1),
        };
        sort_range(items, left, buffer, less)?;
        let right = Range { begin: run_begin, end, left_end: run_end, right_begin };
        sort_range(items, right, buffer, less)?;
        merge(&mut items[begin..end], run_begin - begin, buffer, less)
    } else {
        let left = Range { begin, end: run_end, left_end, right_begin: run_begin };
        sort_range(items, left, buffer, less)?;
        let right = Range { begin: run_end, end, left_end: run_end + 1, right_begin };
        sort_range(items, right, buffer, less)?;
        merge(&mut items[begin..end], run_end - begin, buffer, less)
    }
}

/// Finds the run around the middle, and turns it round if it descends.
fn middle_run<T: Copy>(
    items: &mut [T],
    range: Range,
    middle: usize,
    less: Less<'_, T>,
) -> Result<(usize, usize)> {
    let descending = less(&items[middle], &items[middle - 1])?;
    let mut run_begin = middle;
    if run_begin > range.left_end {
        run_begin -= 1;
        while run_begin > range.left_end
            && less(&items[run_begin], &items[run_begin - 1])? == descending
        {
            run_begin -= 1;
        }
    }
    let mut run_end = middle;
    while run_end < range.right_begin
        && less(&items[run_end], &items[run_end - 1])? == descending
    {
        run_end += 1;
    }
    if descending {
        items[run_begin..run_end].reverse();
    }
    Ok((run_begin, run_end))
}

fn insertion_sort<T>(items: &mut [T], less: Less<'_, T>) -> Result<()> {
    for current in 1..items.len() {
        let mut at = current;
        while at > 0 && less(&items[at], &items[at - 1])? {
            items.swap(at, at - 1);
            at -= 1;
        }
    }
    Ok(())
}

/// Merges two sorted halves.
fn merge<T: Copy>(
    items: &mut [T],
    middle: usize,
    buffer: &mut Vec<T>,
    less: Less<'_, T>,
) -> Result<()> {
    buffer.clear();
    buffer.extend_from_slice(items);
    let (left, right) = buffer.split_at(middle);
    let (mut i, mut j, mut out) = (0, 0, 0);
    while i < left.len() && j < right.len() {
        // An item of the right half comes first only if it is less: equal ones keep their order.
        if less(&right[j], &left[i])? {
            items[out] = right[j];
            j += 1;
        } else {
            items[out] = left[i];
            i += 1;
        }
        out += 1;
    }
    let rest_of_left = left.len() - i;
    items[out..out + rest_of_left].copy_from_slice(&left[i..]);
    items[out + rest_of_left..].copy_from_slice(&right[j..]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::peeksort;

    /// A small generator of numbers that look random.
    fn numbers(seed: u64, count: usize, below: u64) -> Vec<u64> {
        let mut state = seed;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn sorting_is_stable() {
        for seed in 0..200 {
            let count = usize::try_from(seed).unwrap() * 3;
            let keys = numbers(seed, count, 1 + seed / 2);
            let mut items: Vec<(u64, usize)> = keys.into_iter().zip(0..).collect();
            let mut expected = items.clone();
            expected.sort_by_key(|item| item.0);
            peeksort(&mut items, &mut |a, b| Ok(a.0 < b.0)).unwrap();
            assert_eq!(items, expected);
        }
    }

    #[test]
    fn a_comparator_without_order_loses_nothing() {
        for seed in 0..50 {
            let mut items = numbers(seed, 100, 1000);
            let mut expected = items.clone();
            let mut answers = numbers(seed + 1, 100_000, 2).into_iter();
            peeksort(&mut items, &mut |_, _| Ok(answers.next() == Some(1))).unwrap();
            items.sort_unstable();
            expected.sort_unstable();
            assert_eq!(items, expected);
        }
    }

    #[test]
    fn sorted_input_takes_one_comparison_an_item() {
        let mut items: Vec<usize> = (0..1000).collect();
        let mut count = 0;
        peeksort(&mut items, &mut |a, b| {
            count += 1;
            Ok(a < b)
        })
        .unwrap();
        assert!(count <= 1001, "{count}");
    }
}
