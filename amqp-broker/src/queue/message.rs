//! One message as a queue holds it: the octets that came, and what the broker itself knows about it.
//!
//! The bare message is never touched (part 3, §3.2): a message that nothing happened to is forwarded as the very octets
//! that came; otherwise only header and message annotations are written anew in front of the bare message.

use amqp_codec::messaging::{Annotations, Header, MessageSections};
use amqp_codec::transport::{ErrorInfo, conditions};
use amqp_codec::types::{Fields, Symbol, Value};
use amqp_codec::{ByteString, DecodeError, Encode};
use bytes::{Bytes, BytesMut};

use crate::clock::Moment;
use crate::limits::{MAX_EXPIRIES, MESSAGE_OVERHEAD};

/// Message annotation: the moment before which the message is not delivered, a timestamp or integer in milliseconds
/// since the epoch.
pub(crate) const DELIVERY_TIME: &str = "x-opt-delivery-time";
/// Message annotation: the same, as Service Bus calls it.
pub(crate) const SCHEDULED_ENQUEUE_TIME: &str = "x-opt-scheduled-enqueue-time";
/// Message annotation: milliseconds from arrival before which the message is not delivered.
pub(crate) const DELIVERY_DELAY: &str = "x-opt-delivery-delay";

/// Priority of a message whose header names none (part 3, §3.2.1).
const DEFAULT_PRIORITY: u8 = 4;

/// A message in a queue.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    encoded: Bytes,
    /// Whether `encoded` may be forwarded as it is.
    verbatim: bool,
    durable: bool,
    /// As the header had it; absent stays absent when the header is written anew.
    priority: Option<u8>,
    delivery_count: u32,
    not_before: Option<Moment>,
    expires_at: Option<Moment>,
    /// The message annotations, if they are no longer those in `encoded`.
    annotations: Option<Box<Annotations>>,
    /// The queues in which it expired since a consumer last had its say.
    expired_in: Vec<ByteString>,
    size: u64,
}

impl Message {
    /// Reads what a queue must know of a message that arrives `now`.
    ///
    /// Its time-to-live counts from the moment at which it becomes available, so a delay does not eat it up;
    /// absolute-expiry-time is what it says.
    ///
    /// # Errors
    ///
    /// `amqp:decode-error` if the octets are not a message, `amqp:invalid-field` if a delay is not a number.
    pub(crate) fn arrived(
        encoded: Bytes,
        sections: &MessageSections<'_>,
        now: Moment,
    ) -> Result<Self, ErrorInfo> {
        let header = sections.header().map_err(undecodable)?;
        let plain_header = header.as_ref().is_none_or(|header| {
            header.ttl.is_none() && header.delivery_count == 0 && !header.first_acquirer
        });
        let verbatim = plain_header && sections.delivery_annotations().map_err(undecodable)?.is_none();
        let not_before = match sections.message_annotations().map_err(undecodable)? {
            Some(annotations) => {
                delivery_time(|key| annotations.get(key).map(Value::from), now)?.filter(|due| *due > now)
            }
            None => None,
        };
        let absolute_expiry = sections
            .properties()
            .map_err(undecodable)?
            .and_then(|properties| properties.absolute_expiry_time)
            .map(|at| Moment::from_millis(at.millis()));
        let header = header.unwrap_or_default();
        let size = size_of(&encoded, None);
        let mut message = Self {
            encoded,
            verbatim,
            durable: header.durable,
            priority: header.priority,
            delivery_count: 0,
            not_before,
            expires_at: absolute_expiry,
            annotations: None,
            expired_in: Vec::new(),
            size,
        };
        if let Some(ttl) = header.ttl {
            message.limit_time_to_live(u64::from(ttl), now);
        }
        Ok(message)
    }

    /// Makes the message expire at most `ttl_millis` after it becomes available.
    pub(crate) fn limit_time_to_live(&mut self, ttl_millis: u64, now: Moment) {
        let limit = self.not_before.unwrap_or(now).plus_millis(ttl_millis);
        self.expires_at = Some(self.expires_at.map_or(limit, |at| at.min(limit)));
        self.verbatim = false;
    }

    /// How urgent it is; higher first.
    pub(crate) fn priority(&self) -> u8 {
        self.priority.unwrap_or(DEFAULT_PRIORITY)
    }

    /// Attempts to deliver it that failed.
    pub(crate) const fn delivery_count(&self) -> u32 {
        self.delivery_count
    }

    /// Counts a failed attempt.
    pub(crate) fn count_failure(&mut self) {
        self.delivery_count = self.delivery_count.saturating_add(1);
        self.verbatim = false;
    }

    /// Until when it must wait, if it must.
    pub(crate) const fn not_before(&self) -> Option<Moment> {
        self.not_before
    }

    pub(crate) fn set_not_before(&mut self, moment: Option<Moment>) {
        self.not_before = moment;
    }

    /// When its time-to-live runs out, if it has one.
    pub(crate) const fn expires_at(&self) -> Option<Moment> {
        self.expires_at
    }

