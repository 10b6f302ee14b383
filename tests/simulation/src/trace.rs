//! What happened, line by line: written only when somebody wants to read it.

use amqp_codec::transport::Performative;
use std::fmt::Debug;
use std::time::{Duration, Instant};

/// The two ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Who {
    /// The one that connects.
    Client,
    /// The one that is connected to.
    Listener,
}

impl Who {
    /// Both ends.
    pub const BOTH: [Self; 2] = [Self::Client, Self::Listener];

    /// The other end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Listener,
            Self::Listener => Self::Client,
        }
    }

    /// The place of this end in a pair.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Client => 0,
            Self::Listener => 1,
        }
    }
}

/// The lines of one run.
#[derive(Debug)]
pub struct Trace {
    is_on: bool,
    start: Instant,
    /// The time of the run.
    pub now: Instant,
    /// The number of the step.
    pub step: u32,
    lines: Vec<String>,
}

impl Trace {
    pub(crate) fn new(is_on: bool, start: Instant) -> Self {
        Self { is_on, start, now: start, step: 0, lines: Vec::new() }
    }

    /// Virtual time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.now.saturating_duration_since(self.start)
    }

    /// Adds a line about one end, or about the network.
    pub(crate) fn note(&mut self, who: Option<Who>, line: impl FnOnce() -> String) {
        if self.is_on {
            let who = match who {
                Some(Who::Client) => "client  ",
                Some(Who::Listener) => "listener",
                None => "network ",
            };
            let line = format!("{:>5} {:>9.3}s {who} {}", self.step, self.elapsed().as_secs_f64(), line());
            self.lines.push(line);
        }
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines
    }
}

/// A performative on one line, without the fields that say nothing.
pub(crate) fn show(channel: u16, performative: &Performative, payload: usize) -> String {
    let text = match performative {
        Performative::Open(open) => terse(open),
        Performative::Begin(begin) => terse(begin),
        Performative::Attach(attach) => terse(attach),
        Performative::Flow(flow) => terse(flow),
        Performative::Transfer(transfer) => terse(transfer),
        Performative::Disposition(disposition) => terse(disposition),
        Performative::Detach(detach) => terse(detach),
        Performative::End(end) => terse(end),
        Performative::Close(close) => terse(close),
    };
    let payload = if payload > 0 { format!(" + {payload} octets") } else { String::new() };
    format!("#{channel} {text}{payload}")
}

fn terse(shown: &impl Debug) -> String {
    let text = format!("{shown:?}");
    let (name, fields) = text.split_once(" { ").unwrap_or((&text, ""));
    let fields: Vec<_> = fields
        .split(", ")
        .map(|field| field.trim_end_matches([' ', '}']))
        .filter(|field| ![": None", ": []", ": false"].iter().any(|empty| field.ends_with(empty)))
        .collect();
    format!("{name} {}", fields.join(", ").replace("Some(", "("))
}
