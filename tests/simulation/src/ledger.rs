//! The account of every delivery: what was handed over, what arrived, which verdict was given, what the sender was told.

use crate::random::Random;
use crate::trace::Who;
use amqp_codec::transport::{ErrorInfo, ReceiverSettleMode, SenderSettleMode};
use amqp_transport::Outcome;
use amqp_transport::engine::{Incoming, Token};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// One link from attach to its end, seen from both ends.
#[derive(Debug)]
pub(crate) struct Story {
    pub(crate) name: String,
    pub(crate) sender: Who,
    pub(crate) snd_settle_mode: SenderSettleMode,
    pub(crate) rcv_settle_mode: ReceiverSettleMode,
    deliveries: Vec<Delivery>,
    /// Deliveries that the receiver has seen, in order.
    arrived: usize,
    ended: [bool; 2],
    /// Verdicts may be lost: the sender gave the link up, or the connection broke.
    pub(crate) is_lossy: bool,
    /// The receiver gave the link up, so that what it has not taken is released.
    pub(crate) is_given_up: bool,
    /// It can be resumed.
    pub(crate) is_resumable: bool,
    /// The side that was asked for it has accepted it.
    pub(crate) is_accepted: bool,
    /// What the receiver held of it when it was attached, by tag, and what it had decided.
    pub(crate) receiver_holds: BTreeMap<Bytes, Option<Outcome>>,
    /// The tags that the sender held of it when it was attached.
    pub(crate) sender_holds: BTreeSet<Bytes>,
    /// What each end said when it detached.
    pub(crate) parting: [Option<Option<ErrorInfo>>; 2],
}

#[derive(Debug)]
struct Delivery {
    payload: Payload,
    message_format: u32,
    tag: Option<Bytes>,
    settled: bool,
    /// Sent settled by the link's mode: its outcome is only that it has left.
    is_told_when_sent: bool,
    /// It was sent in parts, and taken back before the last of them.
    is_aborted: bool,
    /// It was decided before its link was resumed: it does not come again.
    is_silent: bool,
    taken: bool,
    verdict: Option<Outcome>,
    told: Option<Option<Outcome>>,
}

/// The content of a message: not kept, but made again when it is compared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Payload {
    len: usize,
    seed: u64,
}

impl Payload {
    pub(crate) fn draw(random: &mut Random, largest: u64) -> Self {
        let len =
            if random.percent(30) { random.below(largest + 1) } else { random.below(largest.min(64) + 1) };
        Self { len: usize::try_from(len).unwrap_or(0), seed: random.next() }
    }

    /// Not smaller than this.
    pub(crate) fn at_least(self, len: usize) -> Self {
        Self { len: self.len.max(len), ..self }
    }

    pub(crate) const fn len(self) -> usize {
        self.len
    }

    /// Whether these are its octets.
    pub(crate) fn is(self, octets: &Bytes) -> bool {
        let start = Random::new(self.seed).next().to_be_bytes();
        self.len == octets.len() && octets.starts_with(&start[..octets.len().min(8)])
    }

    pub(crate) fn octets(self) -> Bytes {
        let mut random = Random::new(self.seed);
        let mut octets = Vec::with_capacity(self.len + 8);
        while octets.len() < self.len {
            octets.extend_from_slice(&random.next().to_be_bytes());
        }
        octets.truncate(self.len);
        octets.into()
    }
}

/// A delivery to be entered.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) payload: Payload,
    pub(crate) message_format: u32,
    pub(crate) tag: Option<Bytes>,
    pub(crate) settled: bool,
}

/// A delivery that is entered once more, on a link that is resumed.
#[derive(Debug)]
pub(crate) struct Again {
    pub(crate) payload: Payload,
    pub(crate) message_format: u32,
    pub(crate) tag: Option<Bytes>,
    /// The receiver has decided: it does not come again.
    pub(crate) silent: Option<Outcome>,
}

/// All links and deliveries of a run.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) stories: Vec<Story>,
    tokens: Vec<(usize, usize)>,
    /// Deliveries that arrived whole.
    pub(crate) arrived: u64,
    /// Outcomes that the senders were told.
    pub(crate) told: u64,
}

