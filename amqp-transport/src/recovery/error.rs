//! What can go wrong for good, and what became of a message.

use crate::connection::ConnectError;
use crate::error::{ConnectionError, LinkError, NotAccepted, Outcome};
use std::sync::Arc;

/// Why there is no connection at the moment.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Trouble {
    /// An attempt to connect failed.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A connection was lost or closed.
    #[error(transparent)]
    Lost(#[from] ConnectionError),
    /// The provider of credentials had none.
    #[error("there are no credentials: {0}")]
    Credentials(Arc<str>),
    /// A connection was not made ready ([`ClientBuilder::prepare`](super::ClientBuilder::prepare)).
    #[error("the connection could not be made ready: {0}")]
    Unprepared(Arc<str>),
}

impl Trouble {
    /// Whether the next attempt may succeed without anybody changing anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Connect(error) => error.is_retryable(),
            // Somebody closed this one connection by hand; the next is as good as any.
            Self::Lost(ConnectionError::ClosedLocally) | Self::Credentials(_) | Self::Unprepared(_) => true,
            Self::Lost(error) => error.is_retryable(),
        }
    }
}

/// Why a client, or one of its links, works no more.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// It was closed here.
    #[error("it was closed here")]
    Closed,
    /// The client was given no address.
    #[error("there is no address to connect to")]
    NoAddress,
    /// The client gave up connecting, as its [`Patience`](super::Patience) says.
    #[error("gave up after {attempts} attempts to connect: {last}")]
    GaveUp {
        /// Attempts in a row that failed.
        attempts: u32,
        /// Why the last one failed.
        last: Trouble,
    },
    /// The link was refused for a reason that does not pass by itself, or was attached again elsewhere
    /// ([`LinkError::is_stolen`]).
    #[error("the link gave up after {attempts} attempts to attach it: {last}")]
    Link {
        /// Attempts in a row that failed.
        attempts: u32,
        /// Why the last one failed.
        last: LinkError,
    },
    /// The link ended, and its messages are not to be sent again ([`Resend::Never`](super::Resend::Never)).
    #[error("the link ended: {0}")]
    Interrupted(LinkError),
}

impl ClientError {
    /// Whether a new client, or a new link, may succeed without anybody changing anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Closed | Self::NoAddress => false,
            Self::GaveUp { last, .. } => last.is_retryable(),
            Self::Link { last, .. } => last.is_retryable(),
            Self::Interrupted(_) => true,
        }
    }
}

/// Why there is no outcome of a message.
#[derive(Debug, Clone, thiserror::Error)]
#[must_use = "a message without an outcome may be lost"]
#[non_exhaustive]
pub enum RecoveringSendError {
    /// It was never handed to a connection: the peer does not have it.
    #[error("not sent: {0}")]
    NotSent(ClientError),
    /// It was handed to a connection this many times, but no outcome came: the peer may have it, or not.
    #[error("sent {times} times, but the outcome is unknown: {cause}")]
    Unknown {
        /// How often it was handed over.
        times: u32,
        /// Why it is not sent again.
        cause: ClientError,
    },
    /// The message is larger than the peer accepts on this link.
    #[error("the message has {size} octets, the peer accepts {limit}")]
    TooLarge {
        /// Octets of the encoded message.
        size: u64,
        /// The peer's max-message-size.
        limit: u64,
    },
    /// What goes with the message is not as the protocol wants it, such as a transaction-id of more than 32 octets.
    #[error("the message cannot be sent: {0}")]
    Invalid(&'static str),
}

impl RecoveringSendError {
    /// Whether sending it again, with a new client or a new link, may succeed. After
    /// [`Unknown`](Self::Unknown) it may duplicate.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotSent(error) | Self::Unknown { cause: error, .. } => error.is_retryable(),
            Self::TooLarge { .. } | Self::Invalid(_) => false,
        }
    }
}

/// What the peer did with a message, and how often it was sent to find out.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a message is stored only if its outcome is accepted"]
pub struct Receipt {
    pub(crate) outcome: Outcome,
    pub(crate) times: u32,
}

impl Receipt {
    /// The peer's outcome.
    pub const fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// The peer's outcome.
    pub fn into_outcome(self) -> Outcome {
        self.outcome
    }

    /// Success only for [`Outcome::Accepted`].
    ///
    /// # Errors
    /// The outcome itself, if it is any other.
    pub fn accepted(self) -> Result<(), NotAccepted> {
        self.outcome.accepted()
    }

    /// How often it was sent again because a connection or a link ended before its outcome came.
    #[must_use]
    pub const fn resent(&self) -> u32 {
        self.times.saturating_sub(1)
    }

    /// Whether the peer may have the message more than once.
    #[must_use]
    pub const fn is_maybe_duplicated(&self) -> bool {
        self.times > 1
    }
}
