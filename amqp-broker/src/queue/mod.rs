//! One queue: where each of its messages is, and what happens to it next.
//!
//! Everything here is pure: no sockets, no tasks, no locks, no clock. A message is in exactly one place:
//!
//! ```text
//! publish ──> delayed ──due──> ready ──take──> acquired ──accepted──> archived (gone)
//!    └───────────────────────────^ │              │ │
//!                                  │    returned ─┘ └─ rejected, undeliverable, failed too often
//!                                  └─ expired ──────────> dead (handed to the caller for another queue)
//! ```
//!
//! What must go to another queue is pushed to a list of the caller's ([`Dead`]), who delivers it when this queue is
//! unlocked. Consumers are known by number; whom to call is asked with [`Queue::call`].

mod dead_letter;
mod delayed;
mod line;
mod message;
#[cfg(test)]
mod model_tests;
mod ready;
#[cfg(test)]
mod tests;
mod transaction;

use std::collections::BTreeMap;

use amqp_codec::ByteString;
use amqp_codec::messaging::Modified;
use amqp_codec::transport::{ErrorInfo, conditions};
use bytes::Bytes;

use self::dead_letter::Reason;
use self::delayed::Delayed;
use self::line::Line;
use self::ready::Ready;
use self::transaction::Reserved;
use crate::clock::{Moment, whole_millis};
use crate::limits::{Expired, QueueOptions, TAKE_BATCH};
use crate::own::own;

pub(crate) use self::dead_letter::Dead;
pub(crate) use self::message::{Message, undecodable};

/// Number of a message in its queue, in the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Sequence(u64);

/// Number of a consumer, unique in the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConsumerId(pub(crate) u64);

/// A message that a consumer took.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    /// By which it is settled.
    pub(crate) sequence: Sequence,
    /// The encoded message.
    pub(crate) payload: Bytes,
}

/// Whether a consumer that took messages should come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// There are more for it; it comes again by itself, after others had their turn.
    ComeAgain,
    /// There is nothing more; it is called.
    Wait,
    /// It has no credit left; it comes when it has.
    Idle,
}

/// What a consumer says about a message (part 3, §3.4).
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// Done with.
    Accepted,
    /// Given back as if nothing had happened.
    Released,
    /// Bad.
    Rejected(Option<ErrorInfo>),
    /// Given back, changed.
    Modified(Modified),
}

/// How a consumer left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    /// It detached, or its session or connection was ended in an orderly way.
    Orderly,
    /// Its connection broke.
    Lost,
}

/// What is known about a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueStats {
    /// Messages that a consumer may have now.
    pub ready: u64,
    /// Messages that wait for their time.
    pub delayed: u64,
    /// Messages that consumers have and did not settle yet.
    pub unacknowledged: u64,
    /// Consumers attached.
    pub consumers: u64,
    /// Octets held: the encoded messages and 256 octets for each.
    pub bytes: u64,
    /// Messages that came in, since the queue was created.
    pub published: u64,
    /// Messages that consumers accepted, since the queue was created.
    pub accepted: u64,
    /// Messages that came back to the queue from a consumer, since the queue was created.
    pub returned: u64,
    /// Messages that went to the dead-letter queue, since the queue was created.
    pub dead_lettered: u64,
    /// Messages that were dropped, since the queue was created: dead or expired ones of a queue that has nowhere to send
    /// them, those that would go round for ever, and dead letters that their
    /// queue had no room for.
    pub dropped: u64,
}

/// A queue.
#[derive(Debug)]
pub(crate) struct Queue {
    name: ByteString,
    options: QueueOptions,
    next_sequence: u64,
    delayed: Delayed,
    ready: Ready,
    acquired: BTreeMap<(ConsumerId, Sequence), Message>,
    /// Consumers whose messages a transaction has, and what they have decided since.
    lent: BTreeMap<(ConsumerId, Sequence), Option<Verdict>>,
    line: Line,
    /// Room for messages that a transaction may bring.
    reserved: Reserved,
    /// The counts that do not follow from the places above.
    totals: QueueStats,
}

impl Queue {
    pub(crate) fn new(name: ByteString, options: QueueOptions) -> Self {
        Self {
            name,
            options,
            next_sequence: 0,
            delayed: Delayed::default(),
            ready: Ready::default(),
            acquired: BTreeMap::new(),
            lent: BTreeMap::new(),
            line: Line::default(),
            reserved: Reserved::default(),
            totals: QueueStats::default(),
        }
    }

    pub(crate) const fn name(&self) -> &ByteString {
        &self.name
    }

    pub(crate) const fn options(&self) -> &QueueOptions {
        &self.options
    }

    /// Changes how the queue behaves from now on; messages that it holds keep the time-to-live they have.
    pub(crate) fn set_options(&mut self, options: QueueOptions) {
        self.options = options;
    }

