//! The pool: a fixed number of slots, each with a living worker.
//!
//! A slot takes a job only while its worker is idle, so a job that waits is with the driver (and, beyond its queue,
//! with the broker), never with a busy worker. A worker that dies is replaced and its job goes back to the broker.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, error, info, warn};

use super::answer::Answer;
use super::process::{Launch, LiveProcesses, SpawnError, WorkerProcess};
use super::source::{Source, Task, Verdict};
use crate::goridge::pipe::PipeError;

/// Pause between two attempts to replace a worker after the first one failed.
const RESPAWN_INTERVAL: Duration = Duration::from_secs(1);

/// The pause before a worker is replaced after the second loss in a row; it doubles with each further one up to
/// [`MAX_LOSS_PAUSE`]. The first loss costs no pause: that a worker dies now and then is normal.
const LOSS_PAUSE: Duration = Duration::from_millis(100);

/// Long enough that a job that kills each worker costs next to nothing, short enough for whoever repairs it.
const MAX_LOSS_PAUSE: Duration = Duration::from_secs(5);

/// How many workers in a row may leave without having run the same job, before it goes back to the broker.
const MAX_RERUNS: u32 = 10;

/// A worker that has nothing to do gets at least this long to end when the server stops, however late it is.
const MIN_STOP_PATIENCE: Duration = Duration::from_secs(1);

/// And at most this long, however much is left of the grace period, which is for running jobs.
const MAX_STOP_PATIENCE: Duration = Duration::from_secs(10);

/// How long a job waits for the next worker of its slot before it goes back to the broker.
const RERUN_PATIENCE: Duration = Duration::from_secs(2);

/// The numbers of a pool, validated.
#[derive(Debug, Clone)]
pub(crate) struct PoolLimits {
    /// At least one.
    pub(crate) workers: usize,
    /// Jobs that one worker runs before it is replaced; 0 = no limit.
    pub(crate) max_jobs: u64,
    /// A job that runs longer costs the worker its life.
    pub(crate) exec_ttl: Option<Duration>,
    /// How long a worker may take to end after it was asked to.
    pub(crate) destroy_timeout: Duration,
}

/// Whether the slots go on; told to all of them at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// No new jobs; those that run may do so until then.
    Stopping {
        until: Instant,
    },
}

/// All workers have shaken hands and wait for [`Pool::run`].
#[derive(Debug)]
pub(crate) struct Pool {
    workers: Vec<WorkerProcess>,
    launch: Arc<Launch>,
    limits: PoolLimits,
    live: LiveProcesses,
}

/// The slots at work, and what a new one is made from.
pub(crate) struct RunningPool<S: Source> {
    slots: JoinSet<()>,
    /// Slots that were ever started.
    started: usize,
    phase: watch::Sender<Phase>,
    source: Arc<S>,
    launch: Arc<Launch>,
    limits: PoolLimits,
    live: LiveProcesses,
}

impl Pool {
    /// Starts all workers at the same time; when one fails the others are ended and its error is returned.
    pub(crate) async fn start(
        launch: Launch,
        limits: PoolLimits,
        live: &LiveProcesses,
    ) -> Result<Self, SpawnError> {
        let launch = Arc::new(launch);
        let mut starts = JoinSet::new();
        for _ in 0..limits.workers {
            let (launch, live) = (Arc::clone(&launch), live.clone());
            starts.spawn(async move { WorkerProcess::spawn(&launch, &live).await });
        }
        let mut workers = Vec::with_capacity(limits.workers);
        while let Some(started) = starts.join_next().await {
            // A start that was cancelled or broke has no worker; the slot tries again later.
            if let Ok(started) = started {
                workers.push(started?);
            }
        }
        Ok(Self { workers, launch, limits, live: live.clone() })
    }

    /// Begins to take jobs.
    pub(crate) fn run<S: Source>(self, source: &Arc<S>) -> RunningPool<S> {
        let mut running = RunningPool {
            slots: JoinSet::new(),
            started: 0,
            phase: watch::Sender::new(Phase::Running),
            source: Arc::clone(source),
            launch: self.launch,
            limits: self.limits,
            live: self.live,
        };
        let mut workers = self.workers.into_iter();
        for _ in 0..running.limits.workers {
            let slot = running.slot();
            running.slots.spawn(slot.run(workers.next()));
        }
        running
    }
}

