//! One pipeline: a named route to a queue. What it should do, what it does, and the jobs that it has given out.

pub(crate) mod consume;
pub(crate) mod declare;
pub(crate) mod push;
pub(crate) mod settle;
pub(crate) mod stats;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::config::PipelineConfig;
use crate::pipeline::declare::Prepared;

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

    /// Jobs that this process holds and has not settled.
    pub(crate) fn held(&self) -> u64 {
        *self.active.borrow() + self.queued.load(Ordering::Relaxed)
    }
}
