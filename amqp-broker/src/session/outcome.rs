//! The transport's words for outcomes and ends, in the queue's words.

use amqp_transport::{ConnectionError, LinkError, Outcome, SessionError};

use crate::queue::{Departure, Verdict};

/// What an outcome means for the message. One that this broker does not know is no verdict: the message is given back.
pub(crate) fn verdict(outcome: Outcome) -> Verdict {
    match outcome {
        Outcome::Accepted => Verdict::Accepted,
        Outcome::Rejected(error) => Verdict::Rejected(error),
        Outcome::Modified(modified) => Verdict::Modified(modified),
        _ => Verdict::Released,
    }
}

/// How a consumer left whose link ended with this error. Only a connection that broke counts against the messages that it
/// had: whoever detaches, ends or closes does so knowing what it holds.
pub(crate) const fn departure(error: &LinkError) -> Departure {
    match error {
        LinkError::Session(SessionError::Connection(
            ConnectionError::ClosedLocally | ConnectionError::ClosedByPeer(_),
        )) => Departure::Orderly,
        LinkError::Session(SessionError::Connection(_)) => Departure::Lost,
        _ => Departure::Orderly,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_broken_connection_counts_as_lost() {
        let connection = |error| LinkError::Session(SessionError::Connection(error));
        for orderly in [
            LinkError::DetachedByPeer(None),
            LinkError::DetachedLocally,
            LinkError::Session(SessionError::EndedByPeer(None)),
            connection(ConnectionError::ClosedByPeer(None)),
            connection(ConnectionError::ClosedLocally),
        ] {
            assert_eq!(departure(&orderly), Departure::Orderly, "{orderly}");
        }
        for lost in
            [connection(ConnectionError::IdleTimeout), connection(ConnectionError::Lost("reset".into()))]
        {
            assert_eq!(departure(&lost), Departure::Lost, "{lost}");
        }
    }
}
