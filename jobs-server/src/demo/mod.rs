//! The demonstration: jobs with a known fate are pushed and run, and a [`ledger`] keeps an account of each.

mod fate;
mod guest;
mod ledger;
mod summary;

use std::sync::Arc;
use std::time::{Duration, Instant};

use amqp_transport::AddressError;
use jobs_driver::config::{Declare, JobsConfig, PipelineConfig};
use jobs_driver::{ActiveJob, BrokerInfo, Driver, DriverError, Headers, Job, NackOptions, SettleError};
use serde_json::json;
use tokio::task::JoinSet;
use tracing::warn;
use uuid::Uuid;

use crate::embedded::{self, Embedded};
use crate::failure::Failure;
use crate::logging::Log;
use crate::output;
use crate::progress::{Lines, Progress};
use crate::pusher::{Jobs, Tally, push_all};
use crate::signals::Shutdown;
use fate::{Fate, Fates};
use guest::Guest;
use ledger::Ledger;
pub(crate) use summary::Summary;

/// The pipeline that the jobs are pushed to.
const WORK: &str = "demo";

/// The pipeline that reads the dead letters.
const DEAD: &str = "demo-dead-letters";

/// Set on a job that has failed once.
const ATTEMPT: &str = "demo-attempt";

/// Unsettled jobs that the demo holds; enough to keep all handlers busy over a network.
const PREFETCH: u32 = 500;

/// How often the progress is shown and the end is looked for.
const TICK: Duration = Duration::from_millis(50);

/// How long running handlers may take to finish in the end.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// What the person wants to see. The address may hold a password, so this is never shown.
pub(crate) struct Options {
    pub(crate) jobs: u32,
    pub(crate) workers: usize,
    /// A broker, or the one inside.
    pub(crate) address: Option<String>,
    /// Share of the jobs that fail once, 0 to 1.
    pub(crate) fail_rate: f64,
    pub(crate) in_flight: u64,
    /// Without any change for so long, the rest is taken for lost.
    pub(crate) patience: Duration,
    /// Standard output is for a machine.
    pub(crate) json: bool,
}

/// The names of the demo's queues, of this one run alone.
#[derive(Debug, Clone)]
struct Queues {
    work: String,
    dead: String,
}

impl Queues {
    fn new() -> Self {
        let work = format!("rr-demo-{}", Uuid::new_v4().simple());
        let dead = format!("{work}.dlq");
        Self { work, dead }
    }
}

/// Runs the demo. The summary says whether the account closes.
pub(crate) async fn run(options: &Options, shutdown: &Shutdown, log: &Log) -> Result<Summary, Failure> {
    let (broker, address) = match &options.address {
        Some(address) => (None, address.clone()),
        None => {
            let broker = Embedded::start(&embedded::Settings::for_this_process()).await?;
            let address = broker.address().to_owned();
            (Some(broker), address)
        }
    };
    // Without pipelines at first: what they look like depends on the broker.
    let Some(driver) = shutdown.or(Driver::start(JobsConfig::new(&address)?)).await else {
        return Err(Failure::new("interrupted before anything was pushed"));
    };
    let driver = driver?;
    let queues = Queues::new();
    let guest = match &options.address {
        Some(address) => {
            let address =
                address.parse().map_err(|error: AddressError| Failure::new(format!("--addr: {error}")))?;
            Some(Guest::new(address, &driver.broker().profile, queues.clone()))
        }
        None => None,
    };
    let result = demonstrate(options, shutdown, log, &driver, guest.as_ref(), &queues).await;
    driver.shutdown(CLOSE_PATIENCE).await;
    let mut left_behind = None;
    if let Some(guest) = guest {
        left_behind = guest.remove_queues().await;
    }
    if let Some(broker) = broker {
        broker.shutdown().await;
    }
    result.map(|summary| summary.with_left_behind(left_behind))
}

async fn demonstrate(
    options: &Options,
    shutdown: &Shutdown,
    log: &Log,
    driver: &Driver,
    guest: Option<&Guest>,
    queues: &Queues,
) -> Result<Summary, Failure> {
    let broker = driver.broker();
    let abilities = abilities(&broker);
    if let Some(guest) = guest {
        guest.make_queue().await.map_err(|error| {
            Failure::new(format!(
                "the queue {} cannot be made, and the driver cannot either: {error}",
                queues.work
            ))
        })?;
    }
    open_pipelines(driver, abilities, queues).await?;
    log.release();
    let fates = Fates::new(options.fail_rate, abilities);
    let introduction = introduction(options, &broker, &fates);
    if options.json {
        output::note(&introduction);
    } else {
        output::line(&introduction);
    }

    let ledger = Arc::new(Ledger::new(options.jobs, fates));
    let mut handlers = JoinSet::new();
    for _ in 0..options.workers {
        handlers.spawn(handle_all(driver.clone(), Arc::clone(&ledger)));
    }
    let started = Instant::now();
    let end = push_and_wait(options, shutdown, driver, &ledger).await;
    let elapsed = started.elapsed();
    // The account is closed when nobody can book any more: a job that was requeued may have ended before the handler that
    // requeued it has booked that.
    driver.shutdown(CLOSE_PATIENCE).await;
    while handlers.join_next().await.is_some() {}
    Ok(Summary::new(&ledger.account(), &fates, &broker, started, elapsed, end))
}

