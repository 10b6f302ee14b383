//! What can end a connection, a session, a link or a delivery. One type a level; each keeps the peer's own
//! words and says whether trying again can help.

use crate::engine::sasl::SaslFault;
use crate::redirect::Redirect;
use crate::transaction::Provisional;
use amqp_codec::messaging::Modified;
use amqp_codec::security::SaslCode;
use amqp_codec::transport::{ErrorInfo, conditions};
use amqp_codec::types::Symbol;
use std::fmt;
use std::sync::Arc;

/// Shows an error of a peer as `condition: description`.
pub(crate) struct Shown<'a>(pub(crate) Option<&'a ErrorInfo>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("no error given"),
            Some(ErrorInfo { condition, description: None, .. }) => f.write_str(&tame(condition)),
            Some(ErrorInfo { condition, description: Some(text), .. }) => {
                write!(f, "{}: {}", tame(condition), tame(text))
            }
        }
    }
}

/// A peer's text goes to logs and terminals: bounded, and without control characters.
pub(crate) fn tame(text: &str) -> String {
    text.chars().take(500).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// This side closed it.
    #[error("the connection was closed here")]
    ClosedLocally,
    /// The peer sent close.
    #[error("the peer closed the connection: {}", Shown(.0.as_ref()))]
    ClosedByPeer(Option<ErrorInfo>),
    /// The transport ended without a close.
    #[error("the connection was lost: {0}")]
    Lost(Arc<str>),
    /// The peer broke a rule of the protocol; the connection was closed with this error.
    #[error("the peer broke the protocol: {}", Shown(Some(.0)))]
    Violation(ErrorInfo),
    /// Nothing came from the peer for twice the announced idle time-out.
    #[error("nothing came from the peer within the idle time-out")]
    IdleTimeout,
    /// The handshake or an orderly close took longer than the limits allow.
    #[error("the peer did not answer in time while {0}")]
    Timeout(&'static str),
    /// The peer speaks something else: what it sent in place of the expected protocol header.
    #[error("the peer does not speak AMQP 1.0 here: {0}")]
    Header(String),
    /// The peer refused the credentials, or could not check them.
    #[error("{}", sasl_text(*.code, .offered))]
    Sasl {
        /// The peer's verdict; absent if no mechanism is known to both sides.
        code: Option<SaslCode>,
        /// The mechanisms that the peer offers.
        offered: Vec<Symbol>,
    },
    /// The SASL exchange was given up here, or the peer told why it refuses.
    #[error("the SASL exchange failed: {0}")]
    SaslExchange(#[from] SaslFault),
}

fn sasl_text(code: Option<SaslCode>, offered: &[Symbol]) -> String {
    match code {
        None => {
            let offered: Vec<_> = offered.iter().take(20).map(|mechanism| tame(mechanism)).collect();
            format!(
                "the peer offers no SASL mechanism that is configured here (it offers {})",
                offered.join(", ")
            )
        }
        Some(SaslCode::Auth) => "the peer refused the user name or password".to_owned(),
        Some(SaslCode::SysPerm) => "the peer cannot authenticate anyone (permanent error)".to_owned(),
        Some(_) => "the peer could not check the credentials, try again later".to_owned(),
    }
}

impl ConnectionError {
    /// The error that the peer gave, if it gave one.
    #[must_use]
    pub const fn remote_error(&self) -> Option<&ErrorInfo> {
        match self {
            Self::ClosedByPeer(error) => error.as_ref(),
            _ => None,
        }
    }

    /// Where the peer wants the connection to be made instead (`amqp:connection:redirect`).
    #[must_use]
    pub fn redirect(&self) -> Option<Redirect> {
        self.remote_error().and_then(Redirect::of)
    }

    /// Whether a new connection with the same settings may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::ClosedLocally | Self::Header(_) | Self::SaslExchange(_) => false,
            Self::Sasl { code, .. } => matches!(code, Some(SaslCode::Sys | SaslCode::SysTemp)),
            Self::ClosedByPeer(Some(error)) => condition_is_retryable(&error.condition),
            _ => true,
        }
    }
}

