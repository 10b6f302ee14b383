//! One pipeline: a named route to a queue. What it should do, what it does, and the jobs that it has given out.

pub(crate) mod consume;
pub(crate) mod declare;
pub(crate) mod push;
pub(crate) mod settle;
pub(crate) mod stats;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::PipelineConfig;
use crate::pipeline::declare::Prepared;

/// How long a pipeline that the broker has refused is not asked for again: a caller that pushes in a loop must not keep the
/// broker busy with refusals.
const REFUSED: Duration = Duration::from_secs(1);

/// What a pipeline is meant to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Desired {
    /// Not consume, and hold no link.
    Stopped,
    /// Hold the link but take nothing.
    Paused,
    /// Consume.
    Running,
}

/// What a pipeline does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No link.
    Stopped,
    /// On its way to a link.
    Attaching,
    /// Consumes.
    Running,
    /// Takes nothing; what was prefetched has been handed back.
    Paused,
    /// Cannot consume until somebody changes something; tried again slowly.
    Failed(String),
}

/// A pipeline of the driver.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) name: String,
    pub(crate) config: PipelineConfig,
    pub(crate) desired: watch::Sender<Desired>,
    pub(crate) phase: watch::Sender<Phase>,
    /// Jobs that somebody has taken and not ended yet.
    pub(crate) active: watch::Sender<u64>,
    /// Jobs that wait in the driver's priority queue.
    pub(crate) queued: AtomicU64,
    /// What was found out about queue and route, by connection.
    prepared: Mutex<Option<(u64, Arc<Prepared>)>>,
    preparing: tokio::sync::Mutex<()>,
    /// Why it could not be used over a connection, and since when.
    refused: Mutex<Option<(u64, Instant, String)>>,
    /// Why it does not consume at the moment, although it may soon.
    hindrance: Mutex<Option<String>>,
    /// The task that consumes, and the switch for its next one.
    pub(crate) consumer: tokio::sync::Mutex<Option<tokio::task::JoinHandle<()>>>,
}

impl Pipeline {
    pub(crate) fn new(name: String, config: PipelineConfig) -> Self {
        Self {
            name,
            config,
            desired: watch::Sender::new(Desired::Stopped),
            phase: watch::Sender::new(Phase::Stopped),
            active: watch::Sender::new(0),
            queued: AtomicU64::new(0),
            prepared: Mutex::new(None),
            preparing: tokio::sync::Mutex::new(()),
            refused: Mutex::new(None),
            hindrance: Mutex::new(None),
            consumer: tokio::sync::Mutex::new(None),
        }
    }

    /// The queue's name; empty for a pipeline that only pushes.
    pub(crate) fn queue(&self) -> &str {
        self.config.queue.as_deref().unwrap_or_default()
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.send_if_modified(|old| {
            let changed = *old != phase;
            *old = phase;
            changed
        });
    }

    /// What was found out over connection `epoch`.
    pub(crate) fn prepared(&self, epoch: u64) -> Option<Arc<Prepared>> {
        let prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        prepared.as_ref().filter(|(of, _)| *of == epoch).map(|(_, prepared)| prepared.clone())
    }

    fn set_prepared(&self, prepared: Option<(u64, Arc<Prepared>)>) {
        *self.prepared.lock().unwrap_or_else(PoisonError::into_inner) = prepared;
    }

    /// Forgets what was found out, because something is not as it was.
    pub(crate) fn forget_prepared(&self) {
        self.set_prepared(None);
    }

    /// Why connection `epoch` cannot be used, if that was found out a moment ago.
    pub(crate) fn refused(&self, epoch: u64) -> Option<String> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let (of, since, reason) = refused.as_ref()?;
        (*of == epoch && since.elapsed() < REFUSED).then(|| reason.clone())
    }

    /// Remembers for a moment why connection `epoch` cannot be used.
    pub(crate) fn set_refused(&self, epoch: u64, reason: &str) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        *refused = Some((epoch, Instant::now(), reason.to_owned()));
    }

    /// Asks again, because somebody may have mended it.
    pub(crate) fn forget_refused(&self) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// What keeps the pipeline from consuming for a while.
    pub(crate) fn hindrance(&self) -> Option<String> {
        self.hindrance.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_hindrance(&self, reason: Option<String>) {
        *self.hindrance.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    /// Jobs that this process holds and has not settled.
    pub(crate) fn held(&self) -> u64 {
        *self.active.borrow() + self.queued.load(Ordering::Relaxed)
    }
}