    /// Takes in a message.
    ///
    /// # Errors
    ///
    /// `amqp:resource-limit-exceeded` if the queue is full.
    pub(crate) fn publish(
        &mut self,
        message: Message,
        now: Moment,
        dead: &mut Vec<Dead>,
    ) -> Result<(), ErrorInfo> {
        self.check_room(&message)?;
        self.enter(message, now, dead);
        Ok(())
    }

    /// Whether there is room for a message.
    fn check_room(&self, message: &Message) -> Result<(), ErrorInfo> {
        let octets = self.totals.bytes.saturating_add(self.reserved.octets).saturating_add(message.size());
        if self.length() >= self.options.max_length || octets > self.options.max_bytes {
            return Err(self.full());
        }
        Ok(())
    }

    /// Takes in a message for which there is room.
    fn enter(&mut self, mut message: Message, now: Moment, dead: &mut Vec<Dead>) {
        if let Some(ttl) = self.options.message_ttl {
            message.limit_time_to_live(whole_millis(ttl), now);
        }
        let sequence = Sequence(self.next_sequence);
        self.next_sequence += 1;
        self.totals.published += 1;
        self.totals.bytes += message.size();
        self.place(sequence, message, now, dead);
    }

    /// A consumer has come.
    pub(crate) fn add_consumer(&mut self, consumer: ConsumerId) {
        self.line.join(consumer);
    }

    /// A consumer has gone. What it had comes back: unchanged if it left in an orderly way, as after a failed attempt if
    /// its connection broke, since a message that brings consumers down must not go round for ever.
    pub(crate) fn remove_consumer(
        &mut self,
        consumer: ConsumerId,
        departure: Departure,
        now: Moment,
        dead: &mut Vec<Dead>,
    ) {
        self.line.leave(consumer);
        let mut held = self.acquired.split_off(&(consumer, Sequence(0)));
        let mut others = held.split_off(&(ConsumerId(consumer.0.saturating_add(1)), Sequence(0)));
        self.acquired.append(&mut others);
        for ((_, sequence), mut message) in held {
            if departure == Departure::Lost {
                message.count_failure();
            }
            self.come_back(sequence, message, now, dead);
        }
    }

    /// Gives a consumer its share of the messages that are ready, at most `credit` of them, and says what it should do
    /// next. To be called with a credit of 0 too, when a consumer that waits has lost its credit.
    pub(crate) fn take(
        &mut self,
        consumer: ConsumerId,
        credit: u32,
        now: Moment,
        taken: &mut Vec<Taken>,
        dead: &mut Vec<Dead>,
    ) -> Next {
        self.tick(now, dead);
        self.line.arrive(consumer);
        let wanted = usize::try_from(credit.min(TAKE_BATCH)).unwrap_or(usize::MAX);
        let count = wanted.min(self.line.share(self.ready.len()));
        for _ in 0..count {
            let Some((sequence, message)) = self.ready.pop() else { break };
            taken.push(Taken { sequence, payload: message.forward(now) });
            self.acquired.insert((consumer, sequence), message);
        }
        if u32::try_from(count).is_ok_and(|count| count >= credit) {
            Next::Idle
        } else if self.ready.is_empty() {
            self.line.wait(consumer);
            Next::Wait
        } else {
            self.line.come_again(consumer);
            Next::ComeAgain
        }
    }

    /// Ends one delivery to a consumer. Says whether the consumer had that message.
    pub(crate) fn settle(
        &mut self,
        consumer: ConsumerId,
        sequence: Sequence,
        verdict: Verdict,
        now: Moment,
        dead: &mut Vec<Dead>,
    ) -> bool {
        let Some(mut message) = self.acquired.remove(&(consumer, sequence)) else {
            if let Some(late @ None) = self.lent.get_mut(&(consumer, sequence)) {
                *late = Some(verdict);
            }
            return false;
        };
        match verdict {
            Verdict::Accepted => {
                self.totals.accepted += 1;
                self.totals.bytes -= message.size();
            }
            Verdict::Released => self.come_back(sequence, message, now, dead),
            Verdict::Rejected(error) => {
                message.count_failure();
                self.bury(message, Reason::Rejected(error), dead);
            }
            Verdict::Modified(modified) => {
                self.on_modified(sequence, message, modified, now, dead);
            }
        }
        true
    }

    /// A delivery that did not reach its consumer: the message is ready again as if it had not been taken.
    pub(crate) fn untake(&mut self, consumer: ConsumerId, sequence: Sequence) {
        if let Some(message) = self.acquired.remove(&(consumer, sequence)) {
            self.ready.insert(sequence, message);
        }
    }

    /// Does what is due: delayed messages become ready, expired ones go.
    pub(crate) fn tick(&mut self, now: Moment, dead: &mut Vec<Dead>) {
        while let Some((sequence, message)) = self.delayed.pop_due(now) {
            self.place(sequence, message, now, dead);
        }
        while let Some((_, message)) = self.ready.pop_expired(now) {
            self.expire(message, dead);
        }
    }

