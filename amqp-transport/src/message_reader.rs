//! A message that is read while it arrives: as octets, or section by section.

use crate::delivery::verdicts;
use crate::engine::{Incoming, StreamPart};
use crate::error::{Outcome, SettleError, StreamError};
use crate::session::LinkHandle;
use amqp_codec::Decode;
use amqp_codec::messaging::{Annotations, DeliveryState, Message, Modified, SectionStart};
use amqp_codec::transport::ErrorInfo;
use bytes::{Buf, Bytes, BytesMut};
use std::fmt;
use std::sync::Arc;

/// Octets that the sections before the body may have together, and the footer.
const MAX_HELD: usize = 1024 * 1024;

/// Sections that can stand before a body: header, two kinds of annotations, two kinds of properties (§3.2).
const HEAD_SECTIONS: usize = 5;

/// A message that is read while it arrives. A verdict may be given at any time: before the end, the rest is thrown away as
/// it comes. Dropped without one, the message is released.
#[derive(Debug)]
#[must_use = "a message that is dropped goes back to the peer"]
pub struct MessageReader {
    link: Arc<LinkHandle>,
    incoming: Incoming,
    is_settled: bool,
    /// What came and was not given yet.
    held: Bytes,
    /// The sections before the body, once they are whole.
    head: Option<Message>,
    /// Octets of the present data section that were not given yet.
    data_left: usize,
    footer: Option<Annotations>,
}

impl MessageReader {
    pub(crate) fn new(link: &Arc<LinkHandle>, incoming: Incoming) -> Self {
        Self {
            link: Arc::clone(link),
            is_settled: incoming.settled,
            incoming,
            held: Bytes::new(),
            head: None,
            data_left: 0,
            footer: None,
        }
    }

    /// The sections before the body, as soon as they are whole: a message with an empty body. What follows is for
    /// [`MessageReader::read_data`], or for [`MessageReader::read`] as it is encoded. Cancel-safe: it can be called again,
    /// and gives the same again.
    ///
    /// # Errors
    /// As [`MessageReader::read`]; [`StreamError::Malformed`] if this is no message; [`StreamError::TooLong`] if these
    /// sections take more than 1 MiB. Such a message is best rejected.
    pub async fn head(&mut self) -> Result<&Message, StreamError> {
        while self.head.is_none() {
            let (end, is_whole) = end_of_head(&self.held)?;
            if is_whole || !self.fill().await? {
                // Cut short, they do not decode.
                let end = if is_whole { end } else { self.held.len() };
                let head = decode(self.held.slice(..end))?;
                self.held.advance(end);
                self.head = Some(head);
            }
        }
        // Given by the loop.
        Ok(self.head.get_or_insert_default())
    }

    /// The next octets of the body, as they come, across its data sections (§3.2.6); `None` at its end. Sections before it
    /// are read if [`MessageReader::head`] has not done so. Boundaries between them mean nothing. Cancel-safe: octets are
    /// either returned or still wait.
    ///
    /// # Errors
    /// As [`MessageReader::head`]; [`StreamError::NotData`] if the body is a sequence or a value:
    /// [`MessageReader::read`] goes on with it.
    pub async fn read_data(&mut self) -> Result<Option<Bytes>, StreamError> {
        self.head().await?;
        loop {
            if self.data_left > 0 {
                if self.held.is_empty() && !self.fill().await? {
                    // A section that ends with its message before it is whole.
                    return Err(malformed("it ends within a section"));
                }
                let octets = self.held.split_to(self.data_left.min(self.held.len()));
                self.data_left -= octets.len();
                return Ok(Some(octets));
            }
            match SectionStart::of(&self.held).map_err(malformed)? {
                Some(SectionStart::Data { start, len }) => {
                    self.held.advance(start);
                    self.data_left = len;
                }
                Some(SectionStart::Footer) => return self.read_footer().await,
                Some(SectionStart::OtherBody) => return Err(StreamError::NotData),
                Some(_) => return Err(malformed("a section stands behind the body that belongs before it")),
                None if self.fill().await? => {}
                None if self.held.is_empty() => return Ok(None),
                None => return Err(malformed("it ends within a section")),
            }
        }
    }

