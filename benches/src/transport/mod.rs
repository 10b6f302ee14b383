//! A client against a listener in another process, on loopback TCP: one connection, one link.
//!
//! Both clients do the same work against the same listener, this project's: messages go out unsettled and are counted
//! once their outcome is accepted; received ones are decoded and accepted one by one. Client and listener have one
//! thread each.

mod fe2o3;
mod listener;
mod ours;

pub use listener::serve;

use crate::{Error, Result, show};
use serde_json::{Value, json};
use std::future::Future;
use std::time::{Duration, Instant};

/// How often each figure is measured, the clients in turn; the median counts.
const ROUNDS: usize = 3;

/// How long a round is measured.
const MEASURED: Duration = Duration::from_secs(1);

/// How long the client runs before.
const WARM_UP: Duration = Duration::from_millis(300);

/// Deliveries that a receiver lets come.
const CREDIT: u32 = 1000;

/// Ticks in a second of processor time in `/proc`, the same on every Linux.
const TICKS: f64 = 100.0;

/// What a client does.
#[derive(Clone, Copy)]
enum Work {
    /// Sends bodies of so many octets, so many at once.
    Send { octets: usize, in_flight: usize },
    /// Receives bodies of so many octets.
    Receive { octets: usize },
}

impl Work {
    const ALL: [Self; 8] = [
        Self::Send { octets: 100, in_flight: 1 },
        Self::Send { octets: 100, in_flight: 10 },
        Self::Send { octets: 100, in_flight: 1000 },
        Self::Send { octets: 1024, in_flight: 1 },
        Self::Send { octets: 1024, in_flight: 10 },
        Self::Send { octets: 1024, in_flight: 1000 },
        Self::Receive { octets: 100 },
        Self::Receive { octets: 1024 },
    ];

    fn name(self) -> String {
        match self {
            Self::Send { octets, in_flight } => format!("send {octets} B, {in_flight} in flight"),
            Self::Receive { octets } => format!("receive {octets} B, accept"),
        }
    }
}

/// Counts what is done between the warm-up and the end.
struct Meter {
    begin: Instant,
    started: Option<(Instant, f64)>,
    messages: u32,
}

impl Meter {
    fn new() -> Self {
        Self { begin: Instant::now() + WARM_UP, started: None, messages: 0 }
    }

    /// One more is done. Gives the figures once the time is over.
    fn tick(&mut self) -> Option<Figures> {
        let now = Instant::now();
        let Some((start, processor)) = self.started else {
            if now >= self.begin {
                self.started = Some((now, processor_seconds()));
            }
            return None;
        };
        self.messages += 1;
        let elapsed = now - start;
        (elapsed >= MEASURED).then(|| {
            let messages = f64::from(self.messages);
            let used = processor_seconds() - processor;
            Figures { per_second: messages / elapsed.as_secs_f64(), per_processor_second: messages / used }
        })
    }
}

/// What was measured.
#[derive(Clone, Copy)]
struct Figures {
    per_second: f64,
    per_processor_second: f64,
}

impl Figures {
    fn median(rounds: &[Self]) -> Self {
        let median = |figure: fn(&Self) -> f64| {
            let mut figures: Vec<f64> = rounds.iter().map(figure).collect();
            figures.sort_by(f64::total_cmp);
            figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
        };
        Self {
            per_second: median(|round| round.per_second),
            per_processor_second: median(|round| round.per_processor_second),
        }
    }

    fn json(self) -> Value {
        json!({
            "messages_per_second": self.per_second.round(),
            "messages_per_processor_second": self.per_processor_second.round(),
        })
    }
}

/// Processor time of this process, user and system.
pub(crate) fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which may hold anything: state is the first field, utime the twelfth, stime the one after.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / TICKS
}

/// Runs a client on a runtime with one thread, which ends with it.
fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}

/// Measures both clients: as JSON, and as text.
///
/// # Errors
/// If the listener cannot be started, or a client fails.
pub fn run() -> Result<(Value, String)> {
    let listener = listener::Process::start()?;
    let mut figures = Vec::new();
    let columns = ["", "ours/s", "per cpu s", "fe2o3/s", "per cpu s", "x", "x cpu"];
    let mut rows = vec![columns.map(str::to_owned).to_vec()];
    for work in Work::ALL {
        let named = |error: Error| -> Error { format!("{}: {error}", work.name()).into() };
        let (mut ours, mut fe2o3) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ours.push(block_on(ours::run(listener.address(), work)).map_err(named)?);
            fe2o3.push(block_on(fe2o3::run(listener.address(), work)).map_err(named)?);
        }
        let (ours, fe2o3) = (Figures::median(&ours), Figures::median(&fe2o3));
        rows.push(vec![
            work.name(),
            show::number(ours.per_second),
            show::number(ours.per_processor_second),
            show::number(fe2o3.per_second),
            show::number(fe2o3.per_processor_second),
            show::number(ours.per_second / fe2o3.per_second),
            show::number(ours.per_processor_second / fe2o3.per_processor_second),
        ]);
        figures.push(json!({
            "work": work.name(),
            "amqp-transport": ours.json(),
            "fe2o3-amqp": fe2o3.json(),
            "ratio": ours.per_second / fe2o3.per_second,
            "processor_ratio": ours.per_processor_second / fe2o3.per_processor_second,
        }));
    }
    let legend = "messages per second, and per second of the client's processor time; `x` is ours over fe2o3's; each the \
                  median of 3 rounds; the listener is ours for both, in a process of its own";
    Ok((Value::Array(figures), format!("transport: {legend}\n\n{}", show::table(&rows))))
}
