//! The messages of a sender that have no outcome yet: those that wait, in order, and those handed to a link.

use super::error::{ClientError, Receipt, RecoveringSendError};
use crate::engine::event::DeliveryNumber;
use crate::error::Outcome;
use crate::sender::Payload;
use std::collections::VecDeque;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// What the one who handed a message over is told.
pub(crate) type Answer = Result<Receipt, RecoveringSendError>;

/// A message, and who waits for what becomes of it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) payload: Payload,
    /// How often it was handed to a link.
    pub(crate) times: u32,
    pub(crate) reply: oneshot::Sender<Answer>,
    /// Its share of the buffer, given back when it is dropped.
    pub(crate) room: [OwnedSemaphorePermit; 2],
}

impl Entry {
    /// Tells what became of the message. Not under a lock: it wakes.
    pub(crate) fn tell(self, answer: Answer) {
        let Self { reply, room, .. } = self;
        drop(room);
        // Nobody has to wait for it.
        let _ = reply.send(answer);
    }

    /// Gives up: nobody will send it any more.
    pub(crate) fn give_up(self, cause: ClientError) {
        let error = match self.times {
            0 => RecoveringSendError::NotSent(cause),
            times => RecoveringSendError::Unknown { times, cause },
        };
        self.tell(Err(error));
    }
}

/// Where a sender is in its life.
#[derive(Debug, Clone)]
pub(crate) enum Phase {
    Open,
    /// What is buffered is still sent, nothing more is taken.
    Closing,
    Ended(ClientError),
}

#[derive(Debug)]
pub(crate) struct Buffer {
    pub(crate) phase: Phase,
    waiting: VecDeque<Entry>,
    /// By delivery number, without gaps from `first` on; those with an outcome leave a hole until they are at the front.
    handed: VecDeque<Option<Entry>>,
    first: u64,
    unconfirmed: usize,
}

impl Default for Buffer {
    fn default() -> Self {
        Self {
            phase: Phase::Open,
            waiting: VecDeque::new(),
            handed: VecDeque::new(),
            first: 0,
            unconfirmed: 0,
        }
    }
}

impl Buffer {
    /// Messages without an outcome.
    pub(crate) const fn unconfirmed(&self) -> usize {
        self.unconfirmed
    }

    /// Why there is nothing more to do, if so.
    pub(crate) fn is_done(&self) -> Option<ClientError> {
        match &self.phase {
            Phase::Closing if self.unconfirmed == 0 => Some(ClientError::Closed),
            Phase::Ended(reason) => Some(reason.clone()),
            Phase::Open | Phase::Closing => None,
        }
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        self.unconfirmed += 1;
        self.waiting.push_back(entry);
    }

    /// Takes the next message that is to be handed over; it comes back by `hand` or `put_back`, or it is `forget`ten.
    pub(crate) fn next(&mut self) -> Option<Entry> {
        self.waiting.pop_front()
    }

    pub(crate) fn put_back(&mut self, entry: Entry) {
        self.waiting.push_front(entry);
    }

    pub(crate) const fn forget(&mut self) {
        self.unconfirmed = self.unconfirmed.saturating_sub(1);
    }

    /// The message was handed to the link under this number; numbers of one link have no gaps.
    pub(crate) fn hand(&mut self, DeliveryNumber(number): DeliveryNumber, mut entry: Entry) {
        if self.handed.is_empty() {
            self.first = number;
        }
        entry.times = entry.times.saturating_add(1);
        self.handed.push_back(Some(entry));
    }