impl<S: Source> RunningPool<S> {
    fn slot(&mut self) -> Slot<S> {
        let number = self.started;
        self.started += 1;
        Slot {
            source: Arc::clone(&self.source),
            launch: Arc::clone(&self.launch),
            limits: self.limits.clone(),
            max_jobs: spread(self.limits.max_jobs, number),
            live: self.live.clone(),
            phases: self.phase.subscribe(),
            rerun: None,
            losses: 0,
        }
    }

    /// Takes no more jobs, lets those that run finish within `grace`, then ends their workers and gives those jobs
    /// back; ends all workers. The slots know at once, the future only waits for them.
    pub(crate) fn stop(mut self, grace: Duration) -> impl Future<Output = ()> {
        self.phase.send_replace(Phase::Stopping { until: Instant::now() + grace });
        async move { self.join().await }
    }

    /// Waits until all slots have ended, which they do when the source is at its end, and puts another one into the
    /// place of each that breaks: as long as nobody waits here, that place stays empty. May be dropped and asked again.
    pub(crate) async fn join(&mut self) {
        while let Some(ended) = self.slots.join_next().await {
            match ended {
                Err(error) if error.is_panic() => {
                    // Its worker and its job were dropped with it: the one is killed, the other goes back.
                    error!(%error, "a slot of the pool broke, replaced");
                    let slot = self.slot();
                    self.slots.spawn(slot.run_after(RESPAWN_INTERVAL));
                }
                _ => {}
            }
        }
    }
}

/// Workers that started together should not all end together: the limit grows by up to 14 % over the slots.
fn spread(max_jobs: u64, slot: usize) -> u64 {
    let percent = u64::try_from(slot % 15).unwrap_or_default();
    max_jobs.saturating_add(max_jobs.saturating_mul(percent) / 100)
}

/// How long a slot waits for its next worker after so many losses in a row.
fn pause_after(losses: u32) -> Duration {
    match losses {
        0 | 1 => Duration::ZERO,
        more => LOSS_PAUSE.saturating_mul(2_u32.saturating_pow(more - 2)).min(MAX_LOSS_PAUSE),
    }
}

/// One place for a worker.
struct Slot<S: Source> {
    source: Arc<S>,
    launch: Arc<Launch>,
    limits: PoolLimits,
    max_jobs: u64,
    live: LiveProcesses,
    phases: watch::Receiver<Phase>,
    /// A job whose worker left without having run it, and how often that happened to it.
    rerun: Option<(S::Task, u32)>,
    /// Workers that were lost or asked to be replaced since the last good answer.
    losses: u32,
}

/// Why a worker left its slot.
enum Departure {
    /// The server stops or the source is at its end.
    NoMoreJobs,
    /// It has run its share of jobs, or asked to be replaced.
    Worn,
    /// It is dead or must be killed.
    Lost,
}

/// How the run of one job ended.
enum Run {
    Answer(Answer),
    /// The worker was gone before it had the job.
    Undelivered {
        reason: String,
    },
    /// The worker died over the job; nobody knows how far it came.
    Crashed {
        reason: String,
    },
    ExecTtl(Duration),
    GraceOver,
}

impl<S: Source> Slot<S> {
    /// Waits before its first worker is started.
    async fn run_after(mut self, pause: Duration) {
        if self.pause(pause).await {
            self.run(None).await;
        }
    }

    async fn run(mut self, mut first: Option<WorkerProcess>) {
        loop {
            let worker = match first.take() {
                Some(worker) => Some(worker),
                None => self.next_worker().await,
            };
            let Some(mut worker) = worker else { break };
            match self.employ(&mut worker).await {
                Departure::NoMoreJobs => {
                    self.dismiss(worker).await;
                    break;
                }
                Departure::Worn => self.dismiss(worker).await,
                Departure::Lost => {
                    self.losses = self.losses.saturating_add(1);
                    worker.kill().await;
                }
            }
        }
        self.give_back("the server stops").await;
    }