/// Conditions that tell of a fault in the configuration or in the request: trying again changes nothing.
fn condition_is_retryable(condition: &Symbol) -> bool {
    ![
        conditions::INVALID_FIELD,
        conditions::NOT_ALLOWED,
        conditions::NOT_FOUND,
        conditions::NOT_IMPLEMENTED,
        conditions::UNAUTHORIZED_ACCESS,
        conditions::PRECONDITION_FAILED,
        conditions::RESOURCE_DELETED,
        conditions::STOLEN,
        conditions::MESSAGE_SIZE_EXCEEDED,
        conditions::CONNECTION_REDIRECT,
        conditions::LINK_REDIRECT,
    ]
    .contains(condition)
}

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// This side ended it.
    #[error("the session was ended here")]
    EndedLocally,
    /// The peer sent end.
    #[error("the peer ended the session: {}", Shown(.0.as_ref()))]
    EndedByPeer(Option<ErrorInfo>),
    /// The peer broke a rule of the protocol; the session was ended with this error.
    #[error("the peer broke the protocol: {}", Shown(Some(.0)))]
    Violation(ErrorInfo),
    /// The peer did not answer within [`Limits::answer`](crate::Limits::answer).
    #[error("the peer did not answer in time while {0}")]
    Timeout(&'static str),
    /// All sessions that the peer allows on one connection are in use.
    #[error("the peer allows no more than {0} sessions on a connection")]
    TooMany(u32),
    /// The connection ended.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

impl SessionError {
    /// The error that the peer gave for the session or the connection.
    #[must_use]
    pub const fn remote_error(&self) -> Option<&ErrorInfo> {
        match self {
            Self::EndedByPeer(error) => error.as_ref(),
            Self::Connection(error) => error.remote_error(),
            _ => None,
        }
    }

    /// Whether the same may succeed on a new session (and, if it ended, a new connection).
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::EndedLocally | Self::TooMany(_) => false,
            Self::EndedByPeer(Some(error)) => condition_is_retryable(&error.condition),
            Self::Connection(error) => error.is_retryable(),
            _ => true,
        }
    }
}

/// Why a link ended, or was never attached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// This side detached it.
    #[error("the link was detached here")]
    DetachedLocally,
    /// The peer detached it.
    #[error("the peer detached the link: {}", Shown(.0.as_ref()))]
    DetachedByPeer(Option<ErrorInfo>),
    /// The peer refused to attach it.
    #[error("the peer refused the link: {}", Shown(.0.as_ref()))]
    Refused(Option<ErrorInfo>),
    /// The peer broke a rule of the protocol; the link was detached with this error.
    #[error("the peer broke the protocol: {}", Shown(Some(.0)))]
    Violation(ErrorInfo),
    /// The peer attached it again, and that one took it over (§2.6.1); told at a listener.
    #[error("the peer attached the link again elsewhere")]
    Stolen,
    /// The peer asked for a link of the other direction ([`LinkRequest::role`](crate::LinkRequest::role)); told at a listener.
    #[error("the peer asked for a link of the other direction")]
    OtherDirection,
    /// The peer does not offer what the link needs (§2.7.1).
    #[error("the peer does not offer {0}")]
    NotOffered(&'static str),
    /// The peer takes no frame that is large enough for the attach.
    #[error("attaching takes a frame of {size} octets, the peer takes {limit}")]
    FrameTooSmall {
        /// Octets of the frame.
        size: usize,
        /// The peer's max-frame-size; 512 before it has opened.
        limit: usize,
    },
    /// The peer did not answer within [`Limits::answer`](crate::Limits::answer).
    #[error("the peer did not answer in time while {0}")]
    Timeout(&'static str),
    /// All links that the peer allows on one session are in use.
    #[error("the peer allows no more than {0} links on a session")]
    TooMany(u64),
    /// The session or the connection ended.
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl From<ConnectionError> for LinkError {
    fn from(error: ConnectionError) -> Self {
        Self::Session(SessionError::Connection(error))
    }
}

impl LinkError {
    /// The error that the peer gave for the link, its session or the connection.
    #[must_use]
    pub const fn remote_error(&self) -> Option<&ErrorInfo> {
        match self {
            Self::DetachedByPeer(error) | Self::Refused(error) => error.as_ref(),
            Self::Session(error) => error.remote_error(),
            _ => None,
        }
    }

    /// Where the peer wants the link, or its connection, to be made instead (`amqp:link:redirect`,
    /// `amqp:connection:redirect`).
    #[must_use]
    pub fn redirect(&self) -> Option<Redirect> {
        self.remote_error().and_then(Redirect::of)
    }

    /// Whether the link was attached again elsewhere, and that one took it over (§2.6.1). Who attaches it once more takes
    /// it back: two of a kind would fight for it without end.
    #[must_use]
    pub fn is_stolen(&self) -> bool {
        *self == Self::Stolen
            || self.remote_error().is_some_and(|error| error.condition == conditions::STOLEN)
    }

    /// Whether attaching again may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::DetachedLocally
            | Self::TooMany(_)
            | Self::Stolen
            | Self::OtherDirection
            | Self::NotOffered(_)
            | Self::FrameTooSmall { .. } => false,
            Self::DetachedByPeer(Some(error)) | Self::Refused(Some(error)) => {
                condition_is_retryable(&error.condition)
            }
            Self::Session(error) => error.is_retryable(),
            _ => true,
        }
    }
}

