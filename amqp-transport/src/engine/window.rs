//! Session windows (§2.5.6): how many transfer frames each side may still send. Arithmetic only.

use super::serial::Serial;

/// The peer named a transfer-id that was never sent: its state and ours cannot be reconciled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AheadOfUs {
    /// What the peer expects next.
    pub(crate) next_incoming_id: Serial,
    /// What this side would send next.
    pub(crate) next_outgoing_id: Serial,
}

/// What this side may send: follows the peer's incoming window.
#[derive(Debug, Clone)]
pub(crate) struct OutgoingWindow {
    initial_outgoing_id: Serial,
    next_outgoing_id: Serial,
    remote_incoming_window: u32,
}

impl OutgoingWindow {
    pub(crate) const fn new(initial_outgoing_id: Serial) -> Self {
        Self { initial_outgoing_id, next_outgoing_id: initial_outgoing_id, remote_incoming_window: 0 }
    }

    pub(crate) const fn next_outgoing_id(&self) -> Serial {
        self.next_outgoing_id
    }

    /// Transfer frames that may still be sent.
    pub(crate) const fn remaining(&self) -> u32 {
        self.remote_incoming_window
    }

    pub(crate) const fn is_open(&self) -> bool {
        self.remote_incoming_window > 0
    }

    /// The peer's begin announces its window; it counts from our first transfer.
    pub(crate) fn on_begin(&mut self, incoming_window: u32) {
        let outstanding = self.next_outgoing_id.since(self.initial_outgoing_id);
        self.remote_incoming_window = incoming_window.saturating_sub(outstanding);
    }

    /// A flow restates the window. `next_incoming_id` is absent if the peer had not seen our begin yet.
    pub(crate) fn on_flow(
        &mut self,
        next_incoming_id: Option<Serial>,
        incoming_window: u32,
    ) -> Result<(), AheadOfUs> {
        let next_incoming_id = next_incoming_id.unwrap_or(self.initial_outgoing_id);
        if next_incoming_id.is_after(self.next_outgoing_id) {
            return Err(AheadOfUs { next_incoming_id, next_outgoing_id: self.next_outgoing_id });
        }
        // Windows reach 2³²−1, so this is done without signed arithmetic: what is under way is subtracted,
        // and 0 only means that the flow crossed our transfers.
        let outstanding = self.next_outgoing_id.since(next_incoming_id);
        self.remote_incoming_window = incoming_window.saturating_sub(outstanding);
        Ok(())
    }

    /// One transfer frame leaves. Call only while the window is open.
    pub(crate) fn on_send(&mut self) {
        debug_assert!(self.is_open(), "a transfer left while the session window was closed");
        self.next_outgoing_id = self.next_outgoing_id.plus(1);
        self.remote_incoming_window = self.remote_incoming_window.saturating_sub(1);
    }
}

/// What the peer may send: the window granted by this side.
#[derive(Debug, Clone)]
pub(crate) struct IncomingWindow {
    next_incoming_id: Option<Serial>,
    size: u32,
    /// What a flow opens the window to: `size`, or less while octets wait that nobody reads.
    limit: u32,
    /// What the last flow announced, less what came since.
    announced: u32,
    /// What the peer may still send by any flow that may be under way: a window that was made smaller leaves this
    /// as it was.
    allowed: u32,
}

impl IncomingWindow {
    /// `size` is the number of frames the peer may have under way; at least 1.
    pub(crate) const fn new(size: u32) -> Self {
        Self { next_incoming_id: None, size, limit: size, announced: size, allowed: size }
    }

    /// From the next flow on the peer may have this many frames under way, at most the window's size.
    pub(crate) fn set_limit(&mut self, limit: u32) {
        self.limit = limit.min(self.size);
    }

    /// Absent until the peer's begin was seen, as flow.next-incoming-id must be.
    pub(crate) const fn next_incoming_id(&self) -> Option<Serial> {
        self.next_incoming_id
    }

    pub(crate) const fn remaining(&self) -> u32 {
        self.announced
    }

    pub(crate) const fn on_begin(&mut self, next_outgoing_id: Serial) {
        self.next_incoming_id = Some(next_outgoing_id);
    }

