//! Messages that are sent or received in parts (§2.6.14): a body may be larger than memory.

use super::commands::OutgoingDelivery;
use super::event::DeliveryNumber;
use super::link::Link;
use super::link::stream_in::{End, Found};
use super::link::stream_out::OutgoingStream;
use super::options::AbortPolicy;
use super::{Engine, LinkKey, Serial};
use crate::error::{LinkError, SendError, StreamError};
use amqp_codec::transport::{ErrorInfo, conditions};
use bytes::Bytes;

impl Engine {
    /// Starts a message whose octets come in parts; `delivery.payload` is the first of them. The next ones go to
    /// [`Engine::write_stream`], the last is followed by [`Engine::finish_stream`]. Other deliveries of the link wait
    /// behind it, other links go on in between. Call it only while [`Engine::credit`] is above 0.
    ///
    /// # Errors
    /// As [`Engine::send`].
    pub fn send_stream(
        &mut self,
        key: LinkKey,
        mut delivery: OutgoingDelivery,
    ) -> Result<DeliveryNumber, SendError> {
        let first = std::mem::take(&mut delivery.payload);
        let number = self.send(key, delivery)?;
        if let Some(queued) = self
            .links
            .get_mut(key.0)
            .and_then(Link::sender)
            .and_then(|sender| sender.queue.back_mut())
            .filter(|queued| queued.number == number)
        {
            queued.stream = Some(Box::default());
            // Its octets are nowhere to be had again.
            queued.kept = None;
        }
        if !first.is_empty() {
            self.write_stream(key, number, first)?;
        }
        Ok(number)
    }

    /// How many more octets may wait to be sent, of a message that was started with [`Engine::send_stream`].
    /// [`Event::Link`](super::Event::Link) tells when there are more. At most
    /// [`Limits::max_queued_bytes`](super::Limits::max_queued_bytes).
    ///
    /// # Errors
    /// [`SendError::SettledEarly`] if the peer has settled the message already; [`SendError::NotSent`] if the link
    /// ended: then the peer has nothing of it.
    pub fn stream_room(&mut self, key: LinkKey, number: DeliveryNumber) -> Result<usize, SendError> {
        let limit = self.io.limits.max_queued_bytes;
        let link = self.usable(key).map_err(SendError::NotSent)?;
        let session = link.session;
        let Some(session) = self.sessions.get(session.0) else { return Err(SendError::SettledEarly) };
        let delivery =
            self.links.get_mut(key.0).and_then(Link::sender).and_then(|sender| sender.find(number));
        let Some(delivery) = delivery.filter(|delivery| !session.is_settled_by_peer(delivery)) else {
            return Err(SendError::SettledEarly);
        };
        Ok(delivery.stream.as_ref().map_or(0, |stream| limit.saturating_sub(stream.queued())))
    }

    /// Adds octets to a message that was started with [`Engine::send_stream`]. They are taken whole, so call it only
    /// while [`Engine::stream_room`] is above 0. The last of them waits for more octets, [`Engine::flush_stream`] or
    /// [`Engine::finish_stream`].
    ///
    /// # Errors
    /// As [`Engine::stream_room`]; [`SendError::TooLarge`] if the message grows beyond what the peer accepts: then it
    /// was aborted.
    pub fn write_stream(
        &mut self,
        key: LinkKey,
        number: DeliveryNumber,
        octets: Bytes,
    ) -> Result<(), SendError> {
        self.stream_room(key, number)?;
        let Some(link) = self.links.get_mut(key.0) else { return Err(SendError::SettledEarly) };
        let session = link.session;
        let Some(sender) = link.sender() else { return Err(SendError::SettledEarly) };
        let limit = sender.max_message_size;
        let Some(stream) = sender.find(number).and_then(|delivery| delivery.stream.as_mut()) else {
            return Err(SendError::SettledEarly);
        };
        let size = stream.total().saturating_add(u64::try_from(octets.len()).unwrap_or(u64::MAX));
        if limit > 0 && size > limit {
            self.abort_stream(key, number);
            return Err(SendError::TooLarge { size, limit });
        }
        stream.push(octets);
        if let Some(session) = self.sessions.get_mut(session.0) {
            session.make_ready(key, link, &mut self.io);
        }
        Ok(())
    }

    /// Lets all octets leave that were written to a message so far. If none follow, its last frame is empty.
    ///
    /// # Errors
    /// As [`Engine::stream_room`].
    pub fn flush_stream(&mut self, key: LinkKey, number: DeliveryNumber) -> Result<(), SendError> {
        self.stream_room(key, number)?;
        self.with_stream(key, number, OutgoingStream::flush);
        Ok(())
    }