/// Why a message was not sent, or why its outcome is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The link ended before any of the message was sent: the peer does not have it.
    #[error("not sent: {0}")]
    NotSent(LinkError),
    /// The message was handed to the connection, but the link ended before the peer told the outcome: it may or
    /// may not be stored.
    #[error("sent, but the outcome is unknown: {0}")]
    Unknown(LinkError),
    /// The peer settled a message that is sent in parts before it was whole: more of it is not wanted.
    #[error("the peer settled the message before all of it was sent")]
    SettledEarly,
    /// The message is larger than the peer accepts on this link.
    #[error("the message has {size} octets, the peer accepts {limit}")]
    TooLarge {
        /// Octets of the encoded message.
        size: u64,
        /// The peer's max-message-size.
        limit: u64,
    },
    /// What goes with the message is not as the protocol wants it, such as a delivery-tag or a transaction-id of more than 32
    /// octets.
    #[error("the message cannot be sent: {0}")]
    Invalid(&'static str),
}

impl SendError {
    /// Why the link ended.
    #[must_use]
    pub const fn link_error(&self) -> Option<&LinkError> {
        match self {
            Self::NotSent(error) | Self::Unknown(error) => Some(error),
            Self::TooLarge { .. } | Self::SettledEarly | Self::Invalid(_) => None,
        }
    }

    /// Whether sending again on a new link may succeed. After [`SendError::Unknown`] it may duplicate.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.link_error().is_some_and(LinkError::is_retryable)
    }
}

/// Why a message that is received in parts could not be read to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The peer took the message back before it was whole (§2.6.14): it is settled.
    #[error("the peer took the message back before it was whole")]
    Aborted,
    /// The link ended before the message was whole.
    #[error("the message is not whole: {0}")]
    Link(#[from] LinkError),
    /// Its octets are no message, as far as they were read.
    #[error("the message is malformed: {0}")]
    Malformed(String),
    /// Its sections before the body, or its footer, take more octets than are held at once.
    #[error("the sections beside the body are longer than {limit} octets")]
    TooLong {
        /// Octets that they may take.
        limit: usize,
    },
    /// Its body is a sequence or a value, which is not read as data.
    #[error("the body of the message is not data")]
    NotData,
}

impl StreamError {
    /// Whether receiving it once more may succeed: never by this reader, but a message whose link ended is given again.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Aborted | Self::Malformed(_) | Self::TooLong { .. } | Self::NotData => false,
            Self::Link(error) => error.is_retryable(),
        }
    }
}

