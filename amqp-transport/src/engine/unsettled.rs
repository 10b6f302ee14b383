//! Deliveries in flight, by delivery-id (§2.6.12). They are kept in order of their ids; those that are settled leave
//! gaps, which are closed before they outnumber the rest. A peer's range is clamped to what is in flight.

use super::serial::Serial;
use std::collections::VecDeque;

/// Gaps that are not worth closing.
const FEW_GAPS: usize = 64;

/// Unsettled deliveries of one direction of a session.
#[derive(Debug)]
pub(crate) struct Unsettled<T> {
    next: Serial,
    /// In order; a settled delivery leaves a gap. The first one is never a gap.
    slots: VecDeque<(Serial, Option<T>)>,
    live: usize,
}

impl<T> Unsettled<T> {
    pub(crate) const fn new(next: Serial) -> Self {
        Self { next, slots: VecDeque::new(), live: 0 }
    }

    /// The id that the next delivery gets.
    pub(crate) const fn next_id(&self) -> Serial {
        self.next
    }

    /// Deliveries in flight.
    pub(crate) const fn len(&self) -> usize {
        self.live
    }

    /// All of them, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|(_, slot)| slot.as_ref())
    }

    /// Places that are taken up, gaps included.
    pub(crate) fn width(&self) -> usize {
        self.slots.len()
    }

    /// Forgets everything and numbers anew from `next`.
    pub(crate) fn restart(&mut self, next: Serial) {
        *self = Self::new(next);
    }

    /// Adds the next delivery; `None` for one that is settled from the start, which only uses up its id.
    pub(crate) fn push(&mut self, delivery: Option<T>) -> Serial {
        let id = self.next;
        self.next = id.plus(1);
        if delivery.is_some() {
            self.live += 1;
            self.slots.push_back((id, delivery));
        }
        id
    }

    /// Whether so many deliveries came after the oldest one that their ids begin to lose their order (§2.8.10).
    pub(crate) fn is_stretched(&self) -> bool {
        self.oldest().is_some_and(|oldest| self.next.since(oldest) > u32::MAX >> 1)
    }

    fn oldest(&self) -> Option<Serial> {
        self.slots.front().map(|(id, _)| *id)
    }

    fn index(&self, id: Serial) -> Option<usize> {
        let oldest = self.oldest()?;
        let offset = id.since(oldest);
        // Where nothing is missing in between, the distance is the place.
        let guess = usize::try_from(offset).ok()?;
        if self.slots.get(guess).is_some_and(|(found, _)| *found == id) {
            return Some(guess);
        }
        self.slots.binary_search_by_key(&offset, |(id, _)| id.since(oldest)).ok()
    }

    pub(crate) fn get_mut(&mut self, id: Serial) -> Option<&mut T> {
        let index = self.index(id)?;
        self.slots.get_mut(index)?.1.as_mut()
    }

    pub(crate) fn contains(&self, id: Serial) -> bool {
        self.index(id).and_then(|index| self.slots.get(index)).is_some_and(|(_, slot)| slot.is_some())
    }

    /// Takes a delivery out: it is settled.
    pub(crate) fn take(&mut self, id: Serial) -> Option<T> {
        let index = self.index(id)?;
        let taken = self.slots.get_mut(index)?.1.take()?;
        self.live -= 1;
        while let Some((_, None)) = self.slots.front() {
            self.slots.pop_front();
        }
        if self.slots.len() > 2 * self.live + FEW_GAPS {
            self.slots.retain(|(_, slot)| slot.is_some());
        }
        Some(taken)
    }

    /// The ids of the inclusive range that are unsettled here, in order. A range of any width costs only what
    /// is really in flight.
    pub(crate) fn within(&self, first: Serial, last: Serial) -> Vec<Serial> {
        let Some(oldest) = self.oldest() else { return Vec::new() };
        let width = last.since(first);
        let offset = first.since(oldest);
        // A range may start before the oldest delivery (with settled ones): then its first part is cut off.
        let (start, end) = if offset < self.next.since(oldest) {
            (offset, offset.saturating_add(width))
        } else {
            match width.checked_sub(oldest.since(first)) {
                Some(rest) => (0, rest),
                None => return Vec::new(),
            }
        };
        let from = self.slots.partition_point(|(id, _)| id.since(oldest) < start);
        self.slots
            .iter()
            .skip(from)
            .take_while(|(id, _)| id.since(oldest) <= end)
            .filter(|(_, slot)| slot.is_some())
            .map(|(id, _)| *id)
            .collect()
    }

    /// Takes out everything that is wanted.
    pub(crate) fn take_where(&mut self, mut wanted: impl FnMut(&T) -> bool) -> Vec<(Serial, T)> {
        let ids: Vec<_> = self
            .slots
            .iter()
            .filter(|(_, slot)| slot.as_ref().is_some_and(&mut wanted))
            .map(|(id, _)| *id)
            .collect();
        ids.into_iter().filter_map(|id| self.take(id).map(|delivery| (id, delivery))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_range_over_all_ids_costs_only_what_is_held() {
        let mut unsettled = Unsettled::new(Serial(u32::MAX));
        for n in 0..3 {
            unsettled.push(Some(n));
        }
        let all = unsettled.within(Serial(0), Serial(u32::MAX));
        assert_eq!(all, [Serial(0), Serial(1)], "0..2^32-1 starts at 0");
        let all = unsettled.within(Serial(u32::MAX), Serial(u32::MAX - 1));
        assert_eq!(all, [Serial(u32::MAX), Serial(0), Serial(1)]);
    }

    #[test]
    fn ids_already_settled_are_passed_over() {
        let mut unsettled = Unsettled::new(Serial(10));
        for n in 0..4 {
            unsettled.push(Some(n));
        }
        assert_eq!(unsettled.take(Serial(10)), Some(0));
        assert_eq!(unsettled.take(Serial(12)), Some(2));
        assert_eq!(unsettled.within(Serial(5), Serial(12)), [Serial(11)]);
        assert_eq!(unsettled.take(Serial(10)), None);
        assert_eq!(unsettled.next_id(), Serial(14));
    }

    // §2.8.10
    #[test]
    fn ids_keep_their_order_for_half_of_all_numbers() {
        let mut unsettled = Unsettled::new(Serial(u32::MAX - 1));
        unsettled.push(Some(()));
        unsettled.next = Serial(u32::MAX - 2).plus(1 << 31);
        assert!(!unsettled.is_stretched());
        unsettled.push(None);
        assert!(unsettled.is_stretched());
        unsettled.take(Serial(u32::MAX - 1));
        assert!(!unsettled.is_stretched());
    }

    #[test]
    fn one_old_delivery_does_not_keep_the_places_of_later_ones() {
        let mut unsettled = Unsettled::new(Serial(u32::MAX - 50));
        let old = unsettled.push(Some(0));
        for n in 1..10_000 {
            let id = unsettled.push(Some(n));
            assert_eq!(unsettled.take(id), Some(n));
        }
        assert!(unsettled.width() < 100, "{}", unsettled.width());
        assert_eq!(unsettled.within(old, unsettled.next_id()), [old]);
        assert_eq!(unsettled.take(old), Some(0));
    }

    proptest! {
        #[test]
        fn behaves_as_a_map_from_id_to_delivery(
            start: u32,
            steps in proptest::collection::vec((0u8..4, 0u32..40), 1..200)
        ) {
            let mut unsettled = Unsettled::new(Serial(start));
            let mut model = BTreeMap::new();
            let mut count = 0u32;
            for (step, n) in steps {
                match step {
                    0 => { unsettled.push(Some(count)); model.insert(count, count); count += 1; }
                    1 => { unsettled.push(None); count += 1; }
                    2 => prop_assert_eq!(unsettled.take(Serial(start).plus(n)), model.remove(&n)),
                    _ => {
                        let found = unsettled.within(Serial(start).plus(n), Serial(start).plus(n + 7));
                        let expected: Vec<_> =
                            model.range(n..=n + 7).map(|(k, _)| Serial(start).plus(*k)).collect();
                        prop_assert_eq!(found, expected);
                    }
                }
                prop_assert_eq!(unsettled.len(), model.len());
                prop_assert_eq!(unsettled.next_id(), Serial(start).plus(count));
            }
        }
    }
}
