//! Requests to the broker's management node, and what becomes of those that help nobody.

use amqp_transport::management::{Refusal, RequestError};

pub(crate) use amqp_transport::management::{HttpManagement, Reply};

/// A request without an answer that helps.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ManagementError {
    #[error("the broker answered {status}: {text}")]
    Refused { status: u16, text: String },
    #[error("no answer from the broker's management node: {0}")]
    Failed(String),
}

impl From<Refusal> for ManagementError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused { status: refusal.status, text: refusal.description }
    }
}

impl From<RequestError> for ManagementError {
    fn from(error: RequestError) -> Self {
        Self::Failed(error.to_string())
    }
}
