//! Messages that a consumer may have now: the most urgent first, and in the order of arrival among equals.

use std::collections::{BTreeMap, BTreeSet};

use super::{Message, Sequence};
use crate::clock::Moment;

/// Place in the order of delivery: higher priority first, then older first. A message that comes back has its old
/// sequence, and with it its old place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    below_highest: u8,
    sequence: Sequence,
}

impl Rank {
    fn of(sequence: Sequence, message: &Message) -> Self {
        Self { below_highest: u8::MAX - message.priority(), sequence }
    }
}

/// The available messages of a queue.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    by_rank: BTreeMap<Rank, Message>,
    /// Those of them that expire, by when.
    expiring: BTreeSet<(Moment, Rank)>,
}

impl Ready {
    pub(crate) fn insert(&mut self, sequence: Sequence, message: Message) {
        let rank = Rank::of(sequence, &message);
        if let Some(at) = message.expires_at() {
            self.expiring.insert((at, rank));
        }
        self.by_rank.insert(rank, message);
    }

    /// Takes the message whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<(Sequence, Message)> {
        let (rank, message) = self.by_rank.pop_first()?;
        if let Some(at) = message.expires_at() {
            self.expiring.remove(&(at, rank));
        }
        Some((rank.sequence, message))
    }

    /// Takes a message whose time-to-live has run out by `now`.
    pub(crate) fn pop_expired(&mut self, now: Moment) -> Option<(Sequence, Message)> {
        let &(at, rank) = self.expiring.first()?;
        if at > now {
            return None;
        }
        self.expiring.pop_first();
        self.by_rank.remove(&rank).map(|message| (rank.sequence, message))
    }

    /// When the next message expires.
    pub(crate) fn next_expiry(&self) -> Option<Moment> {
        self.expiring.first().map(|(at, _)| *at)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_rank.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_rank.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.by_rank.clear();
        self.expiring.clear();
    }

    #[cfg(test)]
    pub(crate) fn messages(&self) -> impl Iterator<Item = &Message> {
        self.by_rank.values()
    }
}
