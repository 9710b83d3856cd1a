//! Places in a value, and ranges of them.
//!
//! A place is the way to it from the top: the number of a member, the number of a member of that, and so on. Members
//! of sets count in the order of their names. The order of places, compared number by number, is the order in which
//! one process handles them.

use std::collections::VecDeque;

/// The way to a part of a value.
pub(super) type Place = Vec<u32>;

/// Some neighbours: the members from `start` to before `end` of what is at `parent`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) parent: Place,
    pub(super) start: u32,
    pub(super) end: u32,
}

/// Places that one process handles, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Territory(VecDeque<Segment>);

impl Territory {
    /// The members of what is at a place.
    pub(super) fn members(parent: &[u32], count: u32) -> Self {
        let mut territory = Self::default();
        territory.push_front(Segment { parent: parent.to_vec(), start: 0, end: count });
        territory
    }

    fn push_front(&mut self, segment: Segment) {
        if segment.start < segment.end {
            self.0.push_front(segment);
        }
    }

    fn push_back(&mut self, segment: Segment) {
        if segment.start < segment.end {
            self.0.push_back(segment);
        }
    }

    /// The first place.
    pub(super) fn first(&self) -> Option<Place> {
        let segment = self.0.front()?;
        Some(child(&segment.parent, segment.start))
    }

    /// Takes the first place away.
    pub(super) fn pop(&mut self) -> Option<Place> {
        let mut segment = self.0.pop_front()?;
        let place = child(&segment.parent, segment.start);
        segment.start += 1;
        self.push_front(segment);
        Some(place)
    }

    /// Replaces a place that was taken from the front by its members.
    pub(super) fn enter(&mut self, place: &[u32], count: u32) {
        self.push_front(Segment { parent: place.to_vec(), start: 0, end: count });
    }

    /// How many places there are, as far as is known.
    pub(super) fn len(&self) -> u64 {
        self.0.iter().map(|segment| u64::from(segment.end - segment.start)).sum()
    }

    /// The place in the middle of at least two.
    pub(super) fn middle(&self) -> Option<Place> {
        self.last_part(2)
    }

    /// Where the last of so many equal parts begins, if there are places enough.
    pub(super) fn last_part(&self, parts: u64) -> Option<Place> {
        let len = self.len();
        if len < parts {
            return None;
        }
        let mut left = u32::try_from(len - len / parts).ok()?;
        for segment in &self.0 {
            let here = segment.end - segment.start;
            if left < here {
                return Some(child(&segment.parent, segment.start + left));
            }
            left -= here;
        }
        None
    }

    /// Cuts off what begins at a place. `count` says how many members there are at a place that was split.
    pub(super) fn split_off(
        &mut self,
        place: &[u32],
        count: impl Fn(&[u32]) -> u32,
    ) -> Self {
        let mut front = Self::default();
        let mut back = Self::default();
        for segment in std::mem::take(&mut self.0) {
            if child(&segment.parent, segment.end - 1).as_slice() < place
                && !place.starts_with(&child(&segment.parent, segment.end - 1))
            {
                front.push_back(segment);
            } else if child(&segment.parent, segment.start).as_slice() >= place {
                back.push_back(segment);
            } else {
                cut(segment, place, &count, &mut front, &mut back);
            }
        }
        *self = front;
        back
    }

    /// Cuts off what begins at the first place that is not done. `count` says how many members there are at a
    /// place that was split.
    pub(super) fn split_off_undone(
        &mut self,
        count: impl Fn(&[u32]) -> Option<u32>,
        is_done: impl Fn(&Place) -> bool,
    ) -> Self {
        let mut rest = self.clone();
        while let Some(place) = rest.first() {
            if let Some(count) = count(&place) {
                rest.pop();
                rest.enter(&place, count);
            } else if is_done(&place) {
                rest.pop();
            } else {
                return self.split_off(&place, |place| count(place).unwrap_or(0));
            }
        }
        rest
    }
}

