//! A witness beside one engine: it reads the octets that go in and come out, keeps books of its own from them, and says which
//! frame that the engine sent breaks a rule. It knows nothing of the engine's counters.

mod link;
mod session;

use crate::stream::{Seen, Stream};
use crate::trace::{Trace, Who, show};
use amqp_codec::frame::ProtocolHeader;
use amqp_codec::transport::{Begin, Open, Performative};
use amqp_transport::engine::Serial;
use session::Session;
use std::collections::BTreeMap;

/// What a frame before the peer's open may have (§2.4.1).
const SMALLEST_MAX_FRAME_SIZE: usize = 512;

/// What was broken.
pub(crate) type Broken = String;

/// Books about one engine and one connection.
#[derive(Debug)]
pub(crate) struct Monitor {
    who: Who,
    sent: Stream,
    received: Stream,
    amqp_header_sent: bool,
    open_sent: Option<Box<Open>>,
    open_received: Option<Box<Open>>,
    close_sent: bool,
    close_received: bool,
    sessions: Vec<Session>,
    /// Sessions by the channel on which the engine sends, and by that on which the peer sends.
    by_local: BTreeMap<u16, usize>,
    by_remote: BTreeMap<u16, usize>,
    /// What receivers grant and hold at most, by name.
    wholes: BTreeMap<String, Option<u32>>,
    /// Frames that the engine sent, empty ones left out.
    pub(crate) frames: u64,
    pub(crate) transfers: u64,
}

impl Monitor {
    pub(crate) fn new(who: Who) -> Self {
        Self {
            who,
            sent: Stream::default(),
            received: Stream::default(),
            amqp_header_sent: false,
            open_sent: None,
            open_received: None,
            close_sent: false,
            close_received: false,
            sessions: Vec::new(),
            by_local: BTreeMap::new(),
            by_remote: BTreeMap::new(),
            wholes: BTreeMap::new(),
            frames: 0,
            transfers: 0,
        }
    }

    /// The engine has been given these octets. `is_stale`: output of before still waits in it, so that a smaller window or
    /// credit may come too late for that.
    pub(crate) fn received(
        &mut self,
        octets: &[u8],
        is_stale: bool,
        trace: &mut Trace,
    ) -> Result<(), Broken> {
        let mut is_stale = is_stale;
        self.received.extend(octets);
        while let Some(seen) = self.received.next()? {
            if matches!(seen, Seen::Empty) {
                trace.note(Some(self.who), || "<- a sign of life".into());
            }
            if let Seen::Frame { channel, performative, payload, .. } = seen {
                trace.note(Some(self.who), || format!("<- {}", show(channel, &performative, payload)));
                // The engine may answer at once, with everything that is due.
                is_stale |= matches!(performative, Performative::Attach(_));
                self.on_received(channel, performative, is_stale)?;
            }
        }
        Ok(())
    }

    /// The engine wants these octets written.
    pub(crate) fn sent(&mut self, octets: &[u8], trace: &mut Trace) -> Result<(), Broken> {
        self.sent.extend(octets);
        while let Some(seen) = self.sent.next()? {
            match seen {
                Seen::Header(header) => self.on_sent_header(header)?,
                Seen::Sasl if self.amqp_header_sent => {
                    return Err("a SASL frame after the AMQP header".into());
                }
                Seen::Sasl => {}
                Seen::Empty if self.open_sent.is_none() || self.close_sent => {
                    return Err("an empty frame before open or after close".into());
                }
                Seen::Empty => trace.note(Some(self.who), || "-> a sign of life".into()),
                Seen::Frame { channel, performative, payload, size } => {
                    trace.note(Some(self.who), || format!("-> {}", show(channel, &performative, payload)));
                    self.frames += 1;
                    let name = performative.name();
                    self.on_sent(channel, performative, payload, size)
                        .map_err(|broken| format!("{name} on channel {channel}: {broken}"))?;
                }
            }
        }
        Ok(())
    }

    /// All output was taken: what the engine did not send with the old windows and credits it may not send now.
    pub(crate) fn settled_down(&mut self) {
        self.sessions.iter_mut().for_each(Session::forget_the_past);
    }

    fn on_sent_header(&mut self, header: ProtocolHeader) -> Result<(), Broken> {
        if self.amqp_header_sent || self.open_sent.is_some() {
            return Err("a second AMQP header".into());
        }
        self.amqp_header_sent = header == ProtocolHeader::AMQP;
        Ok(())
    }

    // ---- what the engine sends ----------------------------------------------------------------------------

