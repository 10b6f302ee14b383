//! Links that end with deliveries unsettled and are attached again (§2.6.13): what is kept of them, and what has to become of each
//! delivery.

use super::{App, Checked, Desk, Link};
use crate::draw::{draw_outcome, some};
use crate::ledger::Again;
use amqp_codec::messaging::DeliveryState;
use amqp_codec::transport::{Attach, ReceiverSettleMode, Role, SenderSettleMode};
use amqp_codec::types::Value;
use amqp_transport::Outcome;
use amqp_transport::engine::{Fate, Resumption, Token, UnsettledDelivery};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// A link that has ended and can be resumed, as one of its ends keeps it.
#[derive(Debug)]
pub(crate) struct Suspended {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) modes: (SenderSettleMode, ReceiverSettleMode),
    /// This side attaches it again.
    pub(super) is_own: bool,
    next_tag: u32,
    /// A sender's deliveries.
    deliveries: Vec<UnsettledDelivery>,
    /// A receiver's deliveries, and what was decided.
    verdicts: BTreeMap<Bytes, Option<Outcome>>,
}

/// What a link that can be resumed knows of itself.
#[derive(Debug, Default)]
pub(super) struct Resumable {
    /// A sender's deliveries that are to be resolved.
    wanted: Vec<(Token, UnsettledDelivery)>,
    /// What a receiver that settles second has decided, by tag.
    verdicts: BTreeMap<Bytes, Option<Outcome>>,
    /// Tags of unsettled deliveries that were taken from a receiver.
    pub(super) taken: BTreeSet<Bytes>,
    /// The octets of what a sender was resumed with, in their order.
    order: Vec<Bytes>,
    /// What a sender has not been told of.
    unknown: Vec<UnsettledDelivery>,
    /// It goes on with a link that was suspended.
    is_resumed: bool,
    is_resolved: bool,
    /// Not everything was told: nothing new may be sent.
    pub(super) is_partial: bool,
    /// Deliveries went on here.
    pub(super) has_resumed: bool,
}

fn state_of(outcome: &Outcome) -> Option<DeliveryState> {
    match outcome {
        Outcome::Accepted => Some(DeliveryState::Accepted),
        Outcome::Released => Some(DeliveryState::Released),
        Outcome::Rejected(error) => Some(DeliveryState::Rejected(error.clone().map(Box::new))),
        Outcome::Modified(modified) => Some(DeliveryState::Modified(modified.clone())),
        _ => None,
    }
}

/// What the peer told of a link that is attached again.
struct Told {
    has_map: bool,
    is_incomplete: bool,
    tags: BTreeSet<Bytes>,
}

impl Told {
    fn by(attach: &Attach) -> Self {
        let entries = attach.unsettled.iter().flat_map(|map| map.iter());
        let tags = entries.filter_map(|(tag, _)| match tag {
            Value::Binary(tag) => Some(tag.clone()),
            _ => None,
        });
        Self {
            has_map: attach.unsettled.is_some(),
            is_incomplete: attach.incomplete_unsettled,
            tags: tags.collect(),
        }
    }

    fn names(&self, tag: Option<&Bytes>) -> bool {
        tag.is_some_and(|tag| self.tags.contains(tag))
    }
}

impl App {
    /// What a link is attached with that is new, or goes on with one that was suspended.
    pub(super) fn resumption(
        suspended: Option<&Suspended>,
        story: usize,
        role: Role,
        desk: &mut Desk<'_>,
    ) -> (Resumption, Resumable) {
        let (mut resumption, mut known) = (Resumption::default(), Resumable::default());
        desk.ledger.stories[story].is_resumable = true;
        if let Some(suspended) = suspended {
            (resumption.is_resumed, known.is_resumed) = (true, true);
            resumption.next_tag = suspended.next_tag;
            resumption.verdicts = suspended
                .verdicts
                .iter()
                .map(|(tag, outcome)| (tag.clone(), outcome.as_ref().and_then(state_of)))
                .collect();
            // Those that fit into a frame are others each time.
            for index in (1..resumption.verdicts.len()).rev() {
                resumption.verdicts.swap(index, desk.random.index(index + 1));
            }
            known.order = suspended.deliveries.iter().map(|delivery| delivery.payload.clone()).collect();
            if role == Role::Sender {
                let tags = suspended.deliveries.iter().filter_map(|delivery| delivery.tag.clone());
                desk.ledger.stories[story].sender_holds = tags.collect();
            }
            for delivery in &suspended.deliveries {
                let token = desk.ledger.reserve_token();
                resumption.deliveries.push((delivery.clone(), token));
                known.wanted.push((token, delivery.clone()));
            }
            known.verdicts.clone_from(&suspended.verdicts);
        }
        if role == Role::Receiver {
            let map = suspended.map(|suspended| suspended.verdicts.clone()).unwrap_or_default();
            desk.ledger.stories[story].receiver_holds = map;
        }
        (resumption, known)
    }

