//! Jobs end to end: pushed, confirmed, consumed and acknowledged through the driver, on the embedded broker in the same
//! process.

use crate::{Result, processor_seconds, show};
use amqp_broker::Broker;
use jobs_driver::config::{JobsConfig, PipelineConfig};
use jobs_driver::{ActiveJob, Driver, Job};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How long jobs are pushed for each figure.
const PUSHED: Duration = Duration::from_secs(3);

/// Handlers, as many jobs of which run at once.
const HANDLERS: usize = 8;

/// Unsettled jobs that the pipeline holds.
const PREFETCH: u32 = 500;

/// Payload octets, and pushes that wait for their confirmation at once.
const CASES: [(usize, usize); 6] = [(100, 1), (100, 10), (100, 1000), (1024, 1), (1024, 10), (1024, 1000)];

/// What was measured.
struct Figures {
    per_second: f64,
    per_processor_second: f64,
    /// Milliseconds from the push to its confirmation.
    confirmed: Spread,
    /// Milliseconds from the push to the start of the handler.
    started: Spread,
}

/// Where times lie.
struct Spread {
    half: f64,
    most: f64,
}

impl Spread {
    fn of(mut milliseconds: Vec<f64>) -> Self {
        milliseconds.sort_by(f64::total_cmp);
        let at = |hundredth: usize| milliseconds.get(milliseconds.len() * hundredth / 100).copied();
        Self { half: at(50).unwrap_or(f64::NAN), most: at(99).unwrap_or(f64::NAN) }
    }
}

/// Measures all cases: as JSON, and as text.
///
/// # Errors
/// If broker or driver fail.
pub fn run() -> Result<(Value, String)> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut figures = Vec::new();
    let columns = ["", "jobs/s", "per cpu s", "confirmed p50 ms", "p99", "push to handler p50 ms", "p99"];
    let mut rows = vec![columns.map(str::to_owned).to_vec()];
    for (octets, in_flight) in CASES {
        let name = format!("{octets} B, {in_flight} in flight");
        let figure = runtime.block_on(measure(octets, in_flight))?;
        rows.push(vec![
            name.clone(),
            show::number(figure.per_second),
            show::number(figure.per_processor_second),
            show::number(figure.confirmed.half),
            show::number(figure.confirmed.most),
            show::number(figure.started.half),
            show::number(figure.started.most),
        ]);
        figures.push(json!({
            "work": name,
            "jobs_per_second": figure.per_second.round(),
            "jobs_per_processor_second": figure.per_processor_second.round(),
            "confirmed_ms": { "p50": figure.confirmed.half, "p99": figure.confirmed.most },
            "push_to_handler_ms": { "p50": figure.started.half, "p99": figure.started.most },
        }));
    }
    let legend = "push, confirm, consume, acknowledge, on the embedded broker in the same process, 8 handlers; \
                  processor time is that of all of it";
    Ok((Value::Array(figures), format!("jobs: {legend}\n\n{}", show::table(&rows))))
}

async fn measure(octets: usize, in_flight: usize) -> Result<Figures> {
    let broker = Broker::builder().listen("127.0.0.1:0").anonymous(true).start().await?;
    let config = JobsConfig::new(&broker.address())?
        .pipeline("bench", PipelineConfig::new("bench").prefetch(PREFETCH))
        .consume(["bench"]);
    let driver = Driver::start(config).await?;
    let (done, mut finished) = mpsc::unbounded_channel();
    let origin = Instant::now();
    let mut handlers = JoinSet::new();
    for _ in 0..HANDLERS {
        handlers.spawn(handle(driver.clone(), origin, done.clone()));
    }
    // One job to begin with, so that everything is there when the time starts.
    driver.push(job(origin, octets)).await?;
    finished.recv().await.ok_or("the handlers are gone")?;

    let (start, processor) = (Instant::now(), processor_seconds());
    let mut pushers = JoinSet::new();
    for _ in 0..in_flight {
        pushers.spawn(push(driver.clone(), origin, octets, start + PUSHED));
    }
    let mut confirmed = Vec::new();
    while let Some(pushed) = pushers.join_next().await {
        confirmed.extend(pushed??);
    }
    let mut started = Vec::with_capacity(confirmed.len());
    while started.len() < confirmed.len() {
        started.push(finished.recv().await.ok_or("the handlers are gone")?);
    }
    let (elapsed, used) = (start.elapsed().as_secs_f64(), processor_seconds() - processor);
    driver.shutdown(Duration::from_secs(5)).await;
    while handlers.join_next().await.is_some() {}
    broker.shutdown().await;
    let jobs = f64::from(u32::try_from(started.len())?);
    Ok(Figures {
        per_second: jobs / elapsed,
        per_processor_second: jobs / used,
        confirmed: Spread::of(confirmed),
        started: Spread::of(started),
    })
}

/// A job whose payload begins with the time of its push.
fn job(origin: Instant, octets: usize) -> Job {
    Job::new("bench", "bench", format!("{:<octets$}", origin.elapsed().as_nanos()))
}

async fn push(driver: Driver, origin: Instant, octets: usize, until: Instant) -> Result<Vec<f64>> {
    let mut confirmed = Vec::new();
    while Instant::now() < until {
        let start = Instant::now();
        driver.push(job(origin, octets)).await?;
        confirmed.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(confirmed)
}

async fn handle(driver: Driver, origin: Instant, done: mpsc::UnboundedSender<f64>) {
    while let Some(active) = driver.next_job().await {
        let waited = waited(&active, origin);
        // A job that could not be settled comes again, and is counted then.
        if active.ack().await.is_ok() {
            let _ = done.send(waited.unwrap_or(f64::NAN));
        }
    }
}

/// Milliseconds since the job was pushed.
fn waited(active: &ActiveJob, origin: Instant) -> Option<f64> {
    let pushed: u64 = std::str::from_utf8(&active.job().payload).ok()?.trim().parse().ok()?;
    Some((origin.elapsed().checked_sub(Duration::from_nanos(pushed))?).as_secs_f64() * 1e3)
}
