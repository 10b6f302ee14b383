//! Messages that an application sends, or reads, part by part: some of them are given up halfway, or settled before they are
//! whole.

use super::{App, Checked, Desk, Link, State};
use crate::ledger::{Entry, Payload};
use amqp_codec::transport::{ErrorInfo, Role, conditions};
use amqp_transport::engine::{
    AbortPolicy, DeliveryNumber, Incoming, LinkKey, LinkStatus, OutgoingDelivery, Serial, StreamPart,
};
use amqp_transport::{LinkError, SendError, StreamError};
use bytes::{Buf, Bytes};

/// A message of which parts are still to be sent.
#[derive(Debug)]
pub(super) struct Writing {
    pub(super) link: LinkKey,
    story: usize,
    number: DeliveryNumber,
    /// Its number in the ledger.
    place: usize,
    rest: Bytes,
    /// There was no room when it was last looked for, and no event since.
    is_full: bool,
}

impl Writing {
    pub(super) const fn wake(&mut self) {
        self.is_full = false;
    }
}

/// A delivery of which parts are still to be read.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) link: LinkKey,
    pub(super) story: usize,
    number: usize,
    id: Serial,
    /// What is still to come, if it comes whole.
    rest: Bytes,
    settled: bool,
    /// There was nothing when it was last looked for, and no event since.
    is_waiting: bool,
}

impl Reading {
    pub(super) fn new(
        link: LinkKey,
        story: usize,
        number: usize,
        delivery: &Incoming,
        desk: &Desk<'_>,
    ) -> Self {
        let rest = desk.ledger.octets(story, number);
        Self { link, story, number, id: delivery.id, rest, settled: delivery.settled, is_waiting: false }
    }

    pub(super) const fn wake(&mut self) {
        self.is_waiting = false;
    }
}

/// What reading a part came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Octets,
    Nothing,
    Over,
    LinkOver,
}

impl App {
    // ---- sending ------------------------------------------------------------------------------------------

    /// Starts a message, or goes on with one.
    pub(super) fn write(&mut self, desk: &mut Desk<'_>) -> Checked {
        if self.writings.is_empty() || desk.random.percent(20) {
            return self.start_writing(desk);
        }
        let index = desk.random.index(self.writings.len());
        if desk.random.percent(6) {
            return self.abort(index, desk);
        }
        for _ in 0..desk.random.between(1, 4) {
            if self.writings.get(index).is_none() || !self.write_part(index, desk)? {
                break;
            }
        }
        Ok(())
    }

    fn start_writing(&mut self, desk: &mut Desk<'_>) -> Checked {
        // What is sent in parts is nowhere to be had again.
        let may_send =
            |link: &Link| link.role == Role::Sender && link.is_attached() && link.resumable.is_none();
        let Some(index) = self.some_link(desk.random, may_send) else { return Ok(()) };
        if !self.has_credit(index, desk)? {
            return Ok(());
        }
        let (link, story) = (self.links[index].key, self.links[index].story);
        let payload = Payload::draw(desk.random, desk.plan.message.saturating_mul(2));
        let mut rest = payload.octets();
        let first = rest.split_to(desk.random.index(rest.len().min(200) + 1));
        let token = desk.ledger.next_token();
        let mut delivery = OutgoingDelivery::new(first, token);
        delivery.settled = desk.random.percent(20);
        delivery.tag = Some(Bytes::from(format!("parts {}", token.0)));
        let entry =
            Entry { payload, message_format: 0, tag: delivery.tag.clone(), settled: delivery.settled };
        let place = usize::try_from(desk.ledger.count(story)).unwrap_or(usize::MAX);
        let name = desk.ledger.stories[story].name.clone();
        desk.trace.note(Some(self.who), || {
            format!("starts {name} number {place}, {} octets in parts", payload.len())
        });
        let sent = desk.engine.send_stream(link, delivery);
        desk.ledger.sent(story, entry);
        match sent {
            Ok(number) if usize::try_from(number.value()) != Ok(place) => {
                Err(format!("{name}: {number:?} is not the number of the delivery"))
            }
            Ok(number) => {
                self.writings.push(Writing { link, story, number, place, rest, is_full: false });
                Ok(())
            }
            Err(SendError::TooLarge { size, limit }) => {
                desk.ledger.aborted(story, place);
                self.check_too_large(&name, size, limit, desk)?;
                self.after_abort(link, story, desk)
            }
            Err(error) => Err(format!("{name}: not started although there is credit: {error}")),
        }
    }