    /// When [`tick`](Self::tick) has something to do again.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        [self.delayed.next_due(), self.ready.next_expiry()].into_iter().flatten().min()
    }

    /// Calls the next consumer that should come and take; to be asked until there is none.
    pub(crate) fn call(&mut self) -> Option<ConsumerId> {
        self.line.call(self.ready.len())
    }

    /// Removes all messages that no consumer has, and says how many there were.
    pub(crate) fn purge(&mut self) -> u64 {
        let count = count(self.ready.len()) + count(self.delayed.len());
        self.ready.clear();
        self.delayed.clear();
        self.totals.bytes = self.acquired.values().map(Message::size).sum();
        count
    }

    pub(crate) fn stats(&self) -> QueueStats {
        QueueStats {
            ready: count(self.ready.len()),
            delayed: count(self.delayed.len()),
            unacknowledged: count(self.acquired.len()),
            consumers: count(self.line.len()),
            ..self.totals
        }
    }

    /// Messages held, wherever they are, and those for which room is reserved.
    fn length(&self) -> u64 {
        count(self.ready.len())
            + count(self.delayed.len())
            + count(self.acquired.len())
            + self.reserved.messages
    }

    /// Puts a message where it belongs now: delayed, ready or, if it has expired, away.
    fn place(&mut self, sequence: Sequence, mut message: Message, now: Moment, dead: &mut Vec<Dead>) {
        match message.not_before() {
            Some(due) if due > now => return self.delayed.insert(due, sequence, message),
            Some(_) => message.set_not_before(None),
            None => {}
        }
        if message.expires_at().is_some_and(|at| at <= now) {
            self.expire(message, dead);
        } else {
            self.ready.insert(sequence, message);
        }
    }

    /// A message comes back from a consumer, with its failed attempts counted.
    fn come_back(&mut self, sequence: Sequence, message: Message, now: Moment, dead: &mut Vec<Dead>) {
        if self.options.delivery_limit.is_some_and(|limit| message.delivery_count() > limit) {
            self.bury(message, Reason::DeliveryLimit, dead);
        } else {
            self.totals.returned += 1;
            self.place(sequence, message, now, dead);
        }
    }

    /// A consumer changed a message (part 3, §3.4.5). A message that cannot be delivered there is dead, as on RabbitMQ:
    /// the competitors of a jobs queue are all alike.
    fn on_modified(
        &mut self,
        sequence: Sequence,
        mut message: Message,
        modified: Modified,
        now: Moment,
        dead: &mut Vec<Dead>,
    ) {
        if modified.delivery_failed {
            message.count_failure();
        }
        if let Some(annotations) = modified.message_annotations {
            if !modified.undeliverable_here {
                message.set_not_before(message::return_time(&annotations, now));
            }
            let size_before = message.size();
            message.merge_annotations(own(annotations));
            self.totals.bytes = self.totals.bytes - size_before + message.size();
        }
        if modified.undeliverable_here {
            self.bury(message, Reason::UndeliverableHere, dead);
        } else {
            self.come_back(sequence, message, now, dead);
        }
    }

    /// The time-to-live of a message has run out.
    fn expire(&mut self, message: Message, dead: &mut Vec<Dead>) {
        match self.options.expired {
            Expired::DeadLetter => self.bury(message, Reason::Expired, dead),
            Expired::Drop => {
                self.totals.bytes -= message.size();
                self.totals.dropped += 1;
            }
        }
    }

    /// A message leaves the queue as a dead letter, or for good if there is nowhere to send it or it would go round for
    /// ever.
    fn bury(&mut self, mut message: Message, reason: Reason, dead: &mut Vec<Dead>) {
        self.totals.bytes -= message.size();
        match reason {
            Reason::Expired => message.expired_in(self.name.clone()),
            _ => message.forget_expiries(),
        }
        match dead_letter::target(&self.name, &self.options.dead_letter) {
            Some(target) if !message.goes_round(&target) => {
                dead_letter::annotate(&mut message, &self.name, &reason);
                self.totals.dead_lettered += 1;
                dead.push(Dead { target, message });
            }
            _ => self.totals.dropped += 1,
        }
    }

    /// Dead letters of this queue found no room where they were to go: they are gone.
    pub(crate) fn on_dead_letters_refused(&mut self, count: u64) {
        self.totals.dead_lettered = self.totals.dead_lettered.saturating_sub(count);
        self.totals.dropped += count;
    }

    /// The refusal of a message because the queue is full.
    #[cold]
    fn full(&self) -> ErrorInfo {
        ErrorInfo::new(
            conditions::RESOURCE_LIMIT_EXCEEDED,
            format!(
                "queue {} is full: {} messages of at most {}, {} octets of at most {}",
                self.name,
                self.length(),
                self.options.max_length,
                self.totals.bytes,
                self.options.max_bytes
            ),
        )
    }
}

/// A length as a count.
fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
