//! What a queue does for transactions: room for messages that may come, and messages whose verdict is not final.

use amqp_codec::transport::ErrorInfo;

use super::{ConsumerId, Dead, Message, Queue, Sequence, Verdict};
use crate::clock::Moment;

/// Room that is kept free for messages of transactions that are not discharged.
#[derive(Debug, Default)]
pub(super) struct Reserved {
    pub(super) messages: u64,
    pub(super) octets: u64,
}

impl Queue {
    /// Keeps room for a message that comes with a commit, which then cannot fail.
    ///
    /// # Errors
    ///
    /// `amqp:resource-limit-exceeded` if the queue is full.
    pub(crate) fn reserve(&mut self, message: &Message) -> Result<(), ErrorInfo> {
        self.check_room(message)?;
        self.reserved.messages += 1;
        self.reserved.octets += message.size();
        Ok(())
    }

    /// A message for which room was kept does not come.
    pub(crate) fn unreserve(&mut self, message: &Message) {
        self.reserved.messages = self.reserved.messages.saturating_sub(1);
        self.reserved.octets = self.reserved.octets.saturating_sub(message.size());
    }

    /// Takes in a message for which room was kept.
    pub(crate) fn publish_reserved(&mut self, message: Message, now: Moment, dead: &mut Vec<Dead>) {
        self.unreserve(&message);
        self.enter(message, now, dead);
    }

    /// A message that one has is had by another from now on. Says whether the first had it.
    fn hand_over(&mut self, from: ConsumerId, to: ConsumerId, sequence: Sequence) -> bool {
        let message = self.acquired.remove(&(from, sequence));
        message.is_some_and(|message| self.acquired.insert((to, sequence), message).is_none())
    }

    /// A message that a consumer has is a transaction's until that is discharged. Says whether the consumer had it.
    pub(crate) fn lend(&mut self, consumer: ConsumerId, holder: ConsumerId, sequence: Sequence) -> bool {
        let had = self.hand_over(consumer, holder, sequence);
        if had {
            self.lent.insert((consumer, sequence), None);
        }
        had
    }

    /// The transaction that has a message is committed with this verdict.
    pub(crate) fn settle_lent(
        &mut self,
        (holder, consumer): (ConsumerId, ConsumerId),
        sequence: Sequence,
        verdict: Verdict,
        now: Moment,
        dead: &mut Vec<Dead>,
    ) {
        self.lent.remove(&(consumer, sequence));
        self.settle(holder, sequence, verdict, now, dead);
    }

    /// Gives a message back to the consumer from which a transaction has it; if that has left, to the queue. What the
    /// consumer decided meanwhile, because it knew before of the rollback, takes effect now.
    pub(crate) fn give_back(
        &mut self,
        holder: ConsumerId,
        consumer: ConsumerId,
        sequence: Sequence,
        now: Moment,
        dead: &mut Vec<Dead>,
    ) {
        match self.lent.remove(&(consumer, sequence)).flatten() {
            Some(verdict) => {
                self.settle(holder, sequence, verdict, now, dead);
            }
            None if self.line.contains(consumer) => {
                self.hand_over(holder, consumer, sequence);
            }
            None => {
                self.settle(holder, sequence, Verdict::Released, now, dead);
            }
        }
    }
}
