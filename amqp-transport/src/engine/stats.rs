//! Counters: what a connection, a session and a link carried so far, and what they hold now. Counting costs an addition
//! where something happens; looking costs a copy.

use super::link::Kind;
use super::{Engine, LinkKey, SessionKey};
use std::fmt;
use std::time::{Duration, Instant};

/// Durations up to this many microseconds have a bucket each.
const EXACT: u32 = 8;

/// Buckets between a power of two and the next: each is at most a quarter wider than its lower bound.
const PER_OCTAVE: u32 = 4;

/// Buckets for every duration that 32 bits of microseconds hold.
const BUCKETS: usize = 8 + 29 * 4;

/// What a connection carried so far, and what it holds now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionStats {
    /// Frames received, SASL's and heartbeats included.
    pub frames_in: u64,
    /// Frames sent or about to be, SASL's and heartbeats included.
    pub frames_out: u64,
    /// Octets of AMQP received, without what TLS and the like add.
    pub octets_in: u64,
    /// Octets of AMQP sent or about to be.
    pub octets_out: u64,
    /// Octets that wait for the socket.
    pub queued_octets: usize,
    /// Octets of messages of which frames are still missing.
    pub partial_octets: usize,
    /// Sessions that have not ended.
    pub sessions: usize,
    /// Links that have not ended.
    pub links: usize,
    /// How long it took from a message's first frame being queued for the socket to its outcome.
    pub confirm_latency: Latency,
}

/// What a session carried so far, and what it holds now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionStats {
    /// Transfer frames received.
    pub transfers_in: u64,
    /// Transfer frames sent or about to be.
    pub transfers_out: u64,
    /// Transfer frames that the peer may still send.
    pub incoming_window: u32,
    /// Transfer frames that may still be sent.
    pub outgoing_window: u32,
    /// Deliveries received that are not settled.
    pub unsettled_in: usize,
    /// Deliveries sent that are not settled.
    pub unsettled_out: usize,
    /// Links that have not ended.
    pub links: usize,
}

/// What a link carried so far, and what it holds now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkStats {
    /// Deliveries of which a frame was sent, or that were received whole.
    pub deliveries: u64,
    /// Octets of messages sent or received.
    pub octets: u64,
    /// Deliveries that may still be sent or received.
    pub credit: u32,
    /// Deliveries that were handed over and not sent whole, or received and not taken.
    pub queued: usize,
    /// Deliveries sent or received that are not settled.
    pub unsettled: usize,
}

/// What a link carried so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Traffic {
    pub(crate) deliveries: u64,
    pub(crate) octets: u64,
}

/// What a connection carried so far, and the time as it was when the engine was last told.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) frames_in: u64,
    pub(crate) octets_in: u64,
    start: Instant,
    /// Since the start, modulo 2^32.
    micros: u32,
    /// Most connections never send anything that is confirmed.
    latency: Option<Box<Latency>>,
}

impl Counters {
    pub(crate) const fn new(start: Instant) -> Self {
        Self { frames_in: 0, octets_in: 0, start, micros: 0, latency: None }
    }

    /// Remembers the time for what is counted until the next call.
    pub(crate) fn tick(&mut self, now: Instant) {
        let micros = now.saturating_duration_since(self.start).as_micros() & u128::from(u32::MAX);
        self.micros = u32::try_from(micros).unwrap_or(u32::MAX);
    }

    /// The time, for [`Counters::confirmed`].
    pub(crate) const fn micros(&self) -> u32 {
        self.micros
    }

    /// The outcome came of what was sent at that time.
    pub(crate) fn confirmed(&mut self, sent_at: u32) {
        self.latency.get_or_insert_default().record(self.micros.wrapping_sub(sent_at));
    }
}

/// A histogram of durations in buckets that grow with them: none is wider than a quarter of what it holds. Durations
/// count modulo 2^32 microseconds, 71 minutes.
#[derive(Clone, PartialEq, Eq)]
pub struct Latency {
    buckets: [u64; BUCKETS],
    count: u64,
    sum: u64,
    longest: u32,
}

impl Default for Latency {
    fn default() -> Self {
        Self { buckets: [0; BUCKETS], count: 0, sum: 0, longest: 0 }
    }
}

impl fmt::Debug for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latency")
            .field("count", &self.count)
            .field("mean", &self.mean())
            .field("median", &self.quantile(50))
            .field("p99", &self.quantile(99))
            .field("longest", &self.longest())
            .finish()
    }
}

/// The bucket of a duration.
fn bucket_of(micros: u32) -> usize {
    if micros < EXACT {
        return super::index(micros);
    }
    let octave = micros.ilog2();
    let step = (micros >> (octave - 2)) & (PER_OCTAVE - 1);
    super::index(EXACT + (octave - 3) * PER_OCTAVE + step)
}

/// The longest duration in a bucket, in microseconds.
fn upper_bound(bucket: usize) -> u64 {
    let bucket = u32::try_from(bucket).unwrap_or(u32::MAX);
    if bucket < EXACT {
        return bucket.into();
    }
    let (octave, step) = ((bucket - EXACT) / PER_OCTAVE + 3, (bucket - EXACT) % PER_OCTAVE);
    (u64::from(PER_OCTAVE + step + 1) << (octave - 2)) - 1
}

