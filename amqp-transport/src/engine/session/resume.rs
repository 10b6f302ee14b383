//! What becomes of the deliveries of a link that is attached again (§2.6.13).

use super::Session;
use crate::engine::commands::MAX_STATE;
use crate::engine::event::{DeliveryNumber, Token};
use crate::engine::link::resume::{Fate, Resolution, offset_of, resolve};
use crate::engine::link::sender::Outgoing;
use crate::engine::link::{Kind, Link};
use crate::engine::{Fault, Io, LinkKey};
use crate::error::Outcome;
use amqp_codec::Encode;
use amqp_codec::messaging::{DeliveryState, Received as Point};
use amqp_codec::transport::{ErrorInfo, Transfer, conditions};
use amqp_codec::types::Value;
use bytes::Bytes;
use std::collections::BTreeMap;

impl Session {
    /// Both sides have told what they hold of a link: each delivery goes on as its case says.
    pub(super) fn resolve_unsettled(&mut self, key: LinkKey, link: &mut Link, io: &mut Io) {
        let Some(remote) = &link.remote_attach else { return };
        if matches!(&link.kind, Kind::Sender(sender) if sender.resume.is_none())
            || matches!(&link.kind, Kind::Receiver(receiver) if receiver.resume.is_none())
        {
            return;
        }
        let known: BTreeMap<&Bytes, &Value> = remote
            .unsettled
            .iter()
            .flat_map(|map| map.iter())
            .filter_map(|(tag, state)| match tag {
                Value::Binary(tag) => Some((tag, state)),
                _ => None,
            })
            .collect();
        let theirs = |tag: &Bytes| known.get(tag).copied();
        let is_incomplete = remote.incomplete_unsettled;
        match &mut link.kind {
            Kind::Receiver(receiver) => {
                if let Some(resume) = &mut receiver.resume
                    && !is_incomplete
                {
                    // What the sender does not know of any more is settled.
                    resume.wanted.retain(|(tag, _)| theirs(tag).is_some());
                }
            }
            Kind::Sender(sender) => {
                let first = sender.next_number();
                let Some(resume) = &mut sender.resume else { return };
                resume.is_incomplete = is_incomplete;
                let wanted = std::mem::take(&mut resume.wanted);
                let mut steps = Vec::with_capacity(wanted.len());
                for (delivery, token) in wanted {
                    let entry = delivery.tag.as_ref().and_then(theirs);
                    if entry.is_none() && is_incomplete {
                        resume.fates.push((token, DeliveryNumber(0), Fate::Unknown));
                        let before = u64::try_from(steps.len()).unwrap_or(u64::MAX);
                        let next = DeliveryNumber(first.value().saturating_add(before));
                        resume.unsettled.push((next, delivery));
                        continue;
                    }
                    let resolution = resolve(entry);
                    steps.push((delivery, token, resolution));
                }
                for (delivery, token, resolution) in steps {
                    let (mut payload, tag) = (delivery.payload.clone(), delivery.tag.clone());
                    let (mut state, mut fate) = (None, Fate::Resumed);
                    let resumes = resolution != Resolution::New;
                    match resolution {
                        Resolution::New => fate = Fate::Resent,
                        Resolution::Whole => {}
                        Resolution::From(point) => {
                            let (offset, point) = match offset_of(&payload, &point) {
                                Some(offset) => (offset, point),
                                None => (0, Point { section_number: 0, section_offset: 0 }),
                            };
                            payload = payload.slice(offset..);
                            state = Some(Box::new(DeliveryState::Received(point)));
                        }
                        Resolution::Settle(outcome) => {
                            payload.clear();
                            fate = Fate::Settled(Outcome::from_state(Some(outcome.clone())));
                            // It is the receiver's own: where it is long it need not be repeated.
                            state = Some(Box::new(outcome)).filter(|it| it.encoded_len() <= MAX_STATE);
                        }
                    }
                    let settled = matches!(fate, Fate::Settled(_));
                    let again = Outgoing {
                        payload,
                        message_format: delivery.message_format,
                        settled,
                        // What is decided is told below, and never again.
                        token: if settled { Token::NOBODY } else { token },
                        number: DeliveryNumber(0),
                        is_told_when_sent: false,
                        tag,
                        id: None,
                        state,
                        stream: None,
                        resumes,
                        kept: (!settled).then(|| Box::new(delivery)),
                    };
                    io.waiting_bytes = io.waiting_bytes.saturating_add(again.cost());
                    let number = sender.push(again);
                    if settled && let Some(last) = sender.queue.back_mut() {
                        // Whatever the link's settle mode: the receiver has decided already.
                        (last.settled, last.is_told_when_sent) = (true, false);
                    }
                    if let Fate::Settled(outcome) = &fate {
                        io.outcome(key, token, number, Some(outcome.clone()));
                    }
                    if let Some(resume) = &mut sender.resume {
                        resume.fates.push((token, number, fate));
                    }
                }
                self.make_ready(key, link, io);
            }
        }
    }

    /// The first frame of a delivery on a link that was resumed. True if it goes to the application as any other.
    pub(super) fn on_resumed(
        &mut self,
        key: LinkKey,
        link: &mut Link,
        transfer: &Transfer,
        io: &mut Io,
    ) -> Result<bool, Fault> {
        let Kind::Receiver(receiver) = &mut link.kind else { return Ok(true) };
        let Some(resume) = &mut receiver.resume else { return Ok(true) };
        if resume.skips {
            resume.skips = transfer.more && !transfer.aborted;
            return Ok(false);
        }
        if !transfer.resume {
            if resume.is_incomplete && receiver.partial.is_none() {
                return Err(Fault::Link(
                    key,
                    ErrorInfo::new(
                        conditions::NOT_ALLOWED,
                        "a new delivery came before all unsettled ones were told",
                    ),
                ));
            }
            return Ok(true);
        }
        if receiver.partial.is_some() {
            return Ok(true);
        }
        let place = transfer
            .delivery_tag
            .as_ref()
            .and_then(|tag| resume.wanted.iter().position(|(wanted, _)| wanted == tag));
        let verdict = match place.and_then(|place| resume.wanted.remove(place)) {
            // It is sent once more; an aborted one is thrown away as any other.
            Some((_, None)) => return Ok(true),
            Some((_, Some(verdict))) if !transfer.aborted => {
                Some(transfer.state.clone().filter(DeliveryState::is_outcome).unwrap_or(verdict))
            }
            // Not ours to know of: it is ignored.
            _ => None,
        };
        resume.skips = transfer.more && !transfer.aborted;
        receiver.credit.on_delivery();
        let id = self.enter_delivery(key, transfer)?;
        if self.received.take(id).is_some()
            && let Some(verdict) = verdict
        {
            self.receiver_verdicts.push(id, true, Some(verdict));
            self.touch(io);
        }
        self.delivery_done(key, link, 0, io);
        Ok(false)
    }
}
