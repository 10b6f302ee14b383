//! Messages that nobody may have yet, by the moment at which they become available.

use std::collections::BTreeMap;

use super::{Message, Sequence};
use crate::clock::Moment;

/// The delayed messages of a queue.
#[derive(Debug, Default)]
pub(crate) struct Delayed {
    by_due: BTreeMap<(Moment, Sequence), Message>,
}

impl Delayed {
    pub(crate) fn insert(&mut self, due: Moment, sequence: Sequence, message: Message) {
        self.by_due.insert((due, sequence), message);
    }

    /// Takes a message that is due by `now`, the earliest first.
    pub(crate) fn pop_due(&mut self, now: Moment) -> Option<(Sequence, Message)> {
        let entry = self.by_due.first_entry()?;
        if entry.key().0 > now {
            return None;
        }
        let ((_, sequence), message) = entry.remove_entry();
        Some((sequence, message))
    }

    /// When the next message is due.
    pub(crate) fn next_due(&self) -> Option<Moment> {
        self.by_due.first_key_value().map(|((due, _), _)| *due)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_due.len()
    }

    pub(crate) fn clear(&mut self) {
        self.by_due.clear();
    }

    #[cfg(test)]
    pub(crate) fn messages(&self) -> impl Iterator<Item = &Message> {
        self.by_due.values()
    }
}
