//! Counts messages between the warm-up and the end, and the processor time that they took.

use super::work::Timing;
use crate::processor_seconds;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The clock is looked at once in so many messages, in every client alike: it is not free.
const LOOK: u32 = 64;

/// What was counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    pub(super) messages: f64,
    pub(super) seconds: f64,
    /// Of this process alone, user and system.
    pub(super) processor_seconds: f64,
}

impl Measured {
    /// As every client prints it.
    pub(super) fn json(self) -> Value {
        json!({
            "messages": self.messages,
            "seconds": self.seconds,
            "processor_seconds": self.processor_seconds,
        })
    }

    /// From what a client printed.
    pub(super) fn from_json(value: &Value) -> Option<Self> {
        let number = |key: &str| value.get(key)?.as_f64();
        Some(Self {
            messages: number("messages")?,
            seconds: number("seconds")?,
            processor_seconds: number("processor_seconds")?,
        })
    }
}

/// Counts messages.
pub(super) struct Meter {
    messages: u32,
    /// It ends with this message.
    last: u32,
    /// When the warm-up is over.
    begin: Instant,
    measured: Duration,
    /// Time, processor time and messages so far at the end of the warm-up.
    started: Option<(Instant, f64, u32)>,
}

impl Meter {
    /// Counts for some time.
    pub(super) fn timed(timing: Timing) -> Self {
        Self {
            messages: 0,
            last: u32::MAX,
            begin: Instant::now() + Duration::from_secs_f64(timing.warm_up),
            measured: Duration::from_secs_f64(timing.measured),
            started: None,
        }
    }

    /// Counts so many messages.
    pub(super) fn counted(messages: u32) -> Self {
        let now = Instant::now();
        Self {
            messages: 0,
            last: messages,
            begin: now,
            measured: Duration::MAX,
            started: Some((now, processor_seconds(), 0)),
        }
    }

    /// One more is done. Gives what was measured at the end.
    pub(super) fn tick(&mut self) -> Option<Measured> {
        self.messages += 1;
        if self.messages.is_multiple_of(LOOK) || self.messages == self.last { self.look() } else { None }
    }

    fn look(&mut self) -> Option<Measured> {
        let now = Instant::now();
        let Some((start, processor, messages)) = self.started else {
            if now >= self.begin {
                self.started = Some((now, processor_seconds(), self.messages));
            }
            return None;
        };
        let elapsed = now - start;
        (elapsed >= self.measured || self.messages == self.last).then(|| Measured {
            messages: f64::from(self.messages - messages),
            seconds: elapsed.as_secs_f64(),
            processor_seconds: processor_seconds() - processor,
        })
    }
}