    fn check_too_large(&self, name: &str, size: u64, limit: u64, desk: &Desk<'_>) -> Checked {
        if limit != desk.plan.limits[self.who.other().index()].max_message_size || size <= limit {
            return Err(format!("{name}: {size} octets are too many for {limit}"));
        }
        Ok(())
    }

    /// Writes the next part, or ends the message. True if it goes on.
    fn write_part(&mut self, index: usize, desk: &mut Desk<'_>) -> Result<bool, String> {
        let Writing { link, story, number, place, .. } = self.writings[index];
        let name = desk.ledger.stories[story].name.clone();
        let room = match desk.engine.stream_room(link, number) {
            Ok(0) => {
                self.writings[index].is_full = true;
                return Ok(false);
            }
            Ok(room) => room,
            Err(SendError::SettledEarly) => {
                if !desk.ledger.may_be_settled(story, place) {
                    return Err(format!("{name}: delivery {place} is settled by nobody"));
                }
                desk.trace.note(Some(self.who), || format!("{name} number {place} was settled early"));
                desk.ledger.aborted(story, place);
                self.writings.swap_remove(index);
                return if desk.random.percent(50) {
                    desk.engine.finish_stream(link, number).map(|()| false).map_err(|error| error.to_string())
                } else {
                    desk.engine.abort_stream(link, number);
                    Ok(false)
                };
            }
            // Another message on the link was given up, and the link with it: that is still to be heard.
            Err(SendError::NotSent(LinkError::DetachedLocally)) => {
                self.writings.swap_remove(index);
                return Ok(false);
            }
            Err(error) => return Err(format!("{name}: no room although it is attached: {error}")),
        };
        if self.writings[index].rest.is_empty() {
            self.writings.swap_remove(index);
            desk.trace.note(Some(self.who), || format!("finishes {name} number {place}"));
            let finished = desk.engine.finish_stream(link, number);
            return finished.map(|()| false).map_err(|error| format!("{name}: not finished: {error}"));
        }
        let rest = &mut self.writings[index].rest;
        let size = desk.random.pick(&[1, 100, 5_000, room]).min(rest.len());
        let part = rest.split_to(size);
        match desk.engine.write_stream(link, number, part) {
            Ok(()) => Ok(true),
            Err(SendError::TooLarge { size, limit }) => {
                desk.ledger.aborted(story, place);
                self.writings.swap_remove(index);
                self.check_too_large(&name, size, limit, desk)?;
                self.after_abort(link, story, desk).map(|()| false)
            }
            Err(error) => Err(format!("{name}: a part is not taken although there is room: {error}")),
        }
    }

    /// Takes a message back that is not finished.
    fn abort(&mut self, index: usize, desk: &mut Desk<'_>) -> Checked {
        let Writing { link, story, number, place, .. } = self.writings.swap_remove(index);
        let name = desk.ledger.stories[story].name.clone();
        desk.trace.note(Some(self.who), || format!("aborts {name} number {place}"));
        desk.ledger.aborted(story, place);
        desk.engine.abort_stream(link, number);
        self.after_abort(link, story, desk)
    }

    /// A message was taken back: that may have cost its link.
    fn after_abort(&self, link: LinkKey, story: usize, desk: &mut Desk<'_>) -> Checked {
        if desk.engine.link_status(link) == LinkStatus::Attached {
            return Ok(());
        }
        let policy = self.links.iter().find(|known| known.key == link).map(|known| known.abort_policy);
        if policy != Some(AbortPolicy::Detach) {
            let name = &desk.ledger.stories[story].name;
            return Err(format!("{name}: it is detached over a delivery that was taken back"));
        }
        self.give_up(desk, |known| known.key == link);
        let error = ErrorInfo::new(conditions::DETACH_FORCED, "a message was given up halfway");
        desk.ledger.stories[story].parting[self.who.index()] = Some(Some(error));
        Ok(())
    }

    /// Writes everything to its end, as far as there is room. True if anything was done.
    pub(super) fn write_out(&mut self, desk: &mut Desk<'_>) -> Result<bool, String> {
        let mut has_acted = false;
        let mut index = 0;
        while index < self.writings.len() {
            let before = self.writings.len();
            if self.write_part(index, desk)? || self.writings.len() < before {
                has_acted = true;
            } else {
                index += 1;
            }
        }
        Ok(has_acted)
    }

    // ---- receiving ----------------------------------------------------------------------------------------

    /// Reads on in one of the deliveries, or does not want the rest of it.
    pub(super) fn read(&mut self, desk: &mut Desk<'_>) -> Checked {
        let index = desk.random.index(self.readings.len());
        if desk.random.percent(4) {
            let reading = self.readings.swap_remove(index);
            let name = &desk.ledger.stories[reading.story].name;
            desk.trace.note(Some(self.who), || format!("reads {name} number {} no further", reading.number));
            self.forget_reading(&reading, desk);
            return Ok(());
        }
        for _ in 0..desk.random.between(1, 6) {
            if self.read_part(index, desk)? != Step::Octets {
                break;
            }
        }
        Ok(())
    }

