//! Dispositions (§2.7.6): verdicts of the application and of the peer, in the order in which each side may settle.

use super::{Received, Session};
use crate::engine::event::Token;
use crate::engine::link::{Kind, Link, LinkState};
use crate::engine::serial::Serial;
use crate::engine::{Fault, Io, LinkKey, Links};
use crate::error::Outcome;
use amqp_codec::messaging::DeliveryState;
use amqp_codec::transport::{Disposition, ErrorInfo, Performative, ReceiverSettleMode, Role, conditions};
use bytes::Bytes;

impl Session {
    /// The application's verdict on a delivery. False if the peer took it back before.
    pub(crate) fn settle(
        &mut self,
        key: LinkKey,
        link: &mut Link,
        id: Serial,
        outcome: Outcome,
        io: &mut Io,
    ) -> bool {
        let waits_for_sender =
            link.receiver().is_some_and(|receiver| receiver.settle_mode == ReceiverSettleMode::Second);
        let state = outcome.into_state();
        if waits_for_sender
            && let Some(received) = self.received.get_mut(id).filter(|received| !received.settles_first)
        {
            if std::mem::replace(&mut received.has_verdict, true) {
                return false;
            }
            // The sender applies the verdict and settles; only then is the delivery done with (§2.6.12). Without an
            // outcome there is nothing that it could answer.
            if state.as_ref().is_some_and(DeliveryState::is_outcome) {
                // A transaction that is not discharged is rolled back with its link.
                if let (Some(kept), false) =
                    (&mut received.kept, matches!(state, Some(DeliveryState::Transactional(_))))
                {
                    kept.verdict.clone_from(&state);
                }
                self.receiver_verdicts.push(id, false, state);
                self.touch(io);
                return true;
            }
        }
        let Some(Received { octets, .. }) = self.received.take(id) else { return false };
        self.receiver_verdicts.push(id, true, state);
        self.touch(io);
        self.delivery_done(key, link, octets, io);
        true
    }

    /// A delivery no longer counts against the link's credit.
    pub(crate) fn delivery_done(&mut self, key: LinkKey, link: &mut Link, octets: u32, io: &mut Io) {
        if let Kind::Receiver(receiver) = &mut link.kind {
            receiver.credit.on_done();
            receiver.credit.on_octets_done(octets);
            if link.state == LinkState::Attached && receiver.credit.top_up().is_some() {
                self.want_flow(key, link, io);
            }
        }
    }

    /// Whether a delivery is still this side's to settle.
    pub(crate) fn is_unsettled(&self, id: Serial) -> bool {
        self.received.contains(id)
    }

    pub(crate) fn on_disposition(
        &mut self,
        disposition: Disposition,
        links: &mut Links,
        io: &mut Io,
    ) -> Result<(), Fault> {
        let first = Serial(disposition.first);
        let last = Serial(disposition.last.unwrap_or(disposition.first));
        if first.is_after(last) {
            return Err(Fault::Session(ErrorInfo::new(
                conditions::INVALID_FIELD,
                format!("disposition.last {last} is before disposition.first {first}"),
            )));
        }
        match disposition.role {
            Role::Receiver => self.on_receiver_disposition(first, last, disposition, links, io),
            Role::Sender => self.on_sender_disposition(first, last, &disposition, links, io),
        }
        Ok(())
    }

    /// The peer tells what became of our deliveries.
    fn on_receiver_disposition(
        &mut self,
        first: Serial,
        last: Serial,
        disposition: Disposition,
        links: &mut Links,
        io: &mut Io,
    ) {
        let is_final =
            disposition.settled || disposition.state.as_ref().is_some_and(DeliveryState::is_outcome);
        if !is_final {
            return;
        }
        let is_provisional = matches!(disposition.state, Some(DeliveryState::Transactional(_)));
        for id in self.sent.within(first, last) {
            if is_provisional
                && !disposition.settled
                && let Some(sent) = self.sent.get_mut(id).filter(|sent| !sent.is_posted)
            {
                // Retired within a transaction: only its discharge decides, so that it is not settled yet (§4.4.2).
                if !std::mem::replace(&mut sent.is_retired, true) {
                    let (link, token, number) = (sent.link, sent.token, sent.number);
                    io.outcome(link, token, number, Some(told(&disposition, id)));
                }
                continue;
            }
            if let Some(sent) = self.sent.get_mut(id)
                && !std::mem::replace(&mut sent.has_outcome, true)
            {
                io.counters.confirmed(sent.sent_at);
                let (link, token, number) = (sent.link, sent.token, sent.number);
                io.outcome(link, token, number, Some(told(&disposition, id)));
            }
            let key = self.sent.take(id).filter(|sent| sent.is_streamed).map(|sent| sent.link);
            if let Some((key, link)) = key.and_then(|key| Some((key, links.get_mut(key.0)?))) {
                io.signal(key, link);
            }
            if !disposition.settled {
                // The receiver waits for us to settle. Only then may a sender speak: RabbitMQ ends the session
                // over any other disposition from a sender.
                self.sender_verdicts.push(id, true, disposition.state.clone());
            }
        }
        if self.is_full || !self.sender_verdicts.is_empty() {
            self.touch(io);
        }
    }