/// Why a delivery could not be settled. Either way the peer decides what becomes of it, usually redelivery.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettleError {
    /// The peer settled the delivery or took it back first, for example when a lock ran out.
    #[error("the peer took the delivery back")]
    Revoked,
    /// The link ended.
    #[error(transparent)]
    Link(#[from] LinkError),
}

impl SettleError {
    /// Whether settling the same delivery again may succeed: it never does. The message may come again as another
    /// delivery.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Revoked | Self::Link(_) => false,
        }
    }
}

/// What the peer did with a message (§3.4).
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a message is stored only if its outcome is accepted"]
#[non_exhaustive]
pub enum Outcome {
    /// Taken over by the peer.
    Accepted,
    /// Refused as invalid, with the peer's reason.
    Rejected(Option<ErrorInfo>),
    /// Not processed, given back unchanged: for example, a message that no queue takes.
    Released,
    /// Not processed, given back changed.
    Modified(Modified),
    /// Settled by the peer without saying what became of it.
    Unspecified,
    /// What it will be once its transaction is committed (§4.4).
    Provisional(Box<Provisional>),
    /// An outcome of another kind, such as that of a declare.
    Other(amqp_codec::messaging::DeliveryState),
}

impl Outcome {
    /// Success only for [`Outcome::Accepted`].
    ///
    /// # Errors
    /// The outcome itself, if it is any other.
    pub fn accepted(self) -> Result<(), NotAccepted> {
        if self == Self::Accepted { Ok(()) } else { Err(NotAccepted(self)) }
    }

    pub(crate) fn from_state(state: Option<amqp_codec::messaging::DeliveryState>) -> Self {
        use amqp_codec::messaging::DeliveryState;
        match state {
            None => Self::Unspecified,
            Some(DeliveryState::Accepted) => Self::Accepted,
            Some(DeliveryState::Rejected(error)) => Self::Rejected(error.map(|error| *error)),
            Some(DeliveryState::Released) => Self::Released,
            Some(DeliveryState::Modified(modified)) => Self::Modified(modified),
            Some(DeliveryState::Transactional(state)) => Self::Provisional(Box::new(Provisional::of(*state))),
            Some(other) => Self::Other(other),
        }
    }

    pub(crate) fn into_state(self) -> Option<amqp_codec::messaging::DeliveryState> {
        use amqp_codec::messaging::DeliveryState;
        Some(match self {
            Self::Accepted => DeliveryState::Accepted,
            Self::Rejected(error) => DeliveryState::Rejected(error.map(Box::new)),
            Self::Released => DeliveryState::Released,
            Self::Modified(modified) => DeliveryState::Modified(modified),
            Self::Unspecified => return None,
            Self::Provisional(provisional) => {
                DeliveryState::Transactional(Box::new(provisional.into_state()))
            }
            Self::Other(state) => state,
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted => f.write_str("accepted"),
            Self::Rejected(error) => write!(f, "rejected: {}", Shown(error.as_ref())),
            Self::Released => f.write_str("released"),
            Self::Modified(modified) => write!(
                f,
                "modified (delivery-failed {}, undeliverable-here {})",
                modified.delivery_failed, modified.undeliverable_here
            ),
            Self::Unspecified => f.write_str("settled without an outcome"),
            Self::Provisional(provisional) => fmt::Display::fmt(provisional, f),
            Self::Other(state) => write!(f, "{state:?}"),
        }
    }
}

/// The peer's outcome was not accepted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the peer did not accept the message: {0}")]
pub struct NotAccepted(pub Outcome);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peers_words_cannot_steer_a_terminal() {
        let condition = Symbol::try_from("\u{1b}[2Jcondition".repeat(100)).unwrap();
        let error = LinkError::Refused(Some(ErrorInfo::new(condition, "text\u{1b}]0;\n")));
        let shown = error.to_string();
        assert!(!shown.chars().any(char::is_control) && shown.len() < 1200, "{shown}");
        let offered = vec![Symbol::from_static("\u{1b}[31mX")];
        assert!(!ConnectionError::Sasl { code: None, offered }.to_string().contains('\u{1b}'));
    }
}