    /// The peer told the outcome of the message with this number.
    pub(crate) fn confirm(&mut self, DeliveryNumber(number): DeliveryNumber) -> Option<Entry> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let entry = self.handed.get_mut(index)?.take()?;
        while let Some(None) = self.handed.front() {
            self.handed.pop_front();
            self.first += 1;
        }
        self.forget();
        Some(entry)
    }

    /// The link ended: what it was given and has no outcome is to be sent again, before everything else and in
    /// order. Gives how many.
    pub(crate) fn rewind(&mut self) -> usize {
        let before = self.waiting.len();
        while let Some(entry) = self.handed.pop_back() {
            if let Some(entry) = entry {
                self.waiting.push_front(entry);
            }
        }
        self.waiting.len() - before
    }

    /// The link ended: takes out what it was given and has no outcome.
    pub(crate) fn take_handed(&mut self) -> Vec<Entry> {
        let taken: Vec<_> = self.handed.drain(..).flatten().collect();
        self.unconfirmed = self.unconfirmed.saturating_sub(taken.len());
        taken
    }

    /// Takes out everything.
    pub(crate) fn take_all(&mut self) -> Vec<Entry> {
        self.rewind();
        self.unconfirmed = 0;
        self.waiting.drain(..).collect()
    }
}

/// The receipt of a message.
pub(crate) fn receipt(entry: &Entry, outcome: Outcome) -> Receipt {
    Receipt { outcome, times: entry.times }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::sync::Arc;
    use tokio::sync::Semaphore;

    fn entry(name: &'static str) -> (Entry, oneshot::Receiver<Answer>) {
        let (reply, answer) = oneshot::channel();
        let room = || Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let payload = Payload::from(Bytes::from_static(name.as_bytes()));
        (Entry { payload, times: 0, reply, room: [room(), room()] }, answer)
    }

    fn names(buffer: &mut Buffer) -> Vec<Bytes> {
        std::iter::from_fn(|| buffer.next()).map(|entry| entry.payload.bytes().clone()).collect()
    }

    #[test]
    fn what_was_not_confirmed_goes_first_and_in_order() {
        let mut buffer = Buffer::default();
        let mut answers = Vec::new();
        for name in ["a", "b", "c", "d", "e"] {
            let (entry, answer) = entry(name);
            buffer.push(entry);
            answers.push(answer);
        }
        for number in 10..14 {
            let next = buffer.next().unwrap();
            buffer.hand(DeliveryNumber(number), next);
        }
        // Out of order: b and a are confirmed, c and d are not.
        for number in [11, 10] {
            let entry = buffer.confirm(DeliveryNumber(number)).unwrap();
            let receipt = receipt(&entry, Outcome::Accepted);
            entry.tell(Ok(receipt));
        }
        assert_eq!(buffer.unconfirmed(), 3);
        assert_eq!(buffer.rewind(), 2);
        assert_eq!(names(&mut buffer), ["c", "d", "e"]);
        let receipt = answers[0].try_recv().unwrap().unwrap();
        assert!(!receipt.is_maybe_duplicated());
    }

    #[test]
    fn numbers_that_are_not_there_confirm_nothing() {
        let mut buffer = Buffer::default();
        let (entry, _answer) = entry("a");
        buffer.push(entry);
        let next = buffer.next().unwrap();
        buffer.hand(DeliveryNumber(5), next);
        for number in [0, 4, 6, u64::MAX] {
            assert!(buffer.confirm(DeliveryNumber(number)).is_none());
        }
        assert!(buffer.confirm(DeliveryNumber(5)).is_some());
        assert!(buffer.confirm(DeliveryNumber(5)).is_none());
        assert_eq!(buffer.unconfirmed(), 0);
    }

    #[test]
    fn what_was_never_handed_over_is_known_not_to_be_sent() {
        let mut buffer = Buffer::default();
        let (first, mut handed) = entry("a");
        let (second, mut waiting) = entry("b");
        buffer.push(first);
        buffer.push(second);
        let next = buffer.next().unwrap();
        buffer.hand(DeliveryNumber(0), next);
        for entry in buffer.take_all() {
            entry.give_up(ClientError::Closed);
        }
        assert!(matches!(handed.try_recv().unwrap(), Err(RecoveringSendError::Unknown { times: 1, .. })));
        assert!(matches!(waiting.try_recv().unwrap(), Err(RecoveringSendError::NotSent(_))));
        assert_eq!(buffer.unconfirmed(), 0);
    }
}
