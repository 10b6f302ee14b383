//! What clients do, and the rows of the figures.

use crate::Result;
use clap::ValueEnum;

/// Deliveries that a receiver lets come in the rows of small bodies.
pub(super) const CREDIT: usize = 1000;

/// Octets of a large body.
pub(super) const LARGE: usize = 64 * 1024;

/// Which way messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// Sent unsettled, and counted once accepted.
    Send,
    /// Received, read and accepted one by one.
    Receive,
}

impl Way {
    /// As on a command line.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Receive => "receive",
        }
    }
}

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Which way messages go.
    pub way: Way,
    /// Octets of a body.
    pub octets: usize,
    /// Messages on their way at once: the credit of a receiver.
    pub in_flight: usize,
}

impl Work {
    /// Messages sent.
    pub(super) const fn send(octets: usize, in_flight: usize) -> Self {
        Self { way: Way::Send, octets, in_flight }
    }

    /// Messages received.
    pub(super) const fn receive(octets: usize, in_flight: usize) -> Self {
        Self { way: Way::Receive, octets, in_flight }
    }

    pub(super) fn name(self) -> String {
        let Self { octets, in_flight, .. } = self;
        match self.way {
            Way::Send => format!("send {octets} B, {in_flight} in flight"),
            Way::Receive => format!("receive {octets} B, credit {in_flight}"),
        }
    }

    /// Whether a message waits for the one before.
    pub(super) fn is_one_at_a_time(self) -> bool {
        self == Self::send(self.octets, 1)
    }
}

/// All rows.
pub(super) const ROWS: [Work; 12] = [
    Work::send(100, 1),
    Work::send(100, 10),
    Work::send(100, 1000),
    Work::send(1024, 1),
    Work::send(1024, 10),
    Work::send(1024, 1000),
    Work::receive(100, 10),
    Work::receive(100, CREDIT),
    Work::receive(1024, 10),
    Work::receive(1024, CREDIT),
    Work::send(LARGE, 100),
    Work::receive(LARGE, 100),
];

/// How long, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Seconds before anything is counted.
    pub warm_up: f64,
    /// Seconds that are measured.
    pub measured: f64,
    /// How often each client is measured, in turn; the median counts.
    pub(super) rounds: usize,
}

impl Timing {
    /// For figures. Node.js takes a second to compile what is hot.
    pub(super) const FULL: Self = Self { warm_up: 1.0, measured: 1.5, rounds: 3 };
    /// To see that all works.
    pub(super) const QUICK: Self = Self { warm_up: 0.1, measured: 0.3, rounds: 1 };

    /// Once, for so long.
    ///
    /// # Errors
    /// If a time is negative or no number.
    pub fn once(warm_up: f64, measured: f64) -> Result<Self> {
        if warm_up >= 0.0 && measured > 0.0 && warm_up + measured < 1e6 {
            return Ok(Self { warm_up, measured, rounds: 1 });
        }
        Err("seconds are positive numbers".into())
    }
}
