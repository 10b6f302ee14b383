//! Idle time-outs, one for each direction (§2.4.5).

use std::time::{Duration, Instant};

/// The two clocks of a connection: when something must be sent, and when silence has lasted too long.
#[derive(Debug)]
pub(crate) struct Idle {
    last_received: Instant,
    last_sent: Instant,
    /// Silence that is not tolerated: twice what this side announced.
    patience: Option<Duration>,
    /// Half of what the peer announced, so that one lost opportunity does no harm.
    heartbeat: Option<Duration>,
}

/// What stands in open.idle-time-out for this limit: whole milliseconds, and at least one, as what is less than can be said
/// is not nothing.
pub(crate) fn announced(limit: Duration) -> Option<u32> {
    (!limit.is_zero()).then(|| u32::try_from(limit.as_millis()).unwrap_or(u32::MAX).max(1))
}

impl Idle {
    pub(crate) fn new(now: Instant, announced: Duration) -> Self {
        let patience =
            (!announced.is_zero()).then(|| announced.max(Duration::from_millis(1)).saturating_mul(2));
        Self { last_received: now, last_sent: now, patience, heartbeat: None }
    }

    /// The peer's open.idle-time-out in milliseconds; zero means none.
    pub(crate) fn on_open(&mut self, idle_time_out: Option<u32>) {
        let announced = idle_time_out.filter(|milliseconds| *milliseconds > 0);
        self.heartbeat = announced.map(|milliseconds| Duration::from_millis(u64::from(milliseconds)) / 2);
    }

    /// Octets count as life, not whole frames: a large frame on a slow line is no silence.
    pub(crate) const fn on_received(&mut self, now: Instant) {
        self.last_received = now;
    }

    pub(crate) const fn on_sent(&mut self, now: Instant) {
        self.last_sent = now;
    }

    pub(crate) fn is_peer_silent(&self, now: Instant) -> bool {
        self.patience.is_some_and(|patience| now.saturating_duration_since(self.last_received) >= patience)
    }

    pub(crate) fn is_heartbeat_due(&self, now: Instant) -> bool {
        self.heartbeat.is_some_and(|heartbeat| now.saturating_duration_since(self.last_sent) >= heartbeat)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let silent = self.patience.and_then(|patience| self.last_received.checked_add(patience));
        let heartbeat = self.heartbeat.and_then(|heartbeat| self.last_sent.checked_add(heartbeat));
        [silent, heartbeat].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // §2.4.5
    #[test]
    fn something_is_sent_at_half_of_the_peers_time_out() {
        let start = Instant::now();
        let mut idle = Idle::new(start, Duration::ZERO);
        assert_eq!(idle.deadline(), None);
        idle.on_open(Some(1000));
        assert!(!idle.is_heartbeat_due(start + Duration::from_millis(499)));
        assert!(idle.is_heartbeat_due(start + Duration::from_millis(500)));
        idle.on_sent(start + Duration::from_millis(400));
        assert!(!idle.is_heartbeat_due(start + Duration::from_millis(500)));
    }

    #[test]
    fn a_time_out_of_zero_is_none() {
        let start = Instant::now();
        let mut idle = Idle::new(start, Duration::ZERO);
        idle.on_open(Some(0));
        assert_eq!(idle.deadline(), None);
    }

    // §2.4.5
    #[test]
    fn a_time_out_below_a_millisecond_is_not_announced_as_none() {
        assert_eq!(announced(Duration::from_micros(1)), Some(1));
        assert_eq!(announced(Duration::from_micros(2_999)), Some(2));
        assert_eq!((announced(Duration::ZERO), announced(Duration::MAX)), (None, Some(u32::MAX)));
        let start = Instant::now();
        let idle = Idle::new(start, Duration::from_micros(1));
        assert!(!idle.is_peer_silent(start + Duration::from_micros(1_999)));
        assert!(idle.is_peer_silent(start + Duration::from_millis(2)));
    }

    #[test]
    fn a_time_out_beyond_what_the_clock_can_tell_is_none() {
        let start = Instant::now();
        let idle = Idle::new(start, Duration::MAX);
        assert_eq!((idle.deadline(), idle.is_peer_silent(start)), (None, false));
    }

    #[test]
    fn the_peer_is_silent_after_twice_what_was_announced() {
        let start = Instant::now();
        let idle = Idle::new(start, Duration::from_secs(30));
        assert!(!idle.is_peer_silent(start + Duration::from_secs(59)));
        assert!(idle.is_peer_silent(start + Duration::from_secs(60)));
    }
}