/// Cuts a segment in which a place lies, perhaps below one of the members.
fn cut(
    segment: Segment,
    place: &[u32],
    count: &impl Fn(&[u32]) -> u32,
    front: &mut Territory,
    back: &mut Territory,
) {
    let Segment { parent, start, end } = segment;
    let depth = parent.len();
    let at = place[depth];
    front.push_back(Segment { parent: parent.clone(), start, end: at });
    if place.len() == depth + 1 {
        back.push_back(Segment { parent, start: at, end });
        return;
    }
    let inner = child(&parent, at);
    let inside = Segment { end: count(&inner), start: 0, parent: inner };
    cut(inside, place, count, front, back);
    back.push_back(Segment { parent, start: at + 1, end });
}

fn child(parent: &[u32], number: u32) -> Place {
    let mut place = parent.to_vec();
    place.push(number);
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut territory: Territory) -> Vec<Place> {
        std::iter::from_fn(|| territory.pop()).collect()
    }

    #[test]
    fn places_come_in_order_and_members_in_the_place_of_their_set() {
        let mut territory = Territory::members(&[], 3);
        assert_eq!(territory.pop(), Some(vec![0]));
        assert_eq!(territory.pop(), Some(vec![1]));
        territory.enter(&[1], 2);
        assert_eq!(territory.len(), 3);
        assert_eq!(territory.first(), Some(vec![1, 0]));
        assert_eq!(all(territory), [vec![1, 0], vec![1, 1], vec![2]]);
        assert_eq!(all(Territory::members(&[5], 0)), Vec::<Place>::new());
    }

    #[test]
    fn a_territory_is_cut_in_two_at_any_place() {
        let mut whole = Territory::members(&[], 4);
        whole.pop();
        whole.pop();
        whole.enter(&[1], 5);
        for cut in [vec![1, 0], vec![1, 3], vec![2], vec![3]] {
            let mut front = whole.clone();
            let back = front.split_off(&cut, |_| 0);
            assert_eq!(back.first(), Some(cut.clone()));
            assert!(all(front.clone()).iter().all(|place| *place < cut));
            assert_eq!([all(front), all(back)].concat(), all(whole.clone()));
        }
    }

    #[test]
    fn a_cut_may_lie_inside_a_member_that_was_not_entered_yet() {
        let mut front = Territory::members(&[], 3);
        let back = front.split_off(&[2, 1, 4], |place| if place == [2] { 3 } else { 6 });
        assert_eq!(
            all(front),
            [
                vec![0],
                vec![1],
                vec![2, 0],
                vec![2, 1, 0],
                vec![2, 1, 1],
                vec![2, 1, 2],
                vec![2, 1, 3]
            ]
        );
        assert_eq!(all(back), [vec![2, 1, 4], vec![2, 1, 5], vec![2, 2]]);
    }

    #[test]
    fn what_is_not_done_is_cut_off() {
        let count = |place: &[u32]| (place == [1]).then_some(3);
        let in_order = [vec![0], vec![1, 0], vec![1, 1], vec![1, 2], vec![2], vec![3]];
        for done in 0..=in_order.len() {
            let mut front = Territory::members(&[], 4);
            let is_done = |place: &Place| in_order[..done].contains(place);
            let rest = front.split_off_undone(count, is_done);
            assert_eq!(rest.first(), in_order.get(done).cloned());
            let split_front = all(front).iter().any(|place| place.len() == 2);
            assert_eq!(split_front, (2..4).contains(&done), "{done}");
        }
    }

    #[test]
    fn the_middle_has_as_much_before_it_as_after() {
        let mut territory = Territory::members(&[], 4);
        territory.pop();
        territory.enter(&[0], 3);
        assert_eq!(territory.middle(), Some(vec![1]));
        assert_eq!(Territory::members(&[], 2).middle(), Some(vec![1]));
        assert_eq!(Territory::members(&[], 1).middle(), None);
    }
}
