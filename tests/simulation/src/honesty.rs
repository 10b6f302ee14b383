//! Why something may end between two honest engines: never because one of them broke a rule.

use amqp_codec::transport::{ErrorInfo, conditions};
use amqp_transport::{ConnectionError, LinkError, SessionError};

/// Two honest engines never end anything because the other one broke a rule.
pub(crate) fn check_connection_end(error: &ConnectionError) -> Result<(), String> {
    match error {
        ConnectionError::Violation(_) | ConnectionError::Header(_) => {
            Err(format!("a protocol error: {error}"))
        }
        ConnectionError::ClosedByPeer(Some(said)) if said.condition != conditions::DETACH_FORCED => {
            // What an idle peer says is told apart by whoever knows the clock.
            if said.condition == conditions::RESOURCE_LIMIT_EXCEEDED {
                Ok(())
            } else {
                Err(format!("a protocol error: {error}"))
            }
        }
        _ => Ok(()),
    }
}

pub(crate) fn check_session_end(error: &SessionError) -> Result<(), String> {
    match error {
        SessionError::Violation(_) | SessionError::TooMany(_) => Err(format!("a protocol error: {error}")),
        SessionError::EndedByPeer(Some(said)) if said.condition != conditions::DETACH_FORCED => {
            Err(format!("a protocol error: {error}"))
        }
        SessionError::Connection(error) => check_connection_end(error),
        _ => Ok(()),
    }
}

pub(crate) fn check_link_end(error: &LinkError) -> Result<(), String> {
    let is_honest = |said: &ErrorInfo| {
        let honest =
            [conditions::DETACH_FORCED, conditions::NOT_FOUND, conditions::NOT_ALLOWED, conditions::STOLEN];
        honest.contains(&said.condition)
    };
    match error {
        LinkError::Violation(_) => Err(format!("a protocol error: {error}")),
        LinkError::DetachedByPeer(Some(said)) | LinkError::Refused(Some(said)) if !is_honest(said) => {
            Err(format!("a protocol error: {error}"))
        }
        LinkError::Session(error) => check_session_end(error),
        _ => Ok(()),
    }
}
