//! What the demo has shown, for people and for machines.

use std::fmt;
use std::time::{Duration, Instant};

use jobs_driver::BrokerInfo;
use serde_json::{Value, json};

use super::End;
use super::fate::{Fate, Fates};
use super::ledger::Entry;

/// A delayed job may seem to come so much too early: brokers count in milliseconds, some with a clock of their own.
const CLOCK_TOLERANCE: Duration = Duration::from_millis(5);

/// The account, closed.
#[derive(Debug)]
pub(crate) struct Summary {
    broker: BrokerInfo,
    left_out: Vec<&'static str>,
    /// Jobs that the broker confirmed.
    pushed: u64,
    completed: u64,
    requeued: u64,
    dead_lettered: u64,
    /// Jobs that were to be dead-lettered.
    doomed: u64,
    /// Delayed jobs that ran.
    delayed: u64,
    /// Delayed jobs that ran before their time.
    early: u64,
    /// The longest that a delayed job ran after its time.
    latest: Duration,
    /// Confirmed jobs of which nobody knows what became.
    lost: u64,
    /// Confirmed jobs that were still under way when the demo ended before its time.
    unfinished: u64,
    /// Ends beyond the first, of all jobs together.
    duplicated: u64,
    /// From the first push to the end.
    elapsed: Duration,
    /// From the first push to the end of the last job that was not delayed, and how many of those there were.
    busy: Duration,
    undelayed: u64,
    latency: Latency,
    end: End,
    /// What the demo could not take away again.
    left_behind: Option<String>,
}

/// From the start of a push to the start of the handler, waiting in the queue included; only jobs without delay.
#[derive(Debug, Clone, Copy, Default)]
struct Latency {
    p50: Duration,
    p99: Duration,
    max: Duration,
}

impl Latency {
    fn of(mut samples: Vec<Duration>) -> Self {
        samples.sort_unstable();
        let at = |percent: usize| {
            samples.get((samples.len() * percent / 100).min(samples.len().saturating_sub(1)))
        };
        Self {
            p50: at(50).copied().unwrap_or_default(),
            p99: at(99).copied().unwrap_or_default(),
            max: samples.last().copied().unwrap_or_default(),
        }
    }
}

impl Summary {
    pub(super) fn new(
        account: &[Entry],
        fates: &Fates,
        broker: &BrokerInfo,
        started: Instant,
        elapsed: Duration,
        end: End,
    ) -> Self {
        let mut summary = Self {
            broker: broker.clone(),
            left_out: fates.left_out(),
            pushed: 0,
            completed: 0,
            requeued: 0,
            dead_lettered: 0,
            doomed: 0,
            delayed: 0,
            early: 0,
            latest: Duration::ZERO,
            lost: 0,
            unfinished: 0,
            duplicated: 0,
            elapsed,
            busy: Duration::ZERO,
            undelayed: 0,
            latency: Latency::default(),
            end,
            left_behind: None,
        };
        let mut samples = Vec::with_capacity(account.len());
        for (number, entry) in (0..).zip(account) {
            summary.add(entry, fates.of(number), started);
            if let (Some(pushed), Some(run), None) = (entry.push_began, entry.first_run, entry.due) {
                samples.push(run.saturating_duration_since(pushed));
            }
        }
        summary.latency = Latency::of(samples);
        if matches!(summary.end, End::Interrupted | End::PushFailed(_)) {
            summary.unfinished = std::mem::take(&mut summary.lost);
        }
        summary
    }

    /// Adds what stayed on the broker.
    pub(super) fn with_left_behind(mut self, left_behind: Option<String>) -> Self {
        self.left_behind = left_behind;
        self
    }

    fn add(&mut self, entry: &Entry, fate: Fate, started: Instant) {
        let ends = u64::from(entry.completed) + u64::from(entry.dead_lettered);
        self.pushed += u64::from(entry.confirmed);
        self.completed += u64::from(entry.completed > 0);
        self.requeued += u64::from(entry.requeued);
        self.dead_lettered += u64::from(entry.dead_lettered > 0);
        self.lost += u64::from(entry.confirmed && ends == 0);
        self.duplicated += ends.saturating_sub(1);
        self.doomed += u64::from(entry.confirmed && fate == Fate::Dead);
        match (entry.due, entry.last_run) {
            (Some(due), Some(run)) => {
                self.delayed += 1;
                self.early += u64::from(run + CLOCK_TOLERANCE < due);
                self.latest = self.latest.max(run.saturating_duration_since(due));
            }
            (None, _) if ends > 0 => {
                self.undelayed += 1;
                let ended = entry.ended.unwrap_or(started);
                self.busy = self.busy.max(ended.saturating_duration_since(started));
            }
            _ => {}
        }
    }

