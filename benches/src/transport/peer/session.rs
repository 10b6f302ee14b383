//! A session of the peer: numbers and windows, what is to be accepted, what is to be granted.

use super::link::{CREDIT, Feed, Link, Sink};
use super::scan;
use crate::Result;
use amqp_codec::messaging::DeliveryState;
use amqp_codec::transport::{Attach, Begin, Disposition, Flow, Performative, Role};
use amqp_codec::{BytesMut, frame};
use std::io::Write;

/// Frames that the client may have under way; told anew after half of them.
const WINDOW: u32 = 1 << 20;

/// Links of a session at most.
const LINKS: usize = 4096;

/// Octets of a body if the source names no size.
const BODY: usize = 100;

pub(super) struct Session {
    channel: u16,
    links: Vec<Option<Link>>,
    next_incoming: u32,
    /// Frames since the client was told of the window.
    unreported: u32,
    /// What is to be accepted: ranges of delivery-ids.
    accepted: Vec<(u32, u32)>,
    next_outgoing: u32,
    next_delivery: u32,
    remote_window: u32,
}

impl Session {
    pub(super) fn new(channel: u16, begin: &Begin, out: &mut BytesMut) -> Self {
        let mut answer = Begin::new(0_u32, WINDOW, WINDOW);
        answer.remote_channel = Some(channel);
        answer.handle_max = u32::try_from(LINKS - 1).unwrap_or(0);
        frame::encode_frame(out, channel, &Performative::Begin(Box::new(answer)));
        Self {
            channel,
            links: Vec::new(),
            next_incoming: begin.next_outgoing_id,
            unreported: 0,
            accepted: Vec::new(),
            next_outgoing: 0,
            next_delivery: 0,
            remote_window: begin.incoming_window,
        }
    }

    fn write(&self, out: &mut BytesMut, performative: &Performative) {
        frame::encode_frame(out, self.channel, performative);
    }

    fn link(&mut self, handle: u32) -> Option<&mut Link> {
        self.links.get_mut(usize::try_from(handle).ok()?)?.as_mut()
    }

    /// Attaches a link, at the handle that the client uses too.
    pub(super) fn attach(&mut self, attach: &Attach, max_frame: usize, out: &mut BytesMut) -> Result<()> {
        let place = usize::try_from(attach.handle)?;
        if place >= LINKS {
            return Err("the client's handles are too large".into());
        }
        let mut answer = Attach::new(attach.name.clone(), attach.handle, Role::Receiver);
        answer.source.clone_from(&attach.source);
        answer.target.clone_from(&attach.target);
        answer.snd_settle_mode = attach.snd_settle_mode;
        answer.rcv_settle_mode = attach.rcv_settle_mode;
        let link = if attach.role == Role::Sender {
            Link::Sink(Sink::new(attach.initial_delivery_count.unwrap_or(0)))
        } else {
            answer.role = Role::Sender;
            answer.initial_delivery_count = Some(0);
            let address = attach.source.as_ref().and_then(|source| source.address.as_ref());
            let body = address.and_then(|address| address.parse().ok()).unwrap_or(BODY);
            Link::Feed(Feed::new(self.channel, attach.handle, body, max_frame)?)
        };
        self.write(out, &Performative::Attach(Box::new(answer)));
        self.links.resize_with(self.links.len().max(place + 1), || None);
        self.links[place] = Some(link);
        Ok(())
    }

    pub(super) fn detach(&mut self, handle: u32) {
        if let Some(link) = usize::try_from(handle).ok().and_then(|place| self.links.get_mut(place)) {
            *link = None;
        }
    }

    /// A transfer frame is there completely.
    pub(super) fn transferred(&mut self, transfer: &scan::Transfer) -> Result<()> {
        self.next_incoming = self.next_incoming.wrapping_add(1);
        self.unreported += 1;
        let Some(Link::Sink(sink)) = self.link(transfer.handle) else {
            return Err("a transfer without a link for it".into());
        };
        let begun = match (sink.current, transfer.delivery_id) {
            (Some(begun), _) => begun,
            (None, Some(number)) => (number, false),
            (None, None) => return Err("a delivery without a number".into()),
        };
        let (number, settled) = (begun.0, begun.1 || transfer.settled);
        if transfer.more && !transfer.aborted {
            sink.current = Some((number, settled));
            return Ok(());
        }
        sink.current = None;
        sink.took();
        if !settled && !transfer.aborted {
            match self.accepted.last_mut() {
                Some((_, last)) if last.wrapping_add(1) == number => *last = number,
                _ => self.accepted.push((number, number)),
            }
        }
        Ok(())
    }