impl Ledger {
    pub(crate) fn open(
        &mut self,
        name: String,
        sender: Who,
        modes: (SenderSettleMode, ReceiverSettleMode),
    ) -> usize {
        self.stories.push(Story {
            name,
            sender,
            snd_settle_mode: modes.0,
            rcv_settle_mode: modes.1,
            deliveries: Vec::new(),
            arrived: 0,
            ended: [false; 2],
            is_lossy: false,
            is_given_up: false,
            is_resumable: false,
            is_accepted: false,
            receiver_holds: BTreeMap::new(),
            sender_holds: BTreeSet::new(),
            parting: [None, None],
        });
        self.stories.len() - 1
    }

    /// The token of the next delivery that is entered.
    pub(crate) fn next_token(&self) -> Token {
        Token(self.tokens.len())
    }

    /// How many deliveries were handed over on a link.
    pub(crate) fn count(&self, story: usize) -> u64 {
        u64::try_from(self.stories[story].deliveries.len()).unwrap_or(u64::MAX)
    }

    /// A delivery was handed over.
    pub(crate) fn sent(&mut self, story: usize, entry: Entry) {
        let told = &mut self.stories[story];
        let (settled, is_told_when_sent) = match told.snd_settle_mode {
            SenderSettleMode::Settled => (true, !entry.settled),
            SenderSettleMode::Unsettled => (false, false),
            SenderSettleMode::Mixed => (entry.settled, false),
        };
        told.deliveries.push(Delivery {
            payload: entry.payload,
            message_format: entry.message_format,
            tag: entry.tag,
            settled,
            is_told_when_sent,
            is_aborted: false,
            is_silent: false,
            taken: false,
            verdict: None,
            told: None,
        });
        self.tokens.push((story, told.deliveries.len() - 1));
    }

    /// A token for a delivery of a link that is resumed; what it stands for shows when the link is attached.
    pub(crate) fn reserve_token(&mut self) -> Token {
        self.tokens.push((usize::MAX, 0));
        Token(self.tokens.len() - 1)
    }

    /// A delivery goes on, on a link that was resumed.
    pub(crate) fn resumed(&mut self, story: usize, token: Token, again: Again) {
        let told = &mut self.stories[story];
        told.deliveries.push(Delivery {
            payload: again.payload,
            message_format: again.message_format,
            tag: again.tag,
            settled: false,
            is_told_when_sent: false,
            is_aborted: false,
            is_silent: again.silent.is_some(),
            taken: false,
            verdict: again.silent,
            told: None,
        });
        self.tokens[token.0] = (story, told.deliveries.len() - 1);
    }

    /// What was sent last with these octets, on a link that can be resumed, and the verdict that the receiver has to keep: it
    /// settles second, and the sender was not told.
    pub(crate) fn sent_before(&self, octets: &Bytes) -> Option<(Payload, Option<&Outcome>)> {
        let stories = self.stories.iter().rev().filter(|story| story.is_resumable);
        let (story, delivery) = stories
            .flat_map(|story| story.deliveries.iter().map(move |delivery| (story, delivery)))
            .find(|(_, delivery)| delivery.payload.is(octets))?;
        let is_kept = story.rcv_settle_mode == ReceiverSettleMode::Second && delivery.told == Some(None);
        let verdict =
            delivery.verdict.as_ref().filter(|verdict| is_kept && **verdict != Outcome::Unspecified);
        Some((delivery.payload, verdict))
    }

    /// The numbers of the deliveries of a link that have these octets, in the order of these.
    pub(crate) fn places_of(&self, story: usize, payloads: &[&Bytes]) -> Vec<usize> {
        let deliveries = &self.stories[story].deliveries;
        let place = |octets: &&Bytes| deliveries.iter().position(|delivery| delivery.payload.is(octets));
        payloads.iter().filter_map(place).collect()
    }