    /// A resumed sender is attached: each delivery goes on as what the receiver holds says.
    pub(super) fn resolve(&mut self, index: usize, desk: &mut Desk<'_>) -> Checked {
        let link = &mut self.links[index];
        let Some(known) = link.resumable.as_mut().filter(|known| !known.is_resolved) else { return Ok(()) };
        if link.role != Role::Sender {
            return Self::check_unresolved(link, desk);
        }
        // What the peer said of itself is gone when the link has ended, but not what came of it.
        let peer = desk.engine.remote_attach(link.key).map(Told::by);
        let fates = desk.engine.take_fates(link.key);
        let told = &desk.ledger.stories[link.story];
        // A refusal is an attach too (§2.6.3), but nothing is compared then: all is kept as if it had never been asked for.
        if !told.is_accepted && !fates.is_empty() {
            return Err(format!("{}: {} fates on a link that nobody accepted", told.name, fates.len()));
        }
        if (peer.is_none() && fates.is_empty()) || !told.is_accepted {
            return Ok(());
        }
        if known.is_resumed && peer.as_ref().is_some_and(|peer| !peer.has_map) {
            return Err(format!("{}: the peer was told what is unsettled, and does not answer", told.name));
        }
        let is_incomplete = peer.as_ref().is_none_or(|peer| peer.is_incomplete);
        known.is_resolved = true;
        known.is_partial = is_incomplete;
        known.has_resumed = !known.wanted.is_empty();
        let name = desk.ledger.stories[link.story].name.clone();
        if fates.len() != known.wanted.len() {
            return Err(format!("{name}: {} fates of {} deliveries", fates.len(), known.wanted.len()));
        }
        let mut unknown = Vec::new();
        for (token, delivery) in std::mem::take(&mut known.wanted) {
            let found = fates.iter().find(|(fated, ..)| *fated == token);
            let Some((_, number, fate)) = found else {
                return Err(format!("{name}: a delivery has no fate"));
            };
            let held =
                delivery.tag.as_ref().and_then(|tag| desk.ledger.stories[link.story].receiver_holds.get(tag));
            desk.trace
                .note(Some(self.who), || format!("{name}: {:?} is held as {held:?}: {fate:?}", delivery.tag));
            let Some((payload, decided)) = desk.ledger.sent_before(&delivery.payload) else {
                return Err(format!("{name}: a delivery is resumed that was never sent"));
            };
            if decided.is_some() && !matches!(held, Some(Some(verdict)) if Some(verdict) == decided) {
                return Err(format!("{name}: {decided:?} was decided, and the receiver holds {held:?}"));
            }
            let silent = match (held, fate) {
                (None, Fate::Resent) | (Some(None), Fate::Resumed) => None,
                (Some(Some(verdict)), Fate::Settled(outcome)) if verdict == outcome => Some(verdict.clone()),
                (_, Fate::Unknown)
                    if is_incomplete
                        && !peer.as_ref().is_some_and(|peer| peer.names(delivery.tag.as_ref())) =>
                {
                    unknown.push(delivery);
                    continue;
                }
                (held, fate) => {
                    return Err(format!(
                        "{name}: a delivery that the receiver holds as {held:?} is {fate:?}"
                    ));
                }
            };
            if number.value() != desk.ledger.count(link.story) {
                return Err(format!("{name}: {number:?} is not the number of the resumed delivery"));
            }
            let again = Again { payload, message_format: delivery.message_format, tag: delivery.tag, silent };
            desk.ledger.resumed(link.story, token, again);
        }
        known.unknown = unknown;
        Ok(())
    }

    /// A resumed receiver waits only for what the sender still holds.
    fn check_unresolved(link: &Link, desk: &mut Desk<'_>) -> Checked {
        let told = &desk.ledger.stories[link.story];
        // Of a refusal nothing is compared.
        let is_compared = |attach: &Attach| told.is_accepted && !attach.incomplete_unsettled;
        if !desk.engine.remote_attach(link.key).is_some_and(is_compared) {
            return Ok(());
        }
        match desk.engine.unresolved(link.key).iter().find(|tag| !told.sender_holds.contains(*tag)) {
            Some(tag) => Err(format!("{}: {tag:?} is awaited, and the sender does not hold it", told.name)),
            None => Ok(()),
        }
    }