    /// Asks a worker to end and waits until it has, or has had its time. A job that is kept for the next one does not
    /// wait for long.
    async fn dismiss(&mut self, worker: WorkerProcess) {
        let stopped = worker.stop(patience_over(self.limits.destroy_timeout, self.phases.clone()));
        tokio::pin!(stopped);
        if self.rerun.is_some() {
            tokio::select! {
                biased;
                () = &mut stopped => return,
                () = sleep(RERUN_PATIENCE) => {}
            }
            self.give_back("the worker that did not run the job does not end").await;
        }
        stopped.await;
    }

    /// A worker in place of the one that has left, after the pause that its end has earned; `None` when the server
    /// stops first.
    async fn next_worker(&mut self) -> Option<WorkerProcess> {
        let pause = pause_after(self.losses);
        if pause > RERUN_PATIENCE {
            self.give_back("too many workers in a row were lost").await;
        }
        if !pause.is_zero() {
            warn!(
                ?pause,
                losses = self.losses,
                "workers are lost one after the other, the next one has to wait"
            );
            if !self.pause(pause).await {
                return None;
            }
        }
        self.replacement().await
    }

    /// A new worker, however long it takes; `None` when the server stops first.
    async fn replacement(&mut self) -> Option<WorkerProcess> {
        loop {
            let spawned = tokio::select! {
                biased;
                () = stopping(&mut self.phases) => return None,
                spawned = WorkerProcess::spawn(&self.launch, &self.live) => spawned,
            };
            match spawned {
                Ok(worker) => return Some(worker),
                Err(error) => error!(%error, "worker not replaced, trying again"),
            }
            self.give_back("there is no worker to run the job").await;
            if !self.pause(RESPAWN_INTERVAL).await {
                return None;
            }
        }
    }

    /// Waits; `false` when the server stops first.
    async fn pause(&mut self, pause: Duration) -> bool {
        tokio::select! {
            biased;
            () = stopping(&mut self.phases) => false,
            () = sleep(pause) => true,
        }
    }

    /// Gives jobs to a worker until one of them leaves.
    async fn employ(&mut self, worker: &mut WorkerProcess) -> Departure {
        let mut executed = 0;
        loop {
            let (task, reruns) = match self.rerun.take() {
                Some(again) => again,
                None => {
                    tokio::select! {
                        biased;
                        () = stopping(&mut self.phases) => return Departure::NoMoreJobs,
                        () = worker.stirs() => {
                            let reason = worker.stir_reason().await;
                            warn!(pid = worker.pid(), reason, "idle worker lost, replaced");
                            return Departure::Lost;
                        }
                        next = self.source.next() => match next {
                            Some(task) => (task, 0),
                            None => return Departure::NoMoreJobs,
                        },
                    }
                }
            };
            match self.execute(worker, &task.context(), &task.body()).await {
                Run::Answer(Answer::Verdict(verdict)) => {
                    self.losses = 0;
                    report(&task, &verdict);
                    settle(task, verdict).await;
                }
                Run::Answer(Answer::Replace) => {
                    self.losses = self.losses.saturating_add(1);
                    self.put_back(task, reruns + 1).await;
                    return Departure::Worn;
                }
                Run::Undelivered { reason } => {
                    warn!(pid = worker.pid(), reason, "idle worker lost, replaced");
                    self.put_back(task, reruns + 1).await;
                    return Departure::Lost;
                }
                Run::Crashed { reason } => {
                    warn!(
                        pid = worker.pid(),
                        job = task.id(),
                        reason,
                        "worker lost, its job goes back to the broker"
                    );
                    settle(task, Verdict::Return { reason }).await;
                    return Departure::Lost;
                }
                Run::ExecTtl(limit) => {
                    let reason = format!("the job ran longer than exec_ttl, {limit:?}");
                    warn!(pid = worker.pid(), job = task.id(), reason, "worker killed, its job has failed");
                    settle(task, Verdict::Fail { reason }).await;
                    return Departure::Lost;
                }
                Run::GraceOver => {
                    warn!(
                        pid = worker.pid(),
                        job = task.id(),
                        "the job did not end within the grace period, it goes back to the broker"
                    );
                    // First the process, so that the job does not run twice at the same time.
                    worker.kill().await;
                    settle(task, Verdict::Return { reason: "the server stops".to_owned() }).await;
                    return Departure::Lost;
                }
            }
            executed += 1;
            if self.max_jobs > 0 && executed >= self.max_jobs {
                debug!(pid = worker.pid(), executed, "worker has reached max_jobs, replaced");
                return Departure::Worn;
            }
        }
    }