    async fn read_footer(&mut self) -> Result<Option<Bytes>, StreamError> {
        while self.fill().await? {
            check_size(self.held.len())?;
        }
        self.footer = decode(std::mem::take(&mut self.held))?.footer;
        Ok(None)
    }

    /// The footer (§3.2.9), once [`MessageReader::read_data`] has come to the end, if there is one.
    #[must_use]
    pub const fn footer(&self) -> Option<&Annotations> {
        self.footer.as_ref()
    }

    /// Adds what came next to what is held; false at the end of the message.
    async fn fill(&mut self) -> Result<bool, StreamError> {
        let Some(octets) = self.next().await? else { return Ok(false) };
        if self.held.is_empty() {
            self.held = octets;
        } else {
            // Grows in place: nobody else has these octets.
            let mut held = BytesMut::from(std::mem::take(&mut self.held));
            held.extend_from_slice(&octets);
            self.held = held.freeze();
        }
        Ok(true)
    }

    /// The next octets of the encoded message, as they come; `None` at its end. Boundaries between them mean nothing.
    /// After [`MessageReader::head`] they are those of the body and the footer. Cancel-safe: octets are either returned
    /// or still wait.
    ///
    /// # Errors
    /// [`StreamError::Aborted`] if the peer took the message back: no verdict is wanted then. [`StreamError::Link`] if
    /// the link ended before the message was whole.
    pub async fn read(&mut self) -> Result<Option<Bytes>, StreamError> {
        if self.held.is_empty() {
            return self.next().await;
        }
        Ok(Some(std::mem::take(&mut self.held)))
    }

    async fn next(&self) -> Result<Option<Bytes>, StreamError> {
        let (key, id) = (self.link.key, self.incoming.id);
        self.link
            .shared()
            .wait(&self.link.changed, |state| match state.engine.read_stream(key, id) {
                Ok(StreamPart::Octets(octets)) => Some(Ok(Some(octets))),
                Ok(StreamPart::End) => Some(Ok(None)),
                Ok(StreamPart::Pending) => None,
                Err(error) => Some(Err(error)),
            })
            .await
    }

    /// The sender's tag.
    #[must_use]
    pub const fn delivery_tag(&self) -> &Bytes {
        &self.incoming.tag
    }

    /// The message-format; 0 is the standard's.
    #[must_use]
    pub const fn message_format(&self) -> u32 {
        self.incoming.message_format
    }

    /// Whether it came settled: then no verdict is wanted.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        self.incoming.settled
    }

    /// The state that the sender gave it with its first frame, such as a transaction's.
    #[must_use]
    pub const fn state(&self) -> Option<&DeliveryState> {
        self.incoming.state.as_ref()
    }
}

verdicts!(MessageReader);

impl Drop for MessageReader {
    fn drop(&mut self) {
        if !self.is_settled {
            // If the link is gone the peer has it back already.
            let _ = self.give(Outcome::Released);
        }
        self.link.shared().act(|state| state.engine.forget_stream(self.link.key, self.incoming.id));
    }
}

/// Where the sections before the body end, as far as these octets tell, and whether that is all of them.
fn end_of_head(octets: &Bytes) -> Result<(usize, bool), StreamError> {
    let mut end = 0;
    for _ in 0..=HEAD_SECTIONS {
        let Some(rest) = octets.get(end..) else { return Ok((end, false)) };
        match SectionStart::of(&octets.slice_ref(rest)).map_err(malformed)? {
            Some(SectionStart::Head { len }) => end = check_size(end.saturating_add(len))?,
            Some(_) => return Ok((end, true)),
            None => return Ok((end, false)),
        }
    }
    Err(malformed("more than five sections before the body"))
}

fn check_size(size: usize) -> Result<usize, StreamError> {
    if size > MAX_HELD { Err(StreamError::TooLong { limit: MAX_HELD }) } else { Ok(size) }
}

fn decode(octets: Bytes) -> Result<Message, StreamError> {
    Message::from_bytes(octets).map_err(malformed)
}

fn malformed(why: impl fmt::Display) -> StreamError {
    StreamError::Malformed(why.to_string())
}