    /// The client said how much it takes.
    pub(super) fn flow(&mut self, flow: &Flow, out: &mut BytesMut) {
        let end = flow.next_incoming_id.unwrap_or(0).wrapping_add(flow.incoming_window);
        self.remote_window = ahead(end, self.next_outgoing);
        match flow.handle.and_then(|handle| self.link(handle)) {
            Some(Link::Feed(feed)) => {
                let end = flow.delivery_count.unwrap_or(0).wrapping_add(flow.link_credit.unwrap_or(0));
                feed.credit = ahead(end, feed.delivery_count);
                feed.drains = flow.drain;
            }
            Some(Link::Sink(sink)) if flow.echo => sink.credit = 0,
            _ if flow.echo => self.unreported = WINDOW,
            _ => {}
        }
        if self.unreported >= WINDOW {
            self.write(out, &Performative::Flow(self.window()));
            self.unreported = 0;
        }
    }

    fn window(&self) -> Flow {
        let mut flow = Flow::new(WINDOW, self.next_outgoing, WINDOW);
        flow.next_incoming_id = Some(self.next_incoming);
        flow
    }

    /// Accepts what has come, and grants what is used up.
    pub(super) fn answer(&mut self, out: &mut BytesMut) {
        for (first, last) in std::mem::take(&mut self.accepted) {
            let mut disposition = Disposition::new(Role::Receiver, first);
            disposition.last = Some(last);
            disposition.settled = true;
            disposition.state = Some(DeliveryState::Accepted);
            self.write(out, &Performative::Disposition(disposition));
        }
        let mut flow = self.window();
        for (handle, link) in (0_u32..).zip(&mut self.links) {
            if let Some(Link::Sink(sink)) = link.as_mut().filter(|link| is_short(link)) {
                sink.credit = CREDIT;
                flow.handle = Some(handle);
                flow.delivery_count = Some(sink.delivery_count);
                flow.link_credit = Some(CREDIT);
                frame::encode_frame(out, self.channel, &Performative::Flow(flow.clone()));
                self.unreported = 0;
            }
        }
        if self.unreported >= WINDOW / 2 {
            self.write(out, &Performative::Flow(self.window()));
            self.unreported = 0;
        }
    }

    /// Sends what the client takes.
    pub(super) fn feed(&mut self, out: &mut impl Write) -> std::io::Result<()> {
        for (handle, link) in (0_u32..).zip(&mut self.links) {
            let Some(Link::Feed(feed)) = link else { continue };
            let (deliveries, frames) = feed.send(out, self.next_delivery, self.remote_window)?;
            self.next_delivery = self.next_delivery.wrapping_add(deliveries);
            self.next_outgoing = self.next_outgoing.wrapping_add(frames);
            self.remote_window -= frames;
            if std::mem::take(&mut feed.drains) {
                let mut flow = Flow::new(WINDOW, self.next_outgoing, WINDOW);
                flow.next_incoming_id = Some(self.next_incoming);
                flow.handle = Some(handle);
                flow.delivery_count = Some(feed.delivery_count.wrapping_add(feed.credit));
                flow.link_credit = Some(0);
                flow.drain = true;
                (feed.delivery_count, feed.credit) = (feed.delivery_count.wrapping_add(feed.credit), 0);
                let mut octets = BytesMut::new();
                frame::encode_frame(&mut octets, self.channel, &Performative::Flow(flow));
                out.write_all(&octets)?;
            }
        }
        Ok(())
    }
}

fn is_short(link: &Link) -> bool {
    matches!(link, Link::Sink(sink) if sink.is_short())
}

/// How far one number is ahead of another (RFC 1982); nothing if it is behind.
fn ahead(end: u32, from: u32) -> u32 {
    let distance = end.wrapping_sub(from);
    if distance > u32::MAX / 2 { 0 } else { distance }
}
