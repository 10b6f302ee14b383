//! A link on which a peer consumes: messages out as long as there is credit, verdicts in.
//!
//! One task a link, no future and no task per message: each turn settles all outcomes that came under one lock of the
//! queue, takes as many messages as there is credit under another, and hands them to the connection.

use std::collections::HashMap;
use std::sync::Arc;

use amqp_codec::transport::{ErrorInfo, conditions};
use amqp_transport::{DeliveryNumber, LinkError, Outcome, Payload, SendError, Sender, TryDeliverError};
use tokio::sync::mpsc;

use super::outcome::{departure, verdict};
use super::transactions::{SettleDown, Transactions};
use crate::queue::{Departure, Next, Sequence, Taken, Verdict};
use crate::store::Subscription;

/// Serves the link until it ends; then what the consumer had goes back to the queue.
pub(crate) async fn run(
    sender: Sender,
    subscription: Subscription,
    settled: bool,
    (transactions, asked): (Arc<Transactions>, mpsc::Receiver<SettleDown>),
) {
    let mut consumer = Consumer {
        sender,
        subscription,
        settled,
        held: HashMap::new(),
        taken: Vec::new(),
        verdicts: Vec::new(),
        transactions,
        asked,
        failure: None,
    };
    let departure = match consumer.work().await {
        End::Link(error) => {
            tracing::debug!(link = consumer.sender.name(), %error, "consumer left");
            departure(&error)
        }
        // A message that is larger than the consumer takes: it cannot have this queue.
        End::Send(error) => {
            tracing::warn!(link = consumer.sender.name(), %error, "consumer detached");
            let departure = error.link_error().map_or(Departure::Orderly, departure);
            consumer.close(None).await;
            departure
        }
        End::QueueDeleted(error) | End::Refused(error) => {
            // Nobody waits for this task while it waits for the peer.
            consumer.asked.close();
            consumer.close(Some(error)).await;
            Departure::Orderly
        }
    };
    consumer.settle();
    consumer.subscription.leave(departure);
}

/// Why a consumer's work is over.
enum End {
    Link(LinkError),
    /// A message could not be sent.
    Send(SendError),
    /// There is nothing to consume from any more.
    QueueDeleted(ErrorInfo),
    /// The consumer asked for what cannot be.
    Refused(ErrorInfo),
}

impl From<LinkError> for End {
    fn from(error: LinkError) -> Self {
        Self::Link(error)
    }
}

struct Consumer {
    sender: Sender,
    subscription: Subscription,
    /// Whether what is sent is done with: the link is at most once.
    settled: bool,
    /// What the peer has, by the transport's number.
    held: HashMap<DeliveryNumber, Sequence>,
    /// Room for one turn's messages, kept from turn to turn.
    taken: Vec<Taken>,
    /// Room for one turn's verdicts.
    verdicts: Vec<(Sequence, Verdict)>,
    transactions: Arc<Transactions>,
    /// Where a transaction that is to end asks for what came before.
    asked: mpsc::Receiver<SettleDown>,
    /// Why the consumer cannot go on.
    failure: Option<ErrorInfo>,
}

impl Consumer {
    async fn work(&mut self) -> End {
        loop {
            match self.turn().await {
                Ok(()) => {}
                Err(end) => return end,
            }
        }
    }

    /// Settles, takes, sends, and waits for a reason to do so again.
    async fn turn(&mut self) -> Result<(), End> {
        let settled_down = self.asked.try_recv();
        self.settle();
        drop(settled_down);
        if self.sender.acquisition().is_some() {
            let text = "messages cannot be acquired within a transaction, only settled";
            self.failure = Some(ErrorInfo::new(conditions::NOT_IMPLEMENTED, text));
        }
        if let Some(error) = self.failure.take() {
            return Err(End::Refused(error));
        }
        // Asked before there is taken: a drain that comes later is owed what came into the queue before it.
        let is_draining = self.sender.is_draining();
        let credit = self.sender.credit();
        let next = self.subscription.take(credit, &mut self.taken).map_err(End::QueueDeleted)?;
        self.send()?;
        if next == Next::ComeAgain {
            // Others must have their turn.
            tokio::task::yield_now().await;
            return Ok(());
        }
        tokio::select! {
            biased;
            Some(settled_down) = self.asked.recv() => {
                self.settle();
                drop(settled_down);
            }
            // Waited for before the state is looked at below, or a change in between would be missed.
            () = self.sender.changed() => {}
            () = self.subscription.called() => {}
            outcome = self.sender.next_outcome() => {
                let (number, outcome) = outcome?;
                self.on_outcome(number, outcome);
            }
            () = has_reason(&self.sender, next, is_draining) => {}
        }
        Ok(())
    }

    /// Hands over what was taken. The credit cannot shrink below what is under way, but it can be taken back before: then
    /// the rest returns to the queue.
    fn send(&mut self) -> Result<(), End> {
        let mut taken = self.taken.drain(..);
        while let Some(Taken { sequence, payload }) = taken.next() {
            match self.sender.try_deliver(Payload::from(payload)) {
                Ok(_) if self.settled => self.verdicts.push((sequence, Verdict::Accepted)),
                Ok(number) => {
                    self.held.insert(number, sequence);
                }
                Err(error) => {
                    let rest = taken.map(|taken| taken.sequence);
                    self.subscription.untake(std::iter::once(sequence).chain(rest));
                    return match error {
                        TryDeliverError::Send(error) => Err(End::Send(error)),
                        // Credit was taken back.
                        _ => Ok(()),
                    };
                }
            }
        }
        Ok(())
    }

    /// Settles all deliveries whose outcome is known.
    fn settle(&mut self) {
        while let Some((number, outcome)) = self.sender.try_next_outcome() {
            self.on_outcome(number, outcome);
        }
        if !self.verdicts.is_empty() {
            self.subscription.settle(self.verdicts.drain(..));
        }
    }

    async fn close(&self, reason: Option<ErrorInfo>) {
        let closed = match reason {
            Some(reason) => self.sender.close_with(reason).await,
            None => self.sender.close().await,
        };
        if let Err(error) = closed {
            tracing::debug!(%error, "link not closed in an orderly way");
        }
    }

    fn on_outcome(&mut self, number: DeliveryNumber, outcome: Outcome) {
        let Some(sequence) = self.held.remove(&number) else { return };
        let Outcome::Provisional(provisional) = outcome else {
            return self.verdicts.push((sequence, verdict(outcome)));
        };
        if !provisional.is_settled {
            // After a rollback it is the consumer's as before.
            self.held.insert(number, sequence);
        }
        let is_settled = provisional.is_settled;
        let retired = self.transactions.retire(*provisional, sequence, &self.subscription, &self.sender);
        if let Err(error) = retired {
            if is_settled {
                self.verdicts.push((sequence, Verdict::Released));
            }
            self.failure = Some(error);
        }
    }
}

/// Ready if the link gives a reason for another turn by now. Answers the drain that was asked for before the queue had
/// nothing more (§2.6.7).
async fn has_reason(sender: &Sender, next: Next, is_draining: bool) {
    if next == Next::Wait && is_draining {
        sender.drained();
    }
    let has_credit = sender.credit() > 0;
    let is_reason = match next {
        Next::ComeAgain => true,
        // Without credit it must not stay in the queue's line.
        Next::Wait => !has_credit || (!is_draining && sender.is_draining()),
        Next::Idle => has_credit,
    };
    if !is_reason {
        std::future::pending::<()>().await;
    }
}
