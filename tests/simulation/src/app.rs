//! A modelled application on one engine: it asks for sessions and links, sends, receives, decides, gives up, and remembers what
//! it was told. Whatever the engine tells it without reason, or fails to tell, is a fault.

mod links;
mod parts;
mod resume;

use crate::draw::{draw_outcome, reason, some, whole};
use crate::honesty::{check_link_end, check_session_end};
use crate::ledger::{Entry, Ledger, Payload};
use crate::monitor::Monitor;
use crate::plan::Plan;
use crate::queue::Store;
use crate::random::Random;
use crate::trace::{Trace, Who};
use amqp_codec::transport::Role;
use amqp_codec::types::Value;
use amqp_transport::engine::{
    AbortPolicy, Credit, Engine, Event, Incoming, LinkKey, LinkStatus, OutgoingDelivery, Serial, SessionKey,
};
use amqp_transport::{LinkError, Outcome, SendError, SettleError};
use bytes::Bytes;
use parts::{Reading, Writing};
use resume::Resumable;
pub(crate) use resume::Suspended;
use std::time::Instant;

/// What an application works with.
pub(crate) struct Desk<'a> {
    pub(crate) engine: &'a mut Engine,
    pub(crate) monitor: &'a mut Monitor,
    pub(crate) ledger: &'a mut Ledger,
    pub(crate) random: &'a mut Random,
    pub(crate) trace: &'a mut Trace,
    pub(crate) plan: &'a Plan,
    pub(crate) now: Instant,
}

type Checked = Result<(), String>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The peer asks for it.
    Requested,
    /// The peer was asked.
    Pending,
    Attached,
    Ended,
}

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) key: LinkKey,
    session: SessionKey,
    pub(crate) story: usize,
    pub(crate) role: Role,
    state: State,
    /// This side asked for it.
    is_own: bool,
    credit: Credit,
    /// It hands deliveries over with their first frame.
    streams: bool,
    abort_policy: AbortPolicy,
    /// There if it can be resumed.
    resumable: Option<Resumable>,
    /// It has given all its credit up for a while.
    is_paused: bool,
    /// There was no credit when it was last looked for, and no event since.
    is_blocked: bool,
    /// There was nothing to take when it was last looked for, and no event since.
    is_empty: bool,
}

impl Link {
    pub(crate) fn is_attached(&self) -> bool {
        self.state == State::Attached
    }

    /// Nothing new may be sent on it.
    pub(crate) fn is_partial(&self) -> bool {
        self.resumable.as_ref().is_some_and(|known| known.is_partial)
    }

    /// Deliveries went on when it was resumed.
    pub(crate) fn has_resumed(&self) -> bool {
        self.resumable.as_ref().is_some_and(|known| known.has_resumed)
    }
}

/// A delivery taken and not decided.
#[derive(Debug)]
struct Held {
    link: LinkKey,
    story: usize,
    number: usize,
    id: Serial,
    tag: Bytes,
}

/// The application of one end.
#[derive(Debug)]
pub(crate) struct App {
    who: Who,
    sessions: Vec<SessionKey>,
    pub(crate) links: Vec<Link>,
    held: Vec<Held>,
    /// Messages that are sent in parts.
    writings: Vec<Writing>,
    /// Deliveries that are read in parts.
    readings: Vec<Reading>,
    /// Links that have ended and can be resumed.
    pub(crate) suspended: Vec<Suspended>,
    /// Links whose sender is here, that have just ended, and the deliveries that were kept of them.
    to_check_kept: Vec<(usize, Vec<usize>)>,
    /// Names of links that are detached on both sides.
    free_names: Vec<(String, Role)>,
    /// Links whose sender is here and that have just ended.
    to_check: Vec<usize>,
    /// Where a queue keeps its messages.
    pub(crate) store: Option<Store>,
    /// This side has closed the connection.
    pub(crate) has_closed: bool,
}

impl App {
    pub(crate) fn new(who: Who, store: Option<Store>) -> Self {
        Self {
            who,
            sessions: Vec::new(),
            links: Vec::new(),
            held: Vec::new(),
            writings: Vec::new(),
            readings: Vec::new(),
            suspended: Vec::new(),
            to_check_kept: Vec::new(),
            free_names: Vec::new(),
            to_check: Vec::new(),
            store,
            has_closed: false,
        }
    }