    /// It has reached a place where its time does not run any more: no delay, no expiry.
    pub(crate) fn stop_clocks(&mut self) {
        self.not_before = None;
        self.expires_at = None;
        self.verbatim = false;
    }

    /// Notes that its time ran out in a queue.
    pub(crate) fn expired_in(&mut self, queue: ByteString) {
        self.expired_in.push(queue);
    }

    /// Forgets where it expired: a consumer gave it a new way.
    pub(crate) fn forget_expiries(&mut self) {
        self.expired_in = Vec::new();
    }

    /// Whether expiry alone would send it round for ever: it expired in that queue before and no consumer did anything
    /// since, or it came through more queues in that way than anybody means to set up.
    pub(crate) fn goes_round(&self, next: &ByteString) -> bool {
        self.expired_in.len() > MAX_EXPIRIES || self.expired_in.contains(next)
    }

    /// Octets charged for it.
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// Puts entries over the message annotations it has; the same key is replaced (part 3, §3.4.5).
    pub(crate) fn merge_annotations(&mut self, entries: impl IntoIterator<Item = (Symbol, Value)>) {
        let mut annotations =
            self.annotations.take().unwrap_or_else(|| Box::new(self.received_annotations()));
        for (key, value) in entries {
            annotations.insert(key, value);
        }
        self.size = size_of(&self.encoded, Some(&annotations));
        self.annotations = Some(annotations);
        self.verbatim = false;
    }

    /// The message as it goes to a consumer `now`: header with the delivery count and the remaining time-to-live,
    /// message annotations, and the bare message octet for octet. Delivery annotations stay behind: they were for one
    /// hop only.
    pub(crate) fn forward(&self, now: Moment) -> Bytes {
        if self.verbatim {
            return self.encoded.clone();
        }
        // It was parsed when it came, so this cannot fail; the octets that came are the best answer if it did.
        let Ok(sections) = MessageSections::parse(&self.encoded) else { return self.encoded.clone() };
        let header = Header {
            durable: self.durable,
            priority: self.priority,
            ttl: self.expires_at.map(|at| u32::try_from(now.millis_until(at)).unwrap_or(u32::MAX)),
            first_acquirer: false,
            delivery_count: self.delivery_count,
        };
        let received;
        let annotations = match &self.annotations {
            Some(annotations) => Some(&**annotations),
            None => {
                received = sections.message_annotations().ok().flatten().map(Annotations::from);
                received.as_ref()
            }
        };
        let mut out = BytesMut::with_capacity(self.encoded.len() + 64);
        sections.forward(Some(&header), None, annotations, &mut out);
        out.freeze()
    }

    /// The message annotations in the octets that came.
    fn received_annotations(&self) -> Annotations {
        MessageSections::parse(&self.encoded)
            .ok()
            .and_then(|sections| sections.message_annotations().ok().flatten())
            .map(Annotations::from)
            .unwrap_or_default()
    }
}

/// When a consumer wants back a message that it returns with these annotations, if it says so in a way that can be
/// understood.
pub(crate) fn return_time(annotations: &Fields, now: Moment) -> Option<Moment> {
    delivery_time(|key| annotations.get(key).cloned(), now).ok().flatten().filter(|due| *due > now)
}

/// The delivery time that annotations ask for.
fn delivery_time(
    annotation: impl Fn(&str) -> Option<Value>,
    now: Moment,
) -> Result<Option<Moment>, ErrorInfo> {
    for key in [DELIVERY_TIME, SCHEDULED_ENQUEUE_TIME] {
        if let Some(value) = annotation(key).filter(|value| !matches!(value, Value::Null)) {
            return millis(key, &value).map(|at| Some(Moment::from_millis(at)));
        }
    }
    match annotation(DELIVERY_DELAY).filter(|value| !matches!(value, Value::Null)) {
        Some(value) => millis(DELIVERY_DELAY, &value)
            .map(|delay| Some(now.plus_millis(u64::try_from(delay).unwrap_or(0)))),
        None => Ok(None),
    }
}

/// A time in milliseconds: a timestamp, or any integer.
fn millis(key: &str, value: &Value) -> Result<i64, ErrorInfo> {
    let millis = match value {
        Value::Timestamp(at) => Some(at.millis()),
        Value::Ulong(at) => Some(i64::try_from(*at).unwrap_or(i64::MAX)),
        other => other.as_i64(),
    };
    millis.ok_or_else(|| {
        ErrorInfo::new(
            conditions::INVALID_FIELD,
            format!("message annotation {key}: expected milliseconds as a timestamp or an integer"),
        )
    })
}

/// The refusal of octets that are not a message.
#[cold]
pub(crate) fn undecodable(error: DecodeError) -> ErrorInfo {
    ErrorInfo::new(conditions::DECODE_ERROR, error.to_string())
}

/// Octets charged for a message.
fn size_of(encoded: &Bytes, annotations: Option<&Annotations>) -> u64 {
    let octets = encoded.len() + annotations.map_or(0, Encode::encoded_len);
    u64::try_from(octets).unwrap_or(u64::MAX).saturating_add(MESSAGE_OVERHEAD)
}