    /// A link that can be resumed has ended: exactly the deliveries without an outcome were kept, in their order.
    pub(crate) fn check_kept(&self, story: usize, kept: &[usize]) -> Result<(), String> {
        let told = &self.stories[story];
        if !kept.is_sorted() {
            return Err(format!("{}: the deliveries {kept:?} are kept out of order", told.name));
        }
        for (number, delivery) in told.deliveries.iter().enumerate() {
            let is_open = !delivery.settled && delivery.told == Some(None);
            if is_open != kept.contains(&number) {
                return Err(format!(
                    "{}: delivery {number} was told as {:?}, and whether it is kept is {}",
                    told.name,
                    delivery.told,
                    kept.contains(&number)
                ));
            }
        }
        Ok(())
    }

    /// A delivery that is sent in parts is taken back.
    pub(crate) fn aborted(&mut self, story: usize, number: usize) {
        self.stories[story].deliveries[number].is_aborted = true;
    }

    /// Whether a delivery was taken back halfway.
    pub(crate) fn is_aborted(&self, story: usize, number: usize) -> bool {
        self.stories[story].deliveries[number].is_aborted
    }

    /// Whether a delivery is decided, or may have been sent back undecided.
    pub(crate) fn may_be_settled(&self, story: usize, number: usize) -> bool {
        let told = &self.stories[story];
        told.is_given_up || told.deliveries[number].verdict.is_some()
    }

    /// What a delivery is to have, whole.
    pub(crate) fn octets(&self, story: usize, number: usize) -> Bytes {
        self.stories[story].deliveries[number].payload.octets()
    }

    /// A delivery that is read in parts has been read to its end.
    pub(crate) const fn read(&mut self) {
        self.arrived += 1;
    }

    /// The receiver took a delivery: it must be the next one that was sent, unchanged. Gives its number on the link. Of one
    /// that is read in parts nothing is there yet.
    pub(crate) fn arrived(
        &mut self,
        story: usize,
        incoming: &Incoming,
        in_parts: bool,
    ) -> Result<usize, String> {
        let told = &mut self.stories[story];
        let has_ended = told.ended[told.sender.other().index()];
        // What was taken back may have been seen by one who reads in parts, and by nobody else. What came unsettled on a link
        // that has ended is the sender's again.
        let is_skipped = |delivery: &Delivery| {
            let is_seen = in_parts && delivery.tag.as_ref() == Some(&incoming.tag);
            delivery.is_silent || (delivery.is_aborted && !is_seen) || (has_ended && !delivery.settled)
        };
        while told.deliveries.get(told.arrived).is_some_and(is_skipped) {
            told.arrived += 1;
        }
        let number = told.arrived;
        let name = &told.name;
        let delivery = told
            .deliveries
            .get_mut(number)
            .ok_or_else(|| format!("{name}: a delivery arrives that was never sent (number {number})"))?;
        let expected = if in_parts { Bytes::new() } else { delivery.payload.octets() };
        if incoming.payload != expected {
            return Err(format!(
                "{name}: delivery {number} of {} octets arrives changed, lost or out of order ({} octets)",
                delivery.payload.len(),
                incoming.payload.len()
            ));
        }
        if incoming.settled != delivery.settled || incoming.message_format != delivery.message_format {
            return Err(format!("{name}: settled or message-format of delivery {number} changed on the way"));
        }
        if delivery.tag.as_ref().is_some_and(|tag| *tag != incoming.tag) {
            return Err(format!("{name}: the tag of delivery {number} changed on the way"));
        }
        delivery.taken = true;
        told.arrived += 1;
        self.arrived += u64::from(!in_parts);
        Ok(number)
    }

    /// The receiver's verdict was taken by its engine.
    pub(crate) fn verdict(&mut self, story: usize, number: usize, outcome: Outcome) -> Result<(), String> {
        let told = &mut self.stories[story];
        let delivery = &mut told.deliveries[number];
        if delivery.settled || delivery.verdict.is_some() {
            return Err(format!("{}: delivery {number} could be settled twice", told.name));
        }
        delivery.verdict = Some(outcome);
        Ok(())
    }