    fn jobs_per_second(&self) -> f64 {
        let seconds = self.busy.as_secs_f64();
        let jobs = f64::from(u32::try_from(self.undelayed).unwrap_or(u32::MAX));
        if seconds > 0.0 { jobs / seconds } else { 0.0 }
    }

    /// Why the demo is no success, if it is none.
    pub(crate) fn problem(&self) -> Option<String> {
        let account = format!("{} jobs pushed, {} lost", self.pushed, self.lost);
        match &self.end {
            End::PushFailed(error) => Some(format!("a job could not be pushed: {error}")),
            End::TimedOut(after) => Some(format!("nothing happened for {after:?}: {account}")),
            End::Interrupted => {
                Some(format!("interrupted: {} jobs pushed, {} not finished", self.pushed, self.unfinished))
            }
            End::Complete if self.lost > 0 => Some(account),
            End::Complete if self.early > 0 => {
                Some(format!("{} delayed jobs ran before their time", self.early))
            }
            End::Complete if self.dead_lettered != self.doomed => {
                Some(format!("{} dead letters, expected {}", self.dead_lettered, self.doomed))
            }
            End::Complete => None,
        }
    }

    /// One object with everything.
    pub(crate) fn json(&self) -> Value {
        let milliseconds = |duration: Duration| (duration.as_secs_f64() * 1e6).round() / 1e3;
        json!({
            "pushed": self.pushed,
            "completed": self.completed,
            "requeued": self.requeued,
            "dead_lettered": self.dead_lettered,
            "delayed": self.delayed,
            "delayed_early": self.early,
            "delayed_latest_ms": milliseconds(self.latest),
            "lost": self.lost,
            "unfinished": self.unfinished,
            "duplicated": self.duplicated,
            "seconds": (self.elapsed.as_secs_f64() * 1e3).round() / 1e3,
            "jobs_per_second": self.jobs_per_second().round(),
            "latency_ms": {
                "p50": milliseconds(self.latency.p50),
                "p99": milliseconds(self.latency.p99),
                "max": milliseconds(self.latency.max),
            },
            "broker": {
                "product": self.broker.product,
                "version": self.broker.version,
                "profile": self.broker.profile,
            },
            "left_out": self.left_out,
            "left_behind": self.left_behind,
            "error": self.problem(),
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
        writeln!(f)?;
        writeln!(
            f,
            "broker         {} {}, profile {}",
            self.broker.product, self.broker.version, self.broker.profile
        )?;
        writeln!(f, "pushed         {:>8}  confirmed by the broker", self.pushed)?;
        writeln!(f, "completed      {:>8}", self.completed)?;
        writeln!(f, "requeued       {:>8}  failed once, ran again", self.requeued)?;
        if self.left_out.contains(&"delayed jobs") {
            writeln!(f, "delayed               -  left out, this broker cannot do it")?;
        } else {
            writeln!(
                f,
                "delayed        {:>8}  {} before their time, at most {:.0} ms after it",
                self.delayed,
                self.early,
                milliseconds(self.latest)
            )?;
        }
        if self.left_out.contains(&"dead letters") {
            writeln!(f, "dead-lettered         -  left out, this broker cannot do it")?;
        } else {
            writeln!(
                f,
                "dead-lettered  {:>8}  failed for good, counted in the dead-letter queue",
                self.dead_lettered
            )?;
        }
        writeln!(f, "duplicated     {:>8}", self.duplicated)?;
        writeln!(
            f,
            "speed          {:>8.0}  jobs a second, {:.2} s in all",
            self.jobs_per_second(),
            self.elapsed.as_secs_f64()
        )?;
        writeln!(
            f,
            "latency        {:>8.1}  ms in the middle, {:.1} ms for 99 %, {:.1} ms at most, from push to handler",
            milliseconds(self.latency.p50),
            milliseconds(self.latency.p99),
            milliseconds(self.latency.max)
        )?;
        if let Some(left_behind) = &self.left_behind {
            writeln!(f, "left behind    {left_behind}")?;
        }
        if self.unfinished > 0 {
            writeln!(f, "unfinished     {:>8}", self.unfinished)?;
        }
        write!(f, "lost {}", self.lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_taken_from_the_sorted_samples() {
        let latency = Latency::of((1..=100).rev().map(Duration::from_millis).collect());
        assert_eq!(latency.p50, Duration::from_millis(51));
        assert_eq!(latency.p99, Duration::from_millis(100));
        assert_eq!(latency.max, Duration::from_millis(100));
        assert_eq!(Latency::of(Vec::new()).max, Duration::ZERO);
    }
}
