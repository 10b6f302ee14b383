//! Messages that are sent in parts.

use crate::engine::event::DeliveryNumber;
use crate::error::SendError;
use crate::sender::Confirmation;
use crate::session::LinkHandle;
use bytes::{BufMut, Bytes, BytesMut};
use std::sync::Arc;

/// Octets of one data section: its size has 32 bits.
const MAX_SECTION: usize = 1 << 30;

/// A message on its way whose octets come in parts (§2.6.14), from [`Sender::stream`](crate::Sender::stream). Parts wait
/// in a buffer of at most [`Limits::max_queued_bytes`](crate::Limits::max_queued_bytes) and one part; from there they
/// leave as session window and socket allow, but for the last octet: it waits for more, for [`MessageWriter::finish`] or
/// for [`MessageWriter::flush`].
///
/// Dropped before [`MessageWriter::finish`], the message is taken back: the peer keeps nothing of it. How, if a part of it
/// has left already, [`SenderOptions::abort_policy`](crate::SenderOptions::abort_policy) says.
#[derive(Debug)]
#[must_use = "a message that is not finished is taken back"]
pub struct MessageWriter {
    link: Arc<LinkHandle>,
    number: DeliveryNumber,
    /// Gone once the message is finished.
    confirmation: Option<Confirmation>,
}

impl MessageWriter {
    pub(crate) const fn new(
        link: Arc<LinkHandle>,
        number: DeliveryNumber,
        confirmation: Confirmation,
    ) -> Self {
        Self { link, number, confirmation: Some(confirmation) }
    }

    /// Adds octets of the encoded message as soon as there is room. Boundaries between parts mean nothing: a section may
    /// be cut anywhere.
    ///
    /// Dropping the future adds nothing.
    ///
    /// # Errors
    /// [`SendError::SettledEarly`] if the peer wants no more of it: its outcome comes with [`MessageWriter::finish`].
    /// [`SendError::TooLarge`] if it grows beyond what the peer accepts: then it was taken back.
    /// [`SendError::NotSent`] if the link ended.
    pub async fn write(&mut self, octets: impl Into<Bytes>) -> Result<(), SendError> {
        let octets = octets.into();
        if octets.is_empty() { Ok(()) } else { self.add(|| [octets.clone()]).await }
    }

    /// Adds a data section with these octets (§3.2.6): all data sections of a message together are its body. More than
    /// 1 GiB becomes several sections. Peers that know of one section only, or mix up several as RabbitMQ 3 does, want
    /// [`MessageWriter::begin_data`].
    ///
    /// Dropping the future adds nothing.
    ///
    /// # Errors
    /// As [`MessageWriter::write`].
    pub async fn write_data(&mut self, octets: impl Into<Bytes>) -> Result<(), SendError> {
        let octets = octets.into();
        self.add(|| {
            let mut rest = octets.clone();
            let mut parts = Vec::with_capacity(2);
            loop {
                let section = rest.split_to(rest.len().min(MAX_SECTION));
                // At most MAX_SECTION.
                let len = u32::try_from(section.len()).unwrap_or(u32::MAX);
                parts.extend([data_header(len), section]);
                if rest.is_empty() {
                    return parts;
                }
            }
        })
        .await
    }

    /// Begins a data section of this many octets, which follow with [`MessageWriter::write`]: a body whose size is known is
    /// one section like this. With fewer octets behind it, or more, the message is malformed.
    ///
    /// Dropping the future adds nothing.
    ///
    /// # Errors
    /// As [`MessageWriter::write`].
    pub async fn begin_data(&mut self, len: u32) -> Result<(), SendError> {
        self.add(|| [data_header(len)]).await
    }

    /// Adds all parts at once, when there is room.
    async fn add<P>(&self, parts: impl Fn() -> P) -> Result<(), SendError>
    where
        P: IntoIterator<Item = Bytes>,
    {
        let (key, number) = (self.link.key, self.number);
        self.link
            .shared()
            .wait(&self.link.changed, |state| match state.engine.stream_room(key, number) {
                Ok(0) => None,
                Ok(_) => Some(
                    parts().into_iter().try_for_each(|part| state.engine.write_stream(key, number, part)),
                ),
                Err(error) => Some(Err(error)),
            })
            .await
    }

    /// Lets everything leave that was written so far, for a message that goes on later. If nothing follows but
    /// [`MessageWriter::finish`], its last frame is empty, which is legal, but breaks the session on RabbitMQ 3.
    ///
    /// # Errors
    /// As [`MessageWriter::write`].
    pub fn flush(&mut self) -> Result<(), SendError> {
        self.link.shared().act(|state| state.engine.flush_stream(self.link.key, self.number))
    }

    /// The message is whole. The [`Confirmation`] resolves with its outcome, as that of any other.
    ///
    /// If the peer has settled it before it was whole, that outcome is told, and the rest is taken back.
    pub fn finish(mut self) -> Confirmation {
        let finished = self.link.shared().act(|state| state.engine.finish_stream(self.link.key, self.number));
        if let Err(error) = finished {
            tracing::debug!(link = self.link.name, %error, "a message ended with its link");
        }
        self.confirmation.take().unwrap_or_else(|| Confirmation::new(Arc::clone(&self.link), None))
    }

    /// Takes the message back, as dropping it does.
    pub fn abort(self) {
        drop(self);
    }
}

impl Drop for MessageWriter {
    fn drop(&mut self) {
        if self.confirmation.is_some() {
            self.link.shared().act(|state| state.engine.abort_stream(self.link.key, self.number));
        }
    }
}

/// Descriptor, constructor and size of a data section (§3.2.6).
fn data_header(len: u32) -> Bytes {
    let mut header = BytesMut::with_capacity(8);
    header.put_slice(&[0x00, 0x53, 0x75]);
    match u8::try_from(len) {
        Ok(len) => header.put_slice(&[0xa0, len]),
        Err(_) => {
            header.put_u8(0xb0);
            header.put_u32(len);
        }
    }
    header.freeze()
}