    // ---- events -------------------------------------------------------------------------------------------

    /// Takes all events.
    pub(crate) fn hear(&mut self, desk: &mut Desk<'_>) -> Checked {
        let mut events = 0;
        while let Some(event) = desk.engine.poll_event() {
            events += 1;
            if events > 100_000 {
                return Err("events without end".into());
            }
            self.on_event(event, desk)?;
        }
        for story in std::mem::take(&mut self.to_check) {
            desk.ledger.check_told(story)?;
        }
        for (story, kept) in std::mem::take(&mut self.to_check_kept) {
            desk.ledger.check_kept(story, &kept)?;
        }
        Ok(())
    }

    /// Output was taken: whoever waits for something that is there was told.
    pub(crate) fn check_told(&mut self, desk: &mut Desk<'_>) -> Checked {
        for link in self.links.iter().filter(|link| link.state == State::Attached) {
            let name = &desk.ledger.stories[link.story].name;
            if link.is_blocked && desk.engine.credit(link.key).is_ok_and(|credit| credit > 0) {
                return Err(format!("{name}: credit came without an event"));
            }
            if link.is_partial() && desk.engine.credit(link.key).is_ok_and(|credit| credit > 0) {
                return Err(format!("{name}: new deliveries may be sent, and not all old ones were told"));
            }
            if link.is_empty && desk.engine.queued(link.key) > 0 {
                return Err(format!("{name}: a delivery came without an event"));
            }
        }
        self.check_parts_told(desk)
    }