    /// A link that can be resumed has ended: what is unsettled is kept for the next time.
    pub(super) fn suspend(&mut self, index: usize, is_detached: bool, desk: &mut Desk<'_>) -> Checked {
        self.resolve(index, desk)?;
        let link = &mut self.links[index];
        let Some(known) = link.resumable.take() else { return Ok(()) };
        let name = desk.ledger.stories[link.story].name.clone();
        let Some(unsettled) = desk.engine.take_unsettled(link.key) else {
            return Err(format!("{name}: nothing is kept of a link that can be resumed"));
        };
        let mut suspended = Suspended {
            name: name.clone(),
            role: link.role,
            modes: (
                desk.ledger.stories[link.story].snd_settle_mode,
                desk.ledger.stories[link.story].rcv_settle_mode,
            ),
            is_own: link.is_own,
            next_tag: unsettled.next_tag,
            deliveries: unsettled.deliveries,
            verdicts: BTreeMap::new(),
        };
        let mut never_taken = 0;
        for (tag, state) in unsettled.verdicts {
            let verdict = known.verdicts.get(&tag).cloned().flatten();
            if state != verdict.as_ref().and_then(state_of) {
                return Err(format!("{name}: {verdict:?} was decided on {tag:?}, and {state:?} is kept"));
            }
            never_taken += usize::from(!known.taken.contains(&tag) && !known.verdicts.contains_key(&tag));
            suspended.verdicts.insert(tag, verdict);
        }
        // What nobody took is released with a detach, but for one of which frames are missing.
        if is_detached && never_taken > 1 {
            return Err(format!("{name}: {never_taken} deliveries are kept that were released"));
        }
        for held in self.held.iter().filter(|held| held.link == link.key) {
            match suspended.verdicts.get_mut(&held.tag) {
                Some(verdict @ None) if desk.random.percent(40) => {
                    // The application decides although the link is gone.
                    let outcome = draw_outcome(desk.random);
                    *verdict = state_of(&outcome).map(|_| outcome);
                }
                Some(None) => {}
                other => {
                    return Err(format!("{name}: delivery {} is held, and kept as {other:?}", held.number));
                }
            }
        }
        // It never came to a comparison, or not with all of them.
        for wanted in known.wanted.iter().map(|(_, wanted)| wanted).chain(&known.unknown) {
            if !suspended.deliveries.contains(wanted) {
                return Err(format!("{name}: {:?} is lost before it was resumed", wanted.tag));
            }
        }
        let place = |delivery: &UnsettledDelivery| {
            known.order.iter().position(|payload| *payload == delivery.payload).unwrap_or(usize::MAX)
        };
        if !suspended.deliveries.is_sorted_by_key(place) {
            return Err(format!("{name}: what is kept is out of order"));
        }
        if link.role == Role::Sender {
            let kept: Vec<_> = suspended.deliveries.iter().map(|delivery| &delivery.payload).collect();
            self.to_check_kept.push((link.story, desk.ledger.places_of(link.story, &kept)));
        }
        desk.trace.note(Some(self.who), || {
            format!("{name} is kept with {} sent and {:?}", suspended.deliveries.len(), suspended.verdicts)
        });
        self.suspended.retain(|other| other.name != name || other.role != suspended.role);
        self.suspended.push(suspended);
        Ok(())
    }

    /// What a receiver that settles second has decided is told again if its link is resumed.
    pub(super) fn remember(link: &mut Link, tag: &Bytes, outcome: &Outcome) {
        if let Some(known) = &mut link.resumable
            && state_of(outcome).is_some()
        {
            known.verdicts.insert(tag.clone(), Some(outcome.clone()));
        }
    }

    /// A link of this side's that it may resume: it is detached on both sides.
    pub(super) fn own_suspended(&mut self, desk: &mut Desk<'_>) -> Option<Suspended> {
        let is_free = |name: &str| {
            self.links
                .iter()
                .filter(|link| desk.ledger.stories[link.story].name == name)
                .all(|link| desk.engine.is_link_detached(link.key))
        };
        let may_be = |kept: &Suspended| kept.is_own && is_free(&kept.name);
        let own: Vec<_> = (0..self.suspended.len()).filter(|index| may_be(&self.suspended[*index])).collect();
        let index = some(&own, desk.random).copied()?;
        Some(self.suspended.swap_remove(index))
    }

    /// What this side keeps of a link that the peer attaches again.
    pub(super) fn kept(&mut self, name: &str, role: Role) -> Option<Suspended> {
        let place = self.suspended.iter().position(|kept| kept.name == name && kept.role == role)?;
        Some(self.suspended.swap_remove(place))
    }
}