    async fn execute(&mut self, worker: &mut WorkerProcess, context: &[u8], body: &[u8]) -> Run {
        let exec_ttl = self.limits.exec_ttl;
        let too_long = async {
            match exec_ttl {
                Some(limit) => {
                    sleep(limit).await;
                    limit
                }
                None => std::future::pending().await,
            }
        };
        let result = tokio::select! {
            biased;
            result = worker.run(context, body) => result,
            limit = too_long => return Run::ExecTtl(limit),
            () = grace_over(&mut self.phases) => return Run::GraceOver,
        };
        match result {
            Ok(frame) => Run::Answer(Answer::read(&frame)),
            Err(error) => {
                let reason = format!("{error}{}", worker.last_words().await);
                match error {
                    PipeError::Undelivered => Run::Undelivered { reason },
                    _ => Run::Crashed { reason },
                }
            }
        }
    }

    /// Keeps a job for the next worker of this slot, unless too many have refused it.
    async fn put_back(&mut self, task: S::Task, reruns: u32) {
        if reruns < MAX_RERUNS {
            debug!(job = task.id(), "another worker runs the job");
            self.rerun = Some((task, reruns));
        } else {
            let reason = format!("{MAX_RERUNS} workers in a row ended without running the job");
            warn!(job = task.id(), reason, "the job goes back to the broker");
            settle(task, Verdict::Return { reason }).await;
        }
    }

    /// Returns the job that is kept for the next worker, if there is one, to the broker.
    async fn give_back(&mut self, reason: &str) {
        if let Some((task, _)) = self.rerun.take() {
            warn!(job = task.id(), reason, "the job goes back to the broker");
            settle(task, Verdict::Return { reason: reason.to_owned() }).await;
        }
    }
}

/// Resolves when the server stops.
async fn stopping(phases: &mut watch::Receiver<Phase>) {
    // When the other end is gone nobody will ever run this pool again.
    let _ = phases.wait_for(|phase| matches!(phase, Phase::Stopping { .. })).await;
}

/// Resolves when the server stops, with the end of the time for running jobs.
async fn stopping_until(phases: &mut watch::Receiver<Phase>) -> Instant {
    let phase = phases.wait_for(|phase| matches!(phase, Phase::Stopping { .. })).await.map(|phase| *phase);
    match phase {
        Ok(Phase::Stopping { until }) => until,
        // As above.
        Ok(Phase::Running) | Err(_) => Instant::now(),
    }
}

/// Resolves when the server stops and the time for running jobs is over.
async fn grace_over(phases: &mut watch::Receiver<Phase>) {
    sleep_until(stopping_until(phases).await).await;
}

/// Resolves when a worker that was asked to end has had its time: `destroy_timeout`, or what is left of it when the
/// server stops, now or meanwhile.
async fn patience_over(destroy_timeout: Duration, mut phases: watch::Receiver<Phase>) {
    let hurried = async {
        let left = stopping_until(&mut phases).await.saturating_duration_since(Instant::now());
        sleep(left.clamp(MIN_STOP_PATIENCE, MAX_STOP_PATIENCE)).await;
    };
    tokio::select! {
        () = sleep(destroy_timeout) => {}
        () = hurried => {}
    }
}

async fn settle<T: Task>(task: T, verdict: Verdict) {
    let id = task.id().to_owned();
    if let Err(error) = task.settle(verdict).await {
        error!(job = id, %error, "the job could not be settled, the broker delivers it again");
    }
}

fn report<T: Task>(task: &T, verdict: &Verdict) {
    let job = task.id();
    match verdict {
        Verdict::Ack => debug!(job, "job done"),
        Verdict::Fail { reason } | Verdict::Return { reason } => warn!(job, reason, "job failed"),
        Verdict::Nack { requeue, delay, reason } => warn!(job, requeue, ?delay, reason, "job failed"),
        Verdict::Requeue { delay, .. } => info!(job, ?delay, "job to be tried again"),
    }
}

#[cfg(test)]
mod tests;