/// The pipeline of the jobs, and where the broker can do dead-lettering the one that counts the dead letters.
async fn open_pipelines(driver: &Driver, abilities: Abilities, queues: &Queues) -> Result<(), DriverError> {
    let mut work = PipelineConfig::new(queues.work.as_str()).prefetch(PREFETCH);
    if abilities.declare {
        work = work.declare(Declare::On);
    }
    if abilities.dead_letter {
        work = work.dead_letter(queues.dead.as_str());
    }
    driver.add_pipeline(WORK, work)?;
    driver.run(WORK).await?;
    if abilities.dead_letter {
        driver.add_pipeline(DEAD, PipelineConfig::new(queues.dead.as_str()).prefetch(PREFETCH))?;
        driver.run(DEAD).await?;
    }
    Ok(())
}

/// Why the demo ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    /// Every job is accounted for.
    Complete,
    /// A push failed.
    PushFailed(String),
    /// Nothing happened for so long.
    TimedOut(Duration),
    /// A signal came.
    Interrupted,
}

/// What the broker at hand can do, as the driver's profile for it has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Abilities {
    declare: bool,
    delay: bool,
    dead_letter: bool,
}

fn abilities(broker: &BrokerInfo) -> Abilities {
    let able = matches!(broker.profile.as_str(), "embedded" | "rabbitmq4");
    Abilities { declare: able, delay: able, dead_letter: able }
}

fn introduction(options: &Options, broker: &BrokerInfo, fates: &Fates) -> String {
    let mut text = format!(
        "{} jobs for {} handlers on {} {}",
        options.jobs, options.workers, broker.product, broker.version
    );
    let missing = fates.left_out();
    if !missing.is_empty() {
        text.push_str(&format!("; left out, this broker cannot do it: {}", missing.join(", ")));
    }
    text
}

/// What is pushed.
struct DemoJobs(Arc<Ledger>);

impl Jobs for DemoJobs {
    async fn turn(&self, number: u64) {
        self.0.turn(number).await;
    }

    fn job(&self, number: u64) -> Job {
        let delay = match self.0.fate(number) {
            Fate::Delayed(delay) => delay,
            _ => Duration::ZERO,
        };
        self.0.push_begins(number, delay);
        Job::new(WORK, "demo", payload(number)).with_id(id(number)).with_delay(delay)
    }

    fn confirmed(&self, number: u64) {
        self.0.confirmed(number);
    }
}

fn id(number: u64) -> String {
    format!("demo-{number}")
}

fn payload(number: u64) -> String {
    json!({ "number": number, "text": "hello from the demo" }).to_string()
}

async fn push_and_wait(options: &Options, shutdown: &Shutdown, driver: &Driver, ledger: &Arc<Ledger>) -> End {
    let total = u64::from(options.jobs);
    let tally = Arc::new(Tally::default());
    let pushing = push_all(driver, Arc::new(DemoJobs(Arc::clone(ledger))), total, options.in_flight, &tally);
    tokio::pin!(pushing);
    let mut pushed = false;
    let mut progress = Progress::new(total, if options.json { Lines::Stderr } else { Lines::Stdout });
    let mut ticks = tokio::time::interval(TICK);
    let mut last_change = (ledger.changes(), Instant::now());
    let end = loop {
        tokio::select! {
            biased;
            () = &mut pushing, if !pushed => pushed = true,
            _ = ticks.tick() => {}
            () = ledger.complete() => {}
        }
        let counts = ledger.counts();
        progress.show(
            counts.finished,
            &format!(
                "pushed {}, requeued {}, dead letters {}",
                counts.confirmed, counts.requeued, counts.dead_lettered
            ),
        );
        if let Some(error) = tally.take_error() {
            break End::PushFailed(error.to_string());
        }
        if pushed && ledger.is_complete() {
            break End::Complete;
        }
        if shutdown.is_requested() {
            tally.stop();
            break End::Interrupted;
        }
        let changes = ledger.changes();
        if changes != last_change.0 {
            last_change = (changes, Instant::now());
        } else if last_change.1.elapsed() >= options.patience {
            break End::TimedOut(options.patience);
        }
    };
    progress.finish();
    end
}

async fn handle_all(driver: Driver, ledger: Arc<Ledger>) {
    while let Some(job) = driver.next_job().await {
        let id = job.job().id.clone();
        if let Err(error) = handle(job, &ledger).await {
            warn!(job = id, %error, "the job could not be settled, the broker delivers it again");
        }
    }
}

/// Does with a job what its fate says, and books it once the broker has been told.
async fn handle(active: ActiveJob, ledger: &Ledger) -> Result<(), SettleError> {
    let job = active.job();
    let number = job.id.strip_prefix("demo-").and_then(|number| number.parse().ok());
    let Some(number) = number.filter(|number| job.payload == payload(*number).as_bytes()) else {
        // Counted as lost, because nobody books it.
        warn!(id = job.id, "a job came back changed");
        return active.ack().await;
    };
    if active.pipeline() == DEAD {
        active.ack().await?;
        ledger.dead_lettered(number);
        return Ok(());
    }
    let first = job.header(ATTEMPT).is_none();
    ledger.runs(number, first);
    match ledger.fate(number) {
        Fate::Retried if first => {
            let again = Headers::from([(ATTEMPT.to_owned(), vec!["2".to_owned()])]);
            active.requeue(again, Duration::ZERO).await?;
            ledger.requeued(number);
        }
        Fate::Dead => {
            let reason = "this job of the demo always fails".to_owned();
            active.nack_with(NackOptions { requeue: false, delay: Duration::ZERO, reason }).await?;
        }
        Fate::Plain | Fate::Retried | Fate::Delayed(_) => {
            active.ack().await?;
            ledger.completed(number);
        }
    }
    Ok(())
}