    /// Changes a message that is sent in parts, and sends what it can of it.
    fn with_stream(
        &mut self,
        key: LinkKey,
        number: DeliveryNumber,
        change: impl FnOnce(&mut OutgoingStream),
    ) {
        let Some(link) = self.links.get_mut(key.0) else { return };
        let session = link.session;
        let found = link.sender().and_then(|sender| sender.find(number));
        if let Some(stream) = found.and_then(|delivery| delivery.stream.as_mut()) {
            change(stream);
        }
        if let Some(session) = self.sessions.get_mut(session.0) {
            session.make_ready(key, link, &mut self.io);
        }
    }

    /// Ends a message that was started with [`Engine::send_stream`]: its outcome comes as that of any other. If the peer
    /// has settled it already, the rest of it is taken back.
    ///
    /// # Errors
    /// [`SendError::NotSent`] if the link ended: then the peer has nothing of it.
    pub fn finish_stream(&mut self, key: LinkKey, number: DeliveryNumber) -> Result<(), SendError> {
        if self.stream_room(key, number) == Err(SendError::SettledEarly) {
            self.abort_stream(key, number);
            return Ok(());
        }
        self.usable(key).map_err(SendError::NotSent)?;
        self.with_stream(key, number, OutgoingStream::finish);
        Ok(())
    }

    /// Takes a message back that was started with [`Engine::send_stream`] and not finished: it is settled on both sides,
    /// and the peer keeps nothing of it. If a part of it has left, [`LinkOptions::abort_policy`](super::LinkOptions) says
    /// how. Its outcome is told as `None`.
    pub fn abort_stream(&mut self, key: LinkKey, number: DeliveryNumber) {
        let Some(link) = self.links.get_mut(key.0) else { return };
        let session = link.session;
        let Some(sender) = link.sender() else { return };
        let policy = sender.abort_policy;
        let Some(delivery) = sender.find(number) else { return };
        if delivery.id.is_some() && policy == AbortPolicy::Detach {
            let error = ErrorInfo::new(conditions::DETACH_FORCED, "a message was given up halfway");
            return self.detach(key, true, Some(error));
        }
        if let Some(session) = self.sessions.get_mut(session.0) {
            session.abort(key, link, number, &mut self.io);
        }
    }

    // ---- receiving ----------------------------------------------------------------------------------------

    /// Reads on in a delivery that was taken from a link with [`LinkOptions::streams`](super::LinkOptions::streams).
    /// [`Event::Link`](super::Event::Link) tells when there is more.
    ///
    /// # Errors
    /// [`StreamError::Aborted`] if the peer took it back; [`StreamError::Link`] if the link ended before all of it came.
    pub fn read_stream(&mut self, key: LinkKey, id: Serial) -> Result<StreamPart, StreamError> {
        let Some(link) = self.links.get_mut(key.0) else { return Err(LinkError::DetachedLocally.into()) };
        let found = match self.sessions.get_mut(link.session.0) {
            Some(session) => session.read_stream(link, id, &mut self.io),
            None => match link.receiver().and_then(|receiver| receiver.streams.as_mut()) {
                Some(streams) => streams.read(id),
                None => Found::Unknown,
            },
        };
        match found {
            Found::Octets(octets) => Ok(StreamPart::Octets(octets)),
            Found::End(End::Whole) => Ok(StreamPart::End),
            Found::End(End::Aborted) => Err(StreamError::Aborted),
            Found::Nothing => link.check().map(|()| StreamPart::Pending).map_err(StreamError::Link),
            Found::Unknown => Err(link.check().err().unwrap_or(LinkError::DetachedLocally).into()),
        }
    }

    /// A delivery that was taken from a link with [`LinkOptions::streams`](super::LinkOptions::streams) is read no
    /// further: what still comes of it is thrown away. To be called for each of them, settled or not.
    pub fn forget_stream(&mut self, key: LinkKey, id: Serial) {
        let Some(link) = self.links.get_mut(key.0) else { return };
        if let Some(session) = self.sessions.get_mut(link.session.0) {
            session.forget_stream(key, link, id, &mut self.io);
        }
    }
}

/// What [`Engine::read_stream`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamPart {
    /// The next octets of the encoded message.
    Octets(Bytes),
    /// Nothing now; more will come.
    Pending,
    /// The message is whole and read.
    End,
}
