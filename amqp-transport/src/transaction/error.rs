//! Why a transaction did not come to what was wanted.

use crate::error::{LinkError, Outcome, SendError, SettleError, Shown};
use amqp_codec::transport::ErrorInfo;
#[cfg(feature = "tokio")]
use amqp_codec::transport::conditions;

/// Why a transaction was not declared, or did not take effect. Only after [`TransactionError::Unknown`] it may have.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// The coordinator refused to declare one.
    #[error("the coordinator declares no transaction: {}", Shown(.0.as_ref()))]
    NotDeclared(Option<ErrorInfo>),
    /// The link to the coordinator ended before the transaction was discharged: it is rolled back (§4.3).
    #[error("rolled back, the link to the coordinator ended: {0}")]
    Ended(LinkError),
    /// The link to the coordinator ended after the discharge was sent and before its answer came, or the coordinator did not
    /// answer within [`Limits::answer`](crate::Limits::answer) ([`LinkError::Timeout`]): whether the transaction was
    /// committed is not known.
    #[error("it is not known whether the transaction was committed: {0}")]
    Unknown(LinkError),
    /// The coordinator did not answer a declaration or a rollback, or gave no credit for a discharge, within
    /// [`Limits::answer`](crate::Limits::answer). What was done within the transaction has no effect.
    #[error("the coordinator did not answer in time while {0}")]
    Timeout(&'static str),
    /// The coordinator rolled it back (`amqp:transaction:rollback`), or the commit failed for the reason given.
    #[error("rolled back: {}", Shown(.0.as_ref()))]
    RolledBack(Option<ErrorInfo>),
    /// It took too long, and was rolled back (`amqp:transaction:timeout`).
    #[error("rolled back, it took too long: {}", Shown(Some(.0)))]
    TimedOut(ErrorInfo),
    /// The coordinator does not know it any more (`amqp:transaction:unknown-id`): it is rolled back.
    #[error("the coordinator does not know the transaction: {}", Shown(Some(.0)))]
    UnknownId(ErrorInfo),
    /// A message that was posted may not have reached the peer, since its link ended: the transaction was rolled back.
    #[error("rolled back, a message did not reach the peer: {0}")]
    PostLost(LinkError),
    /// A message in parts was not finished before the commit: the transaction was rolled back.
    #[error("rolled back, a message in parts was not finished")]
    Unfinished,
    /// The link is on another session (or connection) than the controller, and this coordinator wants one session for a
    /// transaction (§4.4.1).
    #[error("the link is not on the session of the transaction's controller")]
    OtherSession,
    /// The message was not sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The verdict could not be given.
    #[error(transparent)]
    Settle(#[from] SettleError),
    /// The coordinator answered with an outcome that answers nothing.
    #[error("the coordinator answered with an unexpected outcome: {0}")]
    Unexpected(Outcome),
}

impl TransactionError {
    /// Whether the same work, done again in a new transaction, may succeed. After [`TransactionError::Unknown`] it may
    /// be done twice.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotDeclared(_) | Self::OtherSession | Self::Unexpected(_) | Self::Unfinished => false,
            Self::Ended(error) | Self::Unknown(error) | Self::PostLost(error) => error.is_retryable(),
            Self::RolledBack(_)
            | Self::TimedOut(_)
            | Self::Timeout(_)
            | Self::UnknownId(_)
            | Self::Settle(_) => true,
            Self::Send(error) => error.is_retryable(),
        }
    }

    /// What a coordinator's refusal to commit means (§4.5.8).
    #[cfg(feature = "tokio")]
    pub(crate) fn of_refusal(error: Option<ErrorInfo>) -> Self {
        match error {
            Some(error) if error.condition == conditions::TRANSACTION_TIMEOUT => Self::TimedOut(error),
            Some(error) if error.condition == conditions::TRANSACTION_UNKNOWN_ID => Self::UnknownId(error),
            error => Self::RolledBack(error),
        }
    }

    /// What it means that the discharge has no outcome. A coordinator may say by a detach that it rolled back.
    #[cfg(feature = "tokio")]
    pub(crate) fn of_loss(error: SendError) -> Self {
        const CONDITIONS: [&str; 3] =
            ["amqp:transaction:rollback", "amqp:transaction:timeout", "amqp:transaction:unknown-id"];
        match error {
            SendError::Unknown(LinkError::DetachedByPeer(Some(error)))
                if CONDITIONS.contains(&error.condition.as_str()) =>
            {
                Self::of_refusal(Some(error))
            }
            SendError::Unknown(error) => Self::Unknown(error),
            SendError::NotSent(error) => Self::Ended(error),
            error => Self::Send(error),
        }
    }
}