    fn on_sent(
        &mut self,
        channel: u16,
        performative: Performative,
        payload: usize,
        size: usize,
    ) -> Result<(), Broken> {
        let limit = self.open_received.as_ref().map_or(SMALLEST_MAX_FRAME_SIZE, |open| {
            usize::try_from(open.max_frame_size).unwrap_or(usize::MAX)
        });
        if size > limit {
            return Err(format!("{size} octets, the peer takes {limit}"));
        }
        if self.close_sent {
            return Err("after close".into());
        }
        if self.open_sent.is_none() && !matches!(performative, Performative::Open(_)) {
            return Err("before open".into());
        }
        match performative {
            Performative::Open(_) if self.open_sent.is_some() => Err("a second one".into()),
            Performative::Open(_) if channel != 0 || !self.amqp_header_sent => {
                Err("not on channel 0, or before the header".into())
            }
            Performative::Open(open) => {
                self.open_sent = Some(open);
                Ok(())
            }
            Performative::Close(_) => {
                self.close_sent = true;
                Ok(())
            }
            Performative::Begin(begin) => self.on_sent_begin(channel, &begin),
            Performative::End(_) => {
                let session = self.session(channel)?;
                session.end_sent = true;
                self.drop_ended();
                Ok(())
            }
            other => {
                self.transfers += u64::from(matches!(other, Performative::Transfer(_)));
                if let Performative::Attach(attach) = &other {
                    let whole = self.wholes.get(&attach.name[..]).copied().flatten();
                    return self.session(channel)?.on_sent_attach(attach, whole);
                }
                self.session(channel)?.on_sent(other, payload)
            }
        }
    }

    fn session(&mut self, channel: u16) -> Result<&mut Session, Broken> {
        let index = self.by_local.get(&channel).copied().ok_or("there is no session on it")?;
        self.sessions.get_mut(index).filter(|session| !session.end_sent).ok_or_else(|| "after end".to_owned())
    }

    fn on_sent_begin(&mut self, channel: u16, begin: &Begin) -> Result<(), Broken> {
        // What the peer's open allows is not known before: the first channel is there in any case (§2.4.5).
        let theirs = self.open_received.as_ref().map_or(0, |open| open.channel_max);
        let Some(local) = &self.open_sent else { return Err("before open".into()) };
        if self.open_received.is_none() && self.who == Who::Listener {
            return Err("before the client's open".into());
        }
        if channel > local.channel_max.min(theirs) {
            return Err("above channel-max".into());
        }
        if self.by_local.contains_key(&channel) {
            return Err("the channel is in use".into());
        }
        let index = match begin.remote_channel {
            None => {
                self.sessions.push(Session::default());
                self.sessions.len() - 1
            }
            Some(theirs) => *self.by_remote.get(&theirs).ok_or("it answers a begin that did not come")?,
        };
        let session = &mut self.sessions[index];
        session.on_begin_sent(begin)?;
        self.by_local.insert(channel, index);
        Ok(())
    }

    fn drop_ended(&mut self) {
        let sessions = &self.sessions;
        self.by_local.retain(|_, index| !sessions[*index].is_over());
        self.by_remote.retain(|_, index| !sessions[*index].is_over());
    }

    // ---- what the peer sends ------------------------------------------------------------------------------

    fn on_received(
        &mut self,
        channel: u16,
        performative: Performative,
        is_stale: bool,
    ) -> Result<(), Broken> {
        match performative {
            Performative::Open(open) => self.open_received = Some(open),
            Performative::Close(_) => self.close_received = true,
            Performative::Begin(begin) => {
                let index = match begin.remote_channel {
                    None => {
                        self.sessions.push(Session::default());
                        self.sessions.len() - 1
                    }
                    Some(ours) => *self.by_local.get(&ours).ok_or("a begin answers none of ours")?,
                };
                self.sessions[index].on_begin_received(&begin);
                self.by_remote.insert(channel, index);
            }
            Performative::End(_) => {
                if let Some(index) = self.by_remote.get(&channel) {
                    self.sessions[*index].end_received = true;
                    self.drop_ended();
                }
            }
            other => {
                if let Some(session) = self.by_remote.get(&channel).map(|index| &mut self.sessions[*index])
                    && !session.end_sent
                {
                    session.on_received(other, is_stale);
                }
            }
        }
        Ok(())
    }

    // ---- look ---------------------------------------------------------------------------------------------

    /// Both sides have opened and neither has closed.
    pub(crate) fn is_open(&self) -> bool {
        self.open_sent.is_some() && self.open_received.is_some() && !self.close_sent && !self.close_received
    }

    /// Nothing is half done: what was begun is answered, what was ended is answered.
    pub(crate) fn check_rest(&self) -> Result<(), Broken> {
        if !self.sent.is_empty() || !self.received.is_empty() {
            return Err("a frame stays unfinished".into());
        }
        for index in self.by_local.values().chain(self.by_remote.values()) {
            self.sessions[*index].check_rest()?;
        }
        Ok(())
    }

    /// The receiver with this name is to have so many deliveries granted or held at most, or any number.
    pub(crate) fn expect_credit(&mut self, name: &str, whole: Option<u32>) {
        self.wholes.insert(name.to_owned(), whole);
    }

    /// A delivery that came settled has been taken, or read, on the session of this channel.
    pub(crate) fn taken_settled(&mut self, channel: Option<u16>, id: Serial) {
        let index = channel.and_then(|channel| self.by_local.get(&channel));
        if let Some(session) = index.and_then(|index| self.sessions.get_mut(*index)) {
            session.taken_settled(id.value());
        }
    }

    /// The transaction was rolled back within which a verdict was given: there may be another one.
    pub(crate) fn reverted(&mut self, channel: Option<u16>, id: Serial) {
        let index = channel.and_then(|channel| self.by_local.get(&channel));
        if let Some(session) = index.and_then(|index| self.sessions.get_mut(*index)) {
            session.reverted(id.value());
        }
    }
}