    /// Each flow of the peer restates what it will send next.
    pub(crate) const fn on_flow(&mut self, next_outgoing_id: Serial) {
        self.next_incoming_id = Some(next_outgoing_id);
    }

    /// One transfer frame arrived; false if the window was closed (`amqp:session:window-violation`).
    pub(crate) fn on_transfer(&mut self) -> bool {
        if let Some(id) = self.next_incoming_id {
            self.next_incoming_id = Some(id.plus(1));
        }
        let was_open = self.allowed > 0;
        self.allowed = self.allowed.saturating_sub(1);
        self.announced = self.announced.saturating_sub(1);
        was_open
    }

    /// Whether half of the window is used, so that a flow should open it again. Half rather than each
    /// frame: one flow then serves many transfers, and the peer never runs dry while it is on its way.
    pub(crate) const fn needs_flow(&self) -> bool {
        self.announced <= self.limit / 2 && self.announced < self.limit
    }

    /// A flow is about to be sent: the window is whole again. Frames are counted, not settlements, so an
    /// old unsettled delivery never blocks the session.
    pub(crate) fn reopen(&mut self) {
        self.announced = self.limit;
        self.allowed = self.allowed.max(self.limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // §2.5.6
    #[test]
    fn a_flow_that_crossed_transfers_grants_only_what_is_left() {
        let mut window = OutgoingWindow::new(Serial(u32::MAX - 1));
        window.on_begin(10);
        for _ in 0..4 {
            window.on_send();
        }
        window.on_flow(Some(Serial(u32::MAX)), 10).unwrap();
        assert_eq!(window.remote_incoming_window, 7);
        window.on_flow(Some(Serial(u32::MAX)), 2).unwrap();
        assert!(!window.is_open());
    }

    #[test]
    fn the_largest_window_does_not_overflow() {
        let mut window = OutgoingWindow::new(Serial(u32::MAX));
        window.on_begin(u32::MAX);
        window.on_send();
        window.on_flow(Some(Serial(u32::MAX)), u32::MAX).unwrap();
        assert_eq!(window.remote_incoming_window, u32::MAX - 1);
    }

    #[test]
    fn a_flow_without_next_incoming_id_counts_from_our_begin() {
        let mut window = OutgoingWindow::new(Serial(5));
        window.on_begin(3);
        window.on_send();
        window.on_flow(None, 3).unwrap();
        assert_eq!(window.remote_incoming_window, 2);
    }

    #[test]
    fn a_flow_ahead_of_what_was_sent_is_a_violation() {
        let mut window = OutgoingWindow::new(Serial(u32::MAX));
        assert!(window.on_flow(Some(Serial(0)), 1).is_err());
    }

    #[test]
    fn a_transfer_beyond_the_granted_window_is_noticed() {
        let mut window = IncomingWindow::new(1);
        window.on_begin(Serial(u32::MAX));
        assert!(window.on_transfer());
        assert!(!window.on_transfer());
        assert_eq!(window.next_incoming_id(), Some(Serial(1)));
    }

    proptest! {
        // Both sides back to back: the sender's idea never exceeds what the receiver granted.
        #[test]
        fn the_sender_never_exceeds_the_receivers_window(
            start: u32, size in 1u32..20, steps in proptest::collection::vec(0u8..3, 1..200)
        ) {
            let mut out = OutgoingWindow::new(Serial(start));
            let mut inc = IncomingWindow::new(size);
            inc.on_begin(Serial(start));
            out.on_begin(size);
            let (mut wire, mut flows) = (0u32, std::collections::VecDeque::new());
            for step in steps {
                match step {
                    0 if out.is_open() => { out.on_send(); wire += 1; }
                    1 if wire > 0 => {
                        wire -= 1;
                        prop_assert!(inc.on_transfer());
                        if inc.needs_flow() {
                            inc.reopen();
                            flows.push_back((inc.next_incoming_id(), inc.remaining()));
                        }
                    }
                    2 => if let Some((id, window)) = flows.pop_front() {
                        out.on_flow(id, window).unwrap();
                    },
                    _ => {}
                }
            }
        }
    }
}