    /// The sender is told an outcome. Gives the delivery's link and number.
    pub(crate) fn told(
        &mut self,
        token: Token,
        outcome: Option<Outcome>,
        is_link_over: bool,
    ) -> Result<(usize, usize), String> {
        let (story, number) =
            *self.tokens.get(token.0).ok_or_else(|| format!("an outcome for the unknown {token:?}"))?;
        self.told += 1;
        if story == usize::MAX {
            return Err(format!("{outcome:?} is told of a delivery that was not resumed"));
        }
        let Story { name, deliveries, is_lossy, is_given_up, .. } = &mut self.stories[story];
        let delivery = &mut deliveries[number];
        if let Some(before) = &delivery.told {
            return Err(format!("{name}: the outcome of {number} is told twice: {before:?}, {outcome:?}"));
        }
        if delivery.settled && !delivery.is_told_when_sent && outcome.is_some() {
            return Err(format!("{name}: an outcome is told of {number}, which was sent settled"));
        }
        match (&outcome, &delivery.verdict) {
            (None, _) if delivery.is_aborted => {}
            (None, _) if !is_link_over => {
                return Err(format!("{name}: no outcome of {number}, although the link lives"));
            }
            (None, Some(verdict)) if !*is_lossy => {
                return Err(format!("{name}: the verdict {verdict:?} on {number} did not reach the sender"));
            }
            (None, _) => {}
            (Some(Outcome::Unspecified), _) if delivery.is_told_when_sent => {}
            (Some(told), Some(verdict)) if told == verdict => {}
            (Some(Outcome::Released), None) if *is_given_up && !delivery.taken => {}
            (Some(told), verdict) => {
                return Err(format!(
                    "{name}: the sender is told {told:?} of {number}, the verdict was {verdict:?}"
                ));
            }
        }
        delivery.told = Some(outcome);
        Ok((story, number))
    }

    /// Verdicts on all links that live may be lost.
    pub(crate) fn lose_everything(&mut self) {
        for story in &mut self.stories {
            story.is_lossy = true;
        }
    }

    /// The link is over at this end; false if it was before.
    pub(crate) fn ended(&mut self, story: usize, who: Who) -> bool {
        !std::mem::replace(&mut self.stories[story].ended[who.index()], true)
    }

    /// The link is over at its sender: every waiter was told.
    pub(crate) fn check_told(&self, story: usize) -> Result<(), String> {
        let told = &self.stories[story];
        for (number, delivery) in told.deliveries.iter().enumerate() {
            if (!delivery.settled || delivery.is_told_when_sent) && delivery.told.is_none() {
                return Err(format!(
                    "{}: the link is over, and nothing is told of delivery {number}",
                    told.name
                ));
            }
        }
        Ok(())
    }

    /// Everything has come to rest and the link lives: all that was sent has arrived and is decided.
    pub(crate) fn check_complete(&self, story: usize) -> Result<(), String> {
        let told = &self.stories[story];
        for (number, delivery) in told.deliveries.iter().enumerate() {
            if !delivery.taken && !delivery.is_aborted && !delivery.is_silent {
                return Err(format!("{}: delivery {number} never arrived", told.name));
            }
            if (!delivery.settled || delivery.is_told_when_sent) && delivery.told.is_none() {
                return Err(format!(
                    "{}: the sender was not told of delivery {number}, the verdict was {:?}",
                    told.name, delivery.verdict
                ));
            }
        }
        Ok(())
    }

    /// What the client sent and was told to be accepted: link and number.
    pub(crate) fn accepted_from_client(&self) -> impl Iterator<Item = (usize, usize)> {
        let stories = self.stories.iter().enumerate().filter(|(_, told)| told.sender == Who::Client);
        stories.flat_map(|(story, told)| {
            let deliveries = told.deliveries.iter().enumerate();
            deliveries
                .filter(|(_, delivery)| delivery.told == Some(Some(Outcome::Accepted)))
                .map(move |(number, _)| (story, number))
        })
    }

    /// Deliveries sent on a link and not yet taken.
    pub(crate) fn under_way(&self, story: usize) -> usize {
        let told = &self.stories[story];
        told.deliveries
            .iter()
            .skip(told.arrived)
            .filter(|delivery| !delivery.is_aborted && !delivery.is_silent)
            .count()
    }
}
