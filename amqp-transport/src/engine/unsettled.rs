//! Deliveries in flight, by delivery-id (§2.6.12). A session numbers its deliveries without gaps, so they live
//! in a queue whose front is the oldest unsettled one; a peer's range is clamped to what the queue holds.

use super::serial::Serial;
use std::collections::VecDeque;

/// Unsettled deliveries of one direction of a session.
#[derive(Debug)]
pub(crate) struct Unsettled<T> {
    first: Serial,
    slots: VecDeque<Option<T>>,
    live: usize,
}

impl<T> Unsettled<T> {
    pub(crate) const fn new(next: Serial) -> Self {
        Self { first: next, slots: VecDeque::new(), live: 0 }
    }

    /// The id that the next delivery gets.
    pub(crate) fn next_id(&self) -> Serial {
        self.first.plus(u32::try_from(self.slots.len()).unwrap_or(u32::MAX))
    }

    #[cfg(test)]
    pub(crate) const fn len(&self) -> usize {
        self.live
    }

    /// Forgets everything and numbers anew from `next`.
    pub(crate) fn restart(&mut self, next: Serial) {
        self.first = next;
        self.slots.clear();
        self.live = 0;
    }

    /// Adds the next delivery; `None` for one that is settled from the start, which only uses up its id.
    pub(crate) fn push(&mut self, delivery: Option<T>) -> Serial {
        let id = self.next_id();
        if delivery.is_some() {
            self.live += 1;
            self.slots.push_back(delivery);
        } else if self.slots.is_empty() {
            self.first = self.first.plus(1);
        } else {
            self.slots.push_back(None);
        }
        id
    }

    fn index(&self, id: Serial) -> Option<usize> {
        let index = usize::try_from(id.since(self.first)).ok()?;
        (index < self.slots.len()).then_some(index)
    }

    pub(crate) fn get_mut(&mut self, id: Serial) -> Option<&mut T> {
        let index = self.index(id)?;
        self.slots.get_mut(index)?.as_mut()
    }

    pub(crate) fn contains(&self, id: Serial) -> bool {
        self.index(id).and_then(|index| self.slots.get(index)).is_some_and(Option::is_some)
    }

    /// Takes a delivery out: it is settled.
    pub(crate) fn take(&mut self, id: Serial) -> Option<T> {
        let index = self.index(id)?;
        let taken = self.slots.get_mut(index)?.take()?;
        self.live -= 1;
        while let Some(None) = self.slots.front() {
            self.slots.pop_front();
            self.first = self.first.plus(1);
        }
        Some(taken)
    }

    /// The ids of the inclusive range that are unsettled here, in order. A range of any width costs only what
    /// is really in flight.
    pub(crate) fn within(&self, first: Serial, last: Serial) -> Vec<Serial> {
        let offset = first.since(self.first);
        let width = last.since(first);
        let held = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        // A range may start before the oldest delivery held (already settled ones): then its first part is cut.
        let (skip, end) = if offset < held {
            (offset, u64::from(offset) + u64::from(width) + 1)
        } else {
            let before = self.first.since(first);
            match width.checked_sub(before) {
                Some(rest) => (0, u64::from(rest) + 1),
                None => return Vec::new(),
            }
        };
        let end = u32::try_from(end.min(u64::from(held))).unwrap_or(u32::MAX);
        (skip..end).map(|n| self.first.plus(n)).filter(|id| self.contains(*id)).collect()
    }

    /// Takes out everything for which `leave` says false.
    pub(crate) fn take_where(&mut self, mut wanted: impl FnMut(&T) -> bool) -> Vec<(Serial, T)> {
        let mut ids = Vec::new();
        for (n, slot) in (0u32..).zip(&self.slots) {
            if slot.as_ref().is_some_and(&mut wanted) {
                ids.push(self.first.plus(n));
            }
        }
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
