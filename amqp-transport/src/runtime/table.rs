//! What is kept for each session or link, by the small numbers that the engine gives them: a place in a row is found sooner
//! than a key in a map, and one alone takes no room for others.

/// Values by small numbers.
#[derive(Debug)]
pub(super) struct Table<T>(Vec<Option<T>>);

impl<T: Default> Table<T> {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn get(&mut self, place: usize) -> Option<&mut T> {
        self.0.get_mut(place)?.as_mut()
    }

    /// What is kept there; if there is nothing yet, it is put there.
    pub(super) fn entry(&mut self, place: usize) -> &mut T {
        if place >= self.0.len() {
            let missing = place + 1 - self.0.len();
            if self.0.capacity() < place + 1 {
                self.0.reserve_exact(missing.max(self.0.len()));
            }
            self.0.resize_with(place + 1, || None);
        }
        self.0[place].get_or_insert_default()
    }

    /// Forgets what is kept there.
    pub(super) fn remove(&mut self, place: usize) {
        if let Some(slot) = self.0.get_mut(place) {
            *slot = None;
        }
        while let Some(None) = self.0.last() {
            self.0.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_keeps_values_by_their_places() {
        let mut table = Table::<u32>::new();
        assert_eq!(table.get(0), None);
        *table.entry(3) = 7;
        assert_eq!(*table.entry(0), 0);
        assert_eq!(table.get(3), Some(&mut 7));
        assert_eq!(table.0.len(), 4);
        table.remove(9);
        table.remove(3);
        assert_eq!(table.get(3), None);
        assert_eq!(table.0.len(), 1, "places at the end are given back");
        assert_eq!(*table.entry(3), 0, "nothing is left of what was there before");
    }

    #[test]
    fn one_value_alone_takes_no_room_for_others() {
        let mut table = Table::<u32>::new();
        table.entry(0);
        assert_eq!(table.0.capacity(), 1);
    }
}
