//! What one end of a connection holds at a moment, for those who watch that it stays within bounds.

use super::Engine;
use super::link::Kind;

/// What an [`Engine`] holds at a moment. Everything in it is bounded by [`Limits`](super::Limits), by granted credit, or by
/// what the user hands over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Usage {
    /// Sessions, those included that have ended and are not forgotten.
    pub sessions: usize,
    /// Links, those included that have ended and are not forgotten.
    pub links: usize,
    /// Deliveries sent that are not settled.
    pub unsettled_sent: usize,
    /// Deliveries received that are not settled.
    pub unsettled_received: usize,
    /// Places in the tables of unsettled deliveries, gaps included.
    pub unsettled_places: usize,
    /// Deliveries handed over whose last frame has not left.
    pub waiting_to_send: usize,
    /// Octets of them, but for those that come in parts.
    pub waiting_bytes: usize,
    /// Deliveries received that nobody has taken.
    pub waiting_to_be_taken: usize,
    /// Octets of deliveries of which frames are missing.
    pub partial_bytes: usize,
    /// Octets of attaches of the peer.
    pub attach_bytes: usize,
    /// Octets of deliveries received in parts that nobody has read.
    pub unread_bytes: usize,
    /// Octets that wait to be written.
    pub queued_bytes: usize,
    /// Events that wait to be taken.
    pub events: usize,
}

impl Engine {
    /// Counts what is held. It looks at every session and link: meant for figures and tests, not for every frame.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let mut usage = Usage {
            sessions: self.sessions.len(),
            links: self.links.len(),
            waiting_bytes: self.io.waiting_bytes,
            partial_bytes: self.io.partial_bytes,
            attach_bytes: self.io.attach_bytes,
            queued_bytes: self.io.outbox.len(),
            events: self.io.events.len(),
            ..Usage::default()
        };
        for (_, session) in &self.sessions {
            session.count(&mut usage);
        }
        for (_, link) in &self.links {
            match &link.kind {
                Kind::Sender(sender) => usage.waiting_to_send += sender.queue.len(),
                Kind::Receiver(receiver) => usage.waiting_to_be_taken += receiver.inbox.len(),
            }
        }
        usage
    }
}