    fn forget_reading(&self, reading: &Reading, desk: &mut Desk<'_>) {
        desk.engine.forget_stream(reading.link, reading.id);
        if reading.settled {
            let session = self.links.iter().find(|link| link.key == reading.link).map(|link| link.session);
            let channel = session.and_then(|session| desk.engine.channel(session));
            desk.monitor.taken_settled(channel, reading.id);
        }
    }

    /// Reads a part. What is over is no longer among the readings.
    fn read_part(&mut self, index: usize, desk: &mut Desk<'_>) -> Result<Step, String> {
        let reading = &mut self.readings[index];
        let (story, number) = (reading.story, reading.number);
        let name = &desk.ledger.stories[story].name;
        match desk.engine.read_stream(reading.link, reading.id) {
            Ok(StreamPart::Octets(octets)) => {
                if octets.is_empty() || !reading.rest.starts_with(&octets) {
                    return Err(format!(
                        "{name}: a part of delivery {number} is changed, lost or twice there"
                    ));
                }
                reading.rest.advance(octets.len());
                return Ok(Step::Octets);
            }
            Ok(StreamPart::Pending) => {
                reading.is_waiting = true;
                return Ok(Step::Nothing);
            }
            Ok(StreamPart::End) => {
                if !reading.rest.is_empty() || desk.ledger.is_aborted(story, number) {
                    let missing = reading.rest.len();
                    return Err(format!(
                        "{name}: delivery {number} ends, {missing} octets before it is whole"
                    ));
                }
                desk.ledger.read();
            }
            Err(StreamError::Aborted) => {
                if !desk.ledger.is_aborted(story, number) {
                    return Err(format!("{name}: delivery {number} is aborted by nobody"));
                }
                let (link, id) = (reading.link, reading.id);
                self.held.retain(|held| held.link != link || held.id != id);
            }
            Err(StreamError::Link(_)) => return Ok(Step::LinkOver),
            Err(error) => return Err(format!("{name}: delivery {number} cannot be read: {error}")),
        }
        desk.trace
            .note(Some(self.who), || format!("has read {} number {number}", desk.ledger.stories[story].name));
        let reading = self.readings.swap_remove(index);
        self.forget_reading(&reading, desk);
        Ok(Step::Over)
    }

    /// Reads all that is there. True if there was anything.
    pub(super) fn read_all(&mut self, desk: &mut Desk<'_>) -> Result<bool, String> {
        let mut has_acted = false;
        let mut index = 0;
        while index < self.readings.len() {
            match self.read_part(index, desk)? {
                Step::Octets | Step::Over => has_acted = true,
                Step::Nothing => index += 1,
                Step::LinkOver => return Err("a link has ended, and nobody was told".into()),
            }
        }
        Ok(has_acted)
    }

    /// A link has ended: what came of its deliveries can still be read.
    pub(super) fn read_out(&mut self, link: LinkKey, desk: &mut Desk<'_>) -> Checked {
        while let Some(index) = self.readings.iter().position(|reading| reading.link == link) {
            match self.read_part(index, desk)? {
                Step::Octets | Step::Over => {}
                Step::LinkOver => {
                    let reading = self.readings.swap_remove(index);
                    self.forget_reading(&reading, desk);
                }
                Step::Nothing => return Err("a delivery on a link that has ended gives no error".into()),
            }
        }
        Ok(())
    }

    /// Output was taken: whoever waits for room or for octets that are there was told.
    pub(super) fn check_parts_told(&mut self, desk: &mut Desk<'_>) -> Checked {
        for writing in self.writings.iter().filter(|writing| writing.is_full) {
            if desk.engine.stream_room(writing.link, writing.number) != Ok(0) {
                let name = &desk.ledger.stories[writing.story].name;
                return Err(format!("{name}: room for a part came without an event"));
            }
        }
        for reading in self.readings.iter().filter(|reading| reading.is_waiting) {
            if desk.engine.read_stream(reading.link, reading.id) != Ok(StreamPart::Pending) {
                let name = &desk.ledger.stories[reading.story].name;
                return Err(format!("{name}: a part came without an event"));
            }
        }
        debug_assert!(self.writings.iter().all(|writing| {
            self.links.iter().any(|link| link.key == writing.link && link.state != State::Ended)
        }));
        Ok(())
    }
}
