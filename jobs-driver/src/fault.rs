//! Which errors of the broker pass by themselves, and which need a person.

use amqp_codec::transport::{ErrorInfo, conditions};
use amqp_transport::LinkError;

/// Why something on the broker did not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It may work next time, perhaps on a new connection.
    Passing(String),
    /// Somebody has to change something first.
    Lasting(String),
}

impl Fault {
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Passing(reason) | Self::Lasting(reason) => reason,
        }
    }
}

/// Whether the error says that the thing it is about is not there.
pub(crate) fn is_missing(error: &LinkError) -> bool {
    error.remote_error().is_some_and(|error| {
        error.condition == conditions::NOT_FOUND || error.condition == conditions::RESOURCE_DELETED
    })
}

/// Classifies what a link ended with. `missing` is what to say when its node does not exist.
pub(crate) fn link_fault(error: &LinkError, missing: impl FnOnce() -> String) -> Fault {
    if is_missing(error) {
        return Fault::Lasting(missing());
    }
    match error.remote_error() {
        Some(info) if is_lasting(info) => Fault::Lasting(error.to_string()),
        _ => Fault::Passing(error.to_string()),
    }
}

fn is_lasting(error: &ErrorInfo) -> bool {
    let text = error.description.as_deref().unwrap_or_default();
    let condition = &error.condition;
    if *condition == conditions::PRECONDITION_FAILED {
        // RabbitMQ 3 says so when a job took longer than its consumer time-out; a new link is all it takes.
        return !text.contains("delivery acknowledgement");
    }
    [
        conditions::INVALID_FIELD,
        conditions::NOT_IMPLEMENTED,
        conditions::NOT_ALLOWED,
        conditions::UNAUTHORIZED_ACCESS,
        conditions::DECODE_ERROR,
        conditions::MESSAGE_SIZE_EXCEEDED,
    ]
    .contains(condition)
}

#[cfg(test)]
mod tests {
    use amqp_transport::SessionError;

    use super::*;

    fn refused(condition: amqp_codec::types::Symbol, text: &str) -> LinkError {
        LinkError::Refused(Some(ErrorInfo::new(condition, text.to_owned())))
    }

    #[test]
    fn conditions_are_told_apart() {
        let missing = || "make it".to_owned();
        assert_eq!(
            link_fault(&refused(conditions::NOT_FOUND, "no queue"), missing),
            Fault::Lasting("make it".into())
        );
        let ended = LinkError::Session(SessionError::EndedByPeer(Some(ErrorInfo::new(
            conditions::NOT_FOUND,
            "no queue".to_owned(),
        ))));
        assert_eq!(link_fault(&ended, missing), Fault::Lasting("make it".into()));
        for silent in [LinkError::Timeout("attaching"), SessionError::Timeout("beginning").into()] {
            assert!(matches!(link_fault(&silent, missing), Fault::Passing(_)), "{silent}");
        }
        for (condition, text, lasting) in [
            (conditions::UNAUTHORIZED_ACCESS, "", true),
            (conditions::INVALID_FIELD, "", true),
            (conditions::INTERNAL_ERROR, "", false),
            (conditions::RESOURCE_LOCKED, "", false),
            (conditions::DETACH_FORCED, "", false),
            (conditions::PRECONDITION_FAILED, "different arguments", true),
            (conditions::PRECONDITION_FAILED, "delivery acknowledgement on channel 1 timed out", false),
        ] {
            let fault = link_fault(&refused(condition.clone(), text), missing);
            assert_eq!(matches!(fault, Fault::Lasting(_)), lasting, "{condition}");
        }
        assert!(matches!(link_fault(&LinkError::DetachedByPeer(None), missing), Fault::Passing(_)));
    }
}
