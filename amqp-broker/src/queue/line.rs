//! The line in which consumers wait for messages, so that competitors are served in turn.
//!
//! A consumer with credit that finds nothing more to take waits at the end of the line. When messages come, as many
//! consumers are called from its front as there are messages that no called consumer has fetched yet. Each takes no more
//! than its share while others wait, and then goes to the end again.

use std::collections::{HashMap, VecDeque};

use super::ConsumerId;

/// What a consumer is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Appetite {
    /// It has no credit, or is at work on what it took.
    Busy,
    /// It stands in the line.
    Waiting,
    /// It was called, or has said that it comes again by itself; it has not come yet.
    Called,
}

/// The consumers of a queue.
#[derive(Debug, Default)]
pub(crate) struct Line {
    consumers: HashMap<ConsumerId, Appetite>,
    /// Those that wait; may hold consumers that have left, which are passed over.
    waiting: VecDeque<ConsumerId>,
    called: usize,
    /// How many of `consumers` wait.
    hungry: usize,
}

impl Line {
    pub(crate) fn join(&mut self, consumer: ConsumerId) {
        self.consumers.entry(consumer).or_insert(Appetite::Busy);
    }

    pub(crate) fn leave(&mut self, consumer: ConsumerId) {
        self.set(consumer, Appetite::Busy);
        self.consumers.remove(&consumer);
        self.waiting.retain(|waiting| *waiting != consumer);
    }

    pub(crate) fn contains(&self, consumer: ConsumerId) -> bool {
        self.consumers.contains_key(&consumer)
    }

    /// The consumer has come: it is neither waiting nor called any more.
    pub(crate) fn arrive(&mut self, consumer: ConsumerId) {
        if self.consumers.get(&consumer) == Some(&Appetite::Waiting) {
            self.waiting.retain(|waiting| *waiting != consumer);
        }
        self.set(consumer, Appetite::Busy);
    }

    /// The consumer wants more and finds nothing: it goes to the end of the line.
    pub(crate) fn wait(&mut self, consumer: ConsumerId) {
        if self.consumers.get(&consumer) == Some(&Appetite::Busy) {
            self.waiting.push_back(consumer);
            self.set(consumer, Appetite::Waiting);
        }
    }

    /// The consumer wants more and comes again by itself.
    pub(crate) fn come_again(&mut self, consumer: ConsumerId) {
        self.arrive(consumer);
        self.set(consumer, Appetite::Called);
    }

    /// Calls the next consumer, if there are more messages than called consumers.
    pub(crate) fn call(&mut self, messages: usize) -> Option<ConsumerId> {
        if self.called >= messages {
            return None;
        }
        let consumer = self.waiting.pop_front()?;
        self.set(consumer, Appetite::Called);
        Some(consumer)
    }

    /// What one consumer may take now, so that everybody who wants messages gets an equal part of `messages`.
    pub(crate) fn share(&self, messages: usize) -> usize {
        messages.div_ceil(self.hungry + self.called + 1)
    }

    pub(crate) fn len(&self) -> usize {
        self.consumers.len()
    }

    /// Changes what a known consumer does, and the counts with it.
    fn set(&mut self, consumer: ConsumerId, appetite: Appetite) {
        let Some(present) = self.consumers.get_mut(&consumer) else { return };
        match *present {
            Appetite::Busy => {}
            Appetite::Waiting => self.hungry -= 1,
            Appetite::Called => self.called -= 1,
        }
        match appetite {
            Appetite::Busy => {}
            Appetite::Waiting => self.hungry += 1,
            Appetite::Called => self.called += 1,
        }
        *present = appetite;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ConsumerId = ConsumerId(1);
    const B: ConsumerId = ConsumerId(2);

    fn two_waiting() -> Line {
        let mut line = Line::default();
        for consumer in [A, B] {
            line.join(consumer);
            line.wait(consumer);
        }
        line
    }

    #[test]
    fn waiting_consumers_are_called_in_turn() {
        let mut line = two_waiting();
        assert_eq!(line.call(1), Some(A));
        assert_eq!(line.call(1), None);
        line.arrive(A);
        line.wait(A);
        assert_eq!(line.call(1), Some(B));
        line.arrive(B);
        assert_eq!(line.call(1), Some(A));
    }

    #[test]
    fn a_called_consumer_that_leaves_passes_the_call_on() {
        let mut line = two_waiting();
        assert_eq!(line.call(1), Some(A));
        line.leave(A);
        assert_eq!(line.call(1), Some(B));
    }

    #[test]
    fn the_share_counts_everybody_who_wants_messages() {
        let mut line = two_waiting();
        line.arrive(A);
        assert_eq!(line.share(10), 5);
        line.arrive(B);
        assert_eq!(line.share(10), 10);
        line.come_again(B);
        assert_eq!(line.share(9), 5);
    }

    #[test]
    fn nobody_stands_in_the_line_twice() {
        let mut line = two_waiting();
        line.wait(A);
        line.come_again(A);
        assert_eq!(line.call(2), Some(B));
        assert_eq!(line.call(3), None);
    }
}