    fn on_event(&mut self, event: Event, desk: &mut Desk<'_>) -> Checked {
        match event {
            Event::Session(key) => match desk.engine.check_session(key) {
                Ok(_) if !self.sessions.contains(&key) => self.sessions.push(key),
                Ok(_) => {}
                Err(error) => {
                    check_session_end(&error)?;
                    desk.trace.note(Some(self.who), || format!("{key:?} ended: {error}"));
                    self.sessions.retain(|session| *session != key);
                    desk.engine.forget_session(key);
                }
            },
            Event::LinkRequested(key) => self.on_request(key, desk)?,
            Event::Link(key) => {
                if let Some(index) = self.links.iter().position(|link| link.key == key) {
                    self.look_at(index, desk)?;
                }
            }
            Event::Outcome { link, token, outcome, .. } => {
                let is_over = matches!(desk.engine.link_status(link), LinkStatus::Ended(_));
                let (story, number) = desk.ledger.told(token, outcome.clone(), is_over)?;
                desk.trace.note(Some(self.who), || {
                    format!("told of {} number {number}: {outcome:?}", desk.ledger.stories[story].name)
                });
                if let Some(store) = &mut self.store {
                    store.on_outcome(token, outcome.as_ref());
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn on_request(&mut self, key: LinkKey, desk: &mut Desk<'_>) -> Checked {
        let Some(attach) = desk.engine.remote_attach(key) else {
            // It was given up before anybody heard of it.
            desk.engine.forget_link(key);
            return Ok(());
        };
        let story = attach.properties.as_ref().and_then(|properties| properties.get("story"));
        let Some(Value::Ulong(story)) = story else { return Err("a link property was lost".into()) };
        let story = usize::try_from(*story).unwrap_or(usize::MAX);
        let role = if attach.role == Role::Sender { Role::Receiver } else { Role::Sender };
        let told = desk.ledger.stories.get(story).ok_or("a link property changed on the way")?;
        let modes = (attach.snd_settle_mode, attach.rcv_settle_mode);
        if attach.name != told.name || modes != (told.snd_settle_mode, told.rcv_settle_mode) {
            return Err(format!("{}: the attach changed on the way", told.name));
        }
        let session = desk.engine.session_of(key).ok_or("a requested link without a session")?;
        self.links.push(Link {
            key,
            session,
            story,
            role,
            state: State::Requested,
            is_own: false,
            credit: Credit::Manual,
            streams: false,
            abort_policy: AbortPolicy::Abort,
            resumable: None,
            is_paused: false,
            is_blocked: false,
            is_empty: false,
        });
        self.yield_to(key, desk)?;
        // It may have been given up meanwhile.
        self.look_at(self.links.len() - 1, desk)
    }

    /// Something about a link may have changed.
    fn look_at(&mut self, index: usize, desk: &mut Desk<'_>) -> Checked {
        let link = &mut self.links[index];
        link.is_blocked = false;
        link.is_empty = false;
        let key = link.key;
        self.writings.iter_mut().filter(|writing| writing.link == key).for_each(Writing::wake);
        self.readings.iter_mut().filter(|reading| reading.link == key).for_each(Reading::wake);
        let link = &mut self.links[index];
        match desk.engine.link_status(link.key) {
            LinkStatus::Attached if link.state == State::Pending => {
                link.state = State::Attached;
                self.resolve(index, desk)?;
            }
            LinkStatus::Ended(error) if link.state != State::Ended => {
                link.state = State::Ended;
                self.on_end(index, &error, desk)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn on_end(&mut self, index: usize, error: &LinkError, desk: &mut Desk<'_>) -> Checked {
        let Link { key, story, role, .. } = self.links[index];
        let told = &mut desk.ledger.stories[story];
        desk.trace.note(Some(self.who), || format!("{} ended: {error}", told.name));
        check_link_end(error)?;
        let given = told.parting[self.who.other().index()].clone();
        if let (LinkError::DetachedByPeer(said) | LinkError::Refused(said), Some(given)) = (error, given)
            && *said != given
        {
            return Err(format!("{}: detached with {given:?}, heard {said:?}", told.name));
        }
        if role == Role::Sender {
            self.to_check.push(story);
        }
        desk.ledger.ended(story, self.who);
        for held in self.held.iter().filter(|held| held.link == key) {
            if desk.engine.settle(key, held.id, Outcome::Accepted).is_ok() {
                return Err("a delivery could be settled after its link ended".into());
            }
        }
        let is_detached = !matches!(error, LinkError::Session(_));
        self.suspend(index, is_detached, desk)?;
        self.held.retain(|held| held.link != key);
        // What came settled stays to be taken.
        if role == Role::Sender {
            self.writings.retain(|writing| writing.link != key);
            return Ok(());
        }
        self.read_out(key, desk)?;
        let streams = self.links[index].streams;
        loop {
            match desk.engine.take(key) {
                Ok(Some(delivery)) if delivery.settled => {
                    let number = desk.ledger.arrived(story, &delivery, streams)?;
                    if streams {
                        self.readings.push(Reading::new(key, story, number, &delivery, desk));
                        self.read_out(key, desk)?;
                    }
                }
                Ok(Some(_)) => return Err("an unsettled delivery is left after its link ended".into()),
                Ok(None) => return Err("a link that has ended gives no error".into()),
                Err(_) => break,
            }
        }
        Ok(())
    }

    // ---- deeds --------------------------------------------------------------------------------------------

    /// Does something, by chance.
    pub(crate) fn act(&mut self, desk: &mut Desk<'_>) -> Checked {
        if desk.random.per_mille(desk.plan.closes) {
            return self.close(desk);
        }
        if self.sessions.is_empty() {
            return self.begin(desk);
        }
        if !self.links.iter().any(|link| link.is_own) && desk.random.percent(50) {
            return self.attach(desk);
        }
        if desk.random.percent(desk.plan.churn) {
            return match desk.random.below(10) {
                0..2 => self.begin(desk),
                2 if desk.random.percent(30) => self.end(desk),
                3..7 => self.attach(desk),
                7 => self.detach(desk),
                _ => self.forget(desk),
            };
        }
        match desk.random.below(16) {
            0 => self.answer(desk),
            1..6 if desk.random.percent(desk.plan.streams) => self.write(desk),
            1..6 => self.send(desk),
            6..8 if !self.readings.is_empty() => self.read(desk),
            6..9 => self.take(desk, 8),
            9..12 => self.settle(desk),
            12 => self.change_credit(desk),
            13 if desk.random.percent(30) => self.drain(desk),
            14 => self.drained(desk),
            _ if self.store.is_some() => self.serve(desk),
            _ => self.send(desk),
        }
    }

    /// Everything that brings the run to rest: answers, takes, decides, grants, forgets. True if there was anything to do.
    pub(crate) fn rest(&mut self, desk: &mut Desk<'_>) -> Result<bool, String> {
        let mut has_acted = false;
        while self.links.iter().any(|link| link.state == State::Requested) {
            self.answer(desk)?;
            has_acted = true;
        }
        let unforgotten = self.links.len();
        self.forget(desk)?;
        has_acted |= self.links.len() != unforgotten;
        for index in 0..self.links.len() {
            if self.links[index].role == Role::Receiver && self.links[index].is_attached() {
                has_acted |= self.take_from(index, u32::MAX, desk)? > 0;
            }
        }
        has_acted |= self.write_out(desk)?;
        // What grew too large may have cost its link.
        self.hear(desk)?;
        has_acted |= self.read_all(desk)?;
        has_acted |= !self.held.is_empty();
        while !self.held.is_empty() {
            self.settle(desk)?;
        }
        for index in 0..self.links.len() {
            has_acted |= self.reopen(index, desk)?;
        }
        if self.store.is_some() {
            self.serve(desk)?;
        }
        Ok(has_acted)
    }

    /// Lets everything come that was handed over, and gives back what was asked back.
    fn reopen(&mut self, index: usize, desk: &mut Desk<'_>) -> Result<bool, String> {
        let link = &mut self.links[index];
        if link.state != State::Attached {
            return Ok(false);
        }
        if link.role == Role::Sender {
            desk.engine.drained(link.key);
            return Ok(false);
        }
        let is_drained = !desk.engine.is_drain_pending(link.key).map_err(|error| error.to_string())?;
        if is_drained && std::mem::take(&mut link.is_paused) {
            desk.engine.resume(link.key).map_err(|error| error.to_string())?;
            return Ok(true);
        }
        let wanted = u32::try_from(desk.ledger.under_way(link.story)).unwrap_or(u32::MAX);
        if link.credit == Credit::Manual && is_drained && wanted > 0 {
            desk.engine.set_credit(link.key, wanted).map_err(|error| error.to_string())?;
            return Ok(true);
        }
        Ok(false)
    }

    fn some_link(&self, random: &mut Random, which: impl Fn(&Link) -> bool) -> Option<usize> {
        let fitting: Vec<_> = (0..self.links.len()).filter(|index| which(&self.links[*index])).collect();
        some(&fitting, random).copied()
    }

    fn send(&mut self, desk: &mut Desk<'_>) -> Checked {
        if self.store.is_some() {
            return self.serve(desk);
        }
        let may_send = |link: &Link| link.role == Role::Sender && link.is_attached() && !link.is_partial();
        let Some(index) = self.some_link(desk.random, may_send) else {
            return Ok(());
        };
        for _ in 0..desk.random.between_u32(1, desk.plan.burst) {
            let mut payload = Payload::draw(desk.random, desk.plan.message);
            if self.links[index].resumable.is_some() {
                payload = payload.at_least(12);
            }
            let settled = desk.random.percent(20);
            if !self.send_on(index, payload, settled, desk)? {
                break;
            }
        }
        Ok(())
    }

    /// Whether the link may send now.
    fn has_credit(&mut self, index: usize, desk: &mut Desk<'_>) -> Result<bool, String> {
        let link = &mut self.links[index];
        match desk.engine.credit(link.key) {
            Ok(0) => {
                link.is_blocked = true;
                Ok(false)
            }
            Ok(_) => Ok(true),
            Err(error) => {
                let name = &desk.ledger.stories[link.story].name;
                Err(format!("{name}: no credit although it is attached: {error}"))
            }
        }
    }

    /// Sends one delivery. False if it may not be sent now.
    pub(crate) fn send_on(
        &mut self,
        index: usize,
        payload: Payload,
        settled: bool,
        desk: &mut Desk<'_>,
    ) -> Result<bool, String> {
        if !self.has_credit(index, desk)? {
            return Ok(false);
        }
        let link = &self.links[index];
        let name = &desk.ledger.stories[link.story].name;
        let mut delivery = OutgoingDelivery::new(payload.octets(), desk.ledger.next_token());
        delivery.settled = settled;
        delivery.message_format = if desk.random.percent(5) { 7 } else { 0 };
        if desk.random.percent(desk.plan.tags) {
            // The longest that there are soon make a list that does not fit into a frame.
            let token = delivery.token.0;
            let tag =
                if desk.random.percent(50) { format!("tag {token}") } else { format!("tag {token:>28}") };
            delivery.tag = Some(Bytes::from(tag));
        }
        let entry =
            Entry { payload, message_format: delivery.message_format, tag: delivery.tag.clone(), settled };
        match desk.engine.send(link.key, delivery) {
            Ok(number) => {
                desk.trace.note(Some(self.who), || {
                    format!("sends {name} number {} of {} octets", number.value(), payload.len())
                });
                if number.value() != desk.ledger.count(link.story) {
                    return Err(format!("{name}: {number:?} is not the number of the delivery"));
                }
                desk.ledger.sent(link.story, entry);
                Ok(true)
            }
            Err(SendError::TooLarge { size, limit }) => {
                let limits = &desk.plan.limits[self.who.other().index()];
                if limit != limits.max_message_size || size <= limit {
                    return Err(format!("{name}: {size} octets are too many for {limit}"));
                }
                Ok(false)
            }
            Err(error) => Err(format!("{name}: not sent although there is credit: {error}")),
        }
    }

    fn take(&mut self, desk: &mut Desk<'_>, most: u32) -> Checked {
        let receiver = self.some_link(desk.random, |link| link.role == Role::Receiver && link.is_attached());
        match receiver {
            Some(index) => self.take_from(index, most, desk).map(|_| ()),
            None => Ok(()),
        }
    }

    fn take_from(&mut self, index: usize, most: u32, desk: &mut Desk<'_>) -> Result<u32, String> {
        let mut taken = 0;
        while taken < most {
            let link = &mut self.links[index];
            let name = &desk.ledger.stories[link.story].name;
            match desk.engine.take(link.key) {
                Ok(Some(delivery)) => {
                    taken += 1;
                    self.on_delivery(index, delivery, desk)?;
                }
                Ok(None) => {
                    link.is_empty = true;
                    break;
                }
                Err(error) => {
                    return Err(format!("{name}: nothing to take although it is attached: {error}"));
                }
            }
        }
        Ok(taken)
    }

    fn on_delivery(&mut self, index: usize, delivery: Incoming, desk: &mut Desk<'_>) -> Checked {
        let link = &mut self.links[index];
        let (key, story) = (link.key, link.story);
        let number = desk.ledger.arrived(story, &delivery, link.streams)?;
        let name = &desk.ledger.stories[story].name;
        desk.trace.note(Some(self.who), || format!("takes {name} number {number}"));
        if link.streams {
            self.readings.push(Reading::new(key, story, number, &delivery, desk));
        } else if delivery.settled {
            desk.monitor.taken_settled(desk.engine.channel(link.session), delivery.id);
        }
        if !delivery.settled {
            if !desk.engine.is_unsettled(key, delivery.id) {
                return Err(format!("{name}: delivery {number} is settled before its verdict"));
            }
            let tag = delivery.tag.clone();
            if let Some(known) = &mut link.resumable {
                known.taken.insert(tag.clone());
            }
            self.held.push(Held { link: key, story, number, id: delivery.id, tag });
        }
        if let Some(store) = &mut self.store {
            store.on_delivery((story, number), delivery.settled);
        }
        Ok(())
    }

    /// Decides on some of the deliveries, often in order, sometimes not, sometimes twice.
    fn settle(&mut self, desk: &mut Desk<'_>) -> Checked {
        let is_ordered = desk.random.percent(60);
        for _ in 0..desk.random.between_u32(1, 12) {
            if self.held.is_empty() {
                break;
            }
            let index = if is_ordered { 0 } else { desk.random.index(self.held.len()) };
            let held = self.held.remove(index);
            let outcome = match &mut self.store {
                Some(store) => store.decide((held.story, held.number), desk.random),
                None => draw_outcome(desk.random),
            };
            let name = desk.ledger.stories[held.story].name.clone();
            desk.trace
                .note(Some(self.who), || format!("decides on {name} number {}: {outcome}", held.number));
            match desk.engine.settle(held.link, held.id, outcome.clone()) {
                Ok(()) => {}
                // Its sender took it back halfway.
                Err(SettleError::Revoked) if desk.ledger.is_aborted(held.story, held.number) => continue,
                Err(error) => {
                    return Err(format!("{name}: delivery {} cannot be settled: {error}", held.number));
                }
            }
            if let Some(link) = self.links.iter_mut().find(|link| link.key == held.link) {
                Self::remember(link, &held.tag, &outcome);
            }
            desk.ledger.verdict(held.story, held.number, outcome)?;
            if desk.random.percent(5)
                && desk.engine.settle(held.link, held.id, Outcome::Released) != Err(SettleError::Revoked)
            {
                return Err(format!("{name}: delivery {} could be settled twice", held.number));
            }
        }
        Ok(())
    }

    fn change_credit(&mut self, desk: &mut Desk<'_>) -> Checked {
        let receiver = self.some_link(desk.random, |link| link.role == Role::Receiver && link.is_attached());
        let Some(index) = receiver else { return Ok(()) };
        let link = &mut self.links[index];
        let name = &desk.ledger.stories[link.story].name;
        let changed = match (link.credit, desk.random.below(3)) {
            (Credit::Manual, 0..2) => {
                let credit = desk.random.pick(&[0, 1, 2, 10, 500]);
                desk.trace.note(Some(self.who), || format!("grants {name} {credit}"));
                desk.engine.set_credit(link.key, credit)
            }
            _ if link.is_paused => {
                link.is_paused = false;
                desk.trace.note(Some(self.who), || format!("resumes {name}"));
                desk.engine.resume(link.key)
            }
            _ => {
                link.is_paused = true;
                desk.trace.note(Some(self.who), || format!("pauses {name}"));
                desk.engine.pause(link.key)
            }
        };
        changed.map_err(|error| format!("{name}: credit cannot be changed: {error}"))
    }

    fn drain(&mut self, desk: &mut Desk<'_>) -> Checked {
        let receiver = self.some_link(desk.random, |link| link.role == Role::Receiver && link.is_attached());
        let Some(index) = receiver else { return Ok(()) };
        let link = &mut self.links[index];
        link.is_paused = true;
        let name = &desk.ledger.stories[link.story].name;
        desk.trace.note(Some(self.who), || format!("drains {name}"));
        desk.engine.drain(link.key).map_err(|error| format!("{name}: it cannot be drained: {error}"))
    }

    fn drained(&mut self, desk: &mut Desk<'_>) -> Checked {
        if let Some(index) =
            self.some_link(desk.random, |link| link.role == Role::Sender && link.is_attached())
        {
            desk.engine.drained(self.links[index].key);
        }
        Ok(())
    }

    /// Closes the connection.
    pub(crate) fn close(&mut self, desk: &mut Desk<'_>) -> Checked {
        let error = reason(desk.random);
        desk.trace.note(Some(self.who), || format!("closes: {error:?}"));
        self.has_closed = true;
        self.give_up(desk, |_| true);
        desk.engine.close(error, desk.now);
        Ok(())
    }

    // ---- at rest ------------------------------------------------------------------------------------------

    /// Everything has come to rest, and the connection lives: nothing is missing.
    pub(crate) fn check_rest(&mut self, desk: &mut Desk<'_>) -> Checked {
        if let Some(reading) = self.readings.first() {
            return Err(format!("{}: a delivery never ends", desk.ledger.stories[reading.story].name));
        }
        for link in &self.links {
            let told = &desk.ledger.stories[link.story];
            let name = &told.name;
            match (desk.engine.link_status(link.key), link.state) {
                (LinkStatus::Attached, State::Attached) => {}
                (status, state) => return Err(format!("{name}: {status:?} at rest, heard of {state:?}")),
            }
            if told.sender == self.who {
                desk.ledger.check_complete(link.story)?;
            } else if desk.engine.is_drain_pending(link.key) != Ok(false) {
                return Err(format!("{name}: a drain does not end"));
            }
        }
        Ok(())
    }

    /// Whether this side's receiver on a link keeps credit coming by itself.
    pub(crate) fn keeps_credit(&self, story: usize) -> bool {
        self.links.iter().any(|link| {
            link.story == story && whole(link.credit).is_some() && !link.is_paused && link.is_attached()
        })
    }

    /// Forgets everything once the connection is over.
    pub(crate) fn leave(&mut self, desk: &mut Desk<'_>) -> Checked {
        self.forget(desk)?;
        if let Some(link) = self.links.first() {
            return Err(format!("{:?} was never heard to end", link.key));
        }
        if let Some(key) = self.sessions.first() {
            return Err(format!("{key:?} was never heard to end"));
        }
        Ok(())
    }

    /// A queue hands out what it has.
    fn serve(&mut self, desk: &mut Desk<'_>) -> Checked {
        let Some(mut store) = self.store.take() else { return Ok(()) };
        let served = store.serve(self, desk);
        self.store = Some(store);
        served
    }
}