    /// The peer takes deliveries back, settles what it was asked to settle, or wants no outcome any more.
    fn on_sender_disposition(
        &mut self,
        first: Serial,
        last: Serial,
        disposition: &Disposition,
        links: &mut Links,
        io: &mut Io,
    ) {
        let is_outcome = disposition.state.as_ref().is_some_and(DeliveryState::is_outcome);
        // Within a transaction nothing is final before its discharge.
        let is_provisional = matches!(disposition.state, Some(DeliveryState::Transactional(_)));
        if !disposition.settled && (!is_outcome || is_provisional) {
            return;
        }
        // A sender that settles and says no more wants no outcome. What it has sent is sent.
        let is_taken_back = !disposition.settled
            || matches!(
                disposition.state,
                Some(DeliveryState::Released | DeliveryState::Modified(_) | DeliveryState::Rejected(_))
            );
        for id in self.received.within(first, last) {
            let Some(Received { link: key, octets, .. }) = self.received.take(id) else { continue };
            if !disposition.settled {
                self.receiver_verdicts.push(id, true, disposition.state.clone());
            }
            let Some(link) = links.get_mut(key.0) else { continue };
            let waits = link.receiver().is_some_and(|receiver| {
                if is_taken_back { receiver.take_back(id) } else { receiver.settle_waiting(id) }
            });
            if waits && is_taken_back {
                self.forget_stream(key, link, id, io);
            }
            // What waits as settled counts against the credit until it is taken.
            if !waits || is_taken_back {
                self.delivery_done(key, link, octets, io);
            }
            io.signal(key, link);
        }
        self.touch(io);
    }

    /// Settles a delivery that this side sent. False if it is settled already.
    pub(crate) fn settle_sent(&mut self, key: LinkKey, id: Serial, outcome: Outcome, io: &mut Io) -> bool {
        if self.sent.get_mut(id).is_none_or(|sent| sent.link != key) {
            return false;
        }
        self.sent.take(id);
        self.sender_verdicts.push(id, true, outcome.into_state());
        self.touch(io);
        true
    }

    /// Whoever waited for the outcome of a delivery that this side sent has it: what follows is told to nobody.
    pub(crate) fn tell_nobody(&mut self, key: LinkKey, id: Serial) {
        if let Some(sent) = self.sent.get_mut(id).filter(|sent| sent.link == key) {
            sent.token = Token::NOBODY;
        }
    }

    /// A verdict within a transaction that was rolled back: another one may be given. False if there is nothing left to
    /// decide.
    pub(crate) fn revert(&mut self, key: LinkKey, id: Serial) -> bool {
        if let Some(sent) = self.sent.get_mut(id).filter(|sent| sent.link == key) {
            sent.is_retired = false;
            return true;
        }
        if let Some(received) = self.received.get_mut(id).filter(|received| received.link == key) {
            received.has_verdict = false;
            return true;
        }
        false
    }

    pub(super) fn flush_verdicts(&mut self, io: &mut Io) {
        for (role, verdicts) in
            [(Role::Receiver, &mut self.receiver_verdicts), (Role::Sender, &mut self.sender_verdicts)]
        {
            if verdicts.is_empty() {
                continue;
            }
            for run in verdicts.flush() {
                let mut disposition = Disposition::new(role, run.first.0);
                disposition.last = (run.last != run.first).then_some(run.last.0);
                disposition.settled = run.settled;
                disposition.state = run.state;
                io.send(self.local_channel, Performative::Disposition(disposition));
            }
        }
    }
}

/// The outcome of one delivery as it is told: a provisional one can be answered later, so that it names the delivery.
fn told(disposition: &Disposition, id: Serial) -> Outcome {
    let mut outcome = Outcome::from_state(disposition.state.clone());
    if let Outcome::Provisional(provisional) = &mut outcome {
        provisional.id = Some(id);
        provisional.is_settled = disposition.settled;
    }
    outcome
}

/// Octets of a message, as credit counts them.
pub(in crate::engine) fn size(payload: &Bytes) -> u32 {
    u32::try_from(payload.len()).unwrap_or(u32::MAX)
}