impl Latency {
    fn record(&mut self, micros: u32) {
        if let Some(bucket) = self.buckets.get_mut(bucket_of(micros)) {
            *bucket += 1;
        }
        self.count += 1;
        self.sum = self.sum.wrapping_add(micros.into());
        self.longest = self.longest.max(micros);
    }

    /// How many durations were counted.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// All of them together.
    #[must_use]
    pub const fn sum(&self) -> Duration {
        Duration::from_micros(self.sum)
    }

    /// Their mean; `None` if there is none.
    #[must_use]
    pub const fn mean(&self) -> Option<Duration> {
        match self.sum.checked_div(self.count) {
            Some(mean) => Some(Duration::from_micros(mean)),
            None => None,
        }
    }

    /// The longest; zero if there is none.
    #[must_use]
    pub fn longest(&self) -> Duration {
        Duration::from_micros(self.longest.into())
    }

    /// What this many of a hundred did not exceed, as the upper bound of its bucket: 50 is the median. `None` if there
    /// is no duration.
    #[must_use]
    pub fn quantile(&self, percent: u8) -> Option<Duration> {
        let wanted = (u128::from(self.count) * u128::from(percent.min(100))).div_ceil(100).max(1);
        let mut seen = 0_u128;
        let bucket = self.buckets.iter().position(|count| {
            seen += u128::from(*count);
            seen >= wanted
        })?;
        Some(Duration::from_micros(upper_bound(bucket).min(self.longest.into())))
    }

    /// Every bucket that holds something, in order: the longest duration it is for, and how many it holds.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        let held = self.buckets.iter().enumerate().filter(|(_, count)| **count > 0);
        held.map(|(bucket, count)| (Duration::from_micros(upper_bound(bucket)), *count))
    }
}

impl Engine {
    /// What the connection carried so far, and what it holds now.
    #[must_use]
    pub fn stats(&self) -> ConnectionStats {
        let counters = &self.io.counters;
        ConnectionStats {
            frames_in: counters.frames_in,
            frames_out: self.io.outbox.frames(),
            octets_in: counters.octets_in,
            octets_out: self.io.outbox.octets(),
            queued_octets: self.io.outbox.len(),
            partial_octets: self.io.partial_bytes,
            sessions: self.sessions.iter().filter(|(_, session)| session.end.is_none()).count(),
            links: self.links.iter().filter(|(_, link)| link.end.is_none()).count(),
            confirm_latency: counters.latency.as_deref().cloned().unwrap_or_default(),
        }
    }

    /// What a session carried so far, and what it holds now; all zero once it is forgotten.
    #[must_use]
    pub fn session_stats(&self, key: SessionKey) -> SessionStats {
        let links = self.links.iter().filter(|(_, link)| link.session == key && link.end.is_none()).count();
        self.sessions.get(key.0).map(|session| session.stats(links)).unwrap_or_default()
    }

    /// What a link carried so far, and what it holds now; all zero once it is forgotten.
    #[must_use]
    pub fn link_stats(&self, key: LinkKey) -> LinkStats {
        let Some(link) = self.links.get(key.0) else { return LinkStats::default() };
        let (credit, queued) = match &link.kind {
            Kind::Sender(sender) => (sender.credit.link_credit(), sender.queue.len()),
            Kind::Receiver(receiver) => (receiver.credit.link_credit(), receiver.inbox.len()),
        };
        LinkStats {
            deliveries: link.traffic.deliveries,
            octets: link.traffic.octets,
            credit: if link.end.is_none() { credit } else { 0 },
            queued,
            unsettled: self.sessions.get(link.session.0).map_or(0, |session| session.unsettled_on(key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_histogram_tells_what_it_was_told() {
        let mut latency = Latency::default();
        assert_eq!((latency.mean(), latency.quantile(50), latency.count()), (None, None, 0));
        for micros in [1, 2, 3, 100, 1000] {
            latency.record(micros);
        }
        assert_eq!(latency.count(), 5);
        assert_eq!(latency.sum(), Duration::from_micros(1106));
        assert_eq!(latency.mean(), Some(Duration::from_micros(221)));
        assert_eq!(latency.quantile(50), Some(Duration::from_micros(3)));
        assert_eq!(latency.quantile(80), Some(Duration::from_micros(111)));
        assert_eq!(latency.quantile(100), Some(Duration::from_micros(1000)));
        assert_eq!(latency.longest(), Duration::from_micros(1000));
        let buckets: Vec<_> = latency.buckets().map(|(upper, count)| (upper.as_micros(), count)).collect();
        assert_eq!(buckets, [(1, 1), (2, 1), (3, 1), (111, 1), (1023, 1)]);
    }

    proptest! {
        #[test]
        fn every_duration_has_a_bucket_at_most_a_quarter_wider_than_it_is(micros: u32) {
            let bucket = bucket_of(micros);
            prop_assert!(bucket < BUCKETS);
            let upper = upper_bound(bucket);
            prop_assert!(upper >= u64::from(micros));
            prop_assert!(upper - u64::from(micros) <= u64::from(micros) / 4);
            prop_assert!(bucket == 0 || upper_bound(bucket - 1) < u64::from(micros));
        }
    }
}
