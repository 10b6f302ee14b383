//! `rr-jobs push`: puts jobs into a pipeline and waits until the broker has them.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::{ArgGroup, Args};
use jobs_driver::config::{File, JobsConfig};
use jobs_driver::{Driver, Headers, Job};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Configuration;
use crate::failure::Failure;
use crate::progress::{Lines, Progress};
use crate::pusher::{Jobs, Tally, push_all};
use crate::signals::Shutdown;
use crate::worker::source::MAX_DELAY;
use crate::{embedded, logging, output};

/// How often the progress is shown.
const TICK: Duration = Duration::from_millis(100);

/// How long the connection may take to close in an orderly way.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// In a payload of one of many jobs, this is replaced by the number of the job.
const NUMBER: &[u8] = b"{n}";

/// Push jobs to a pipeline and wait until the broker has confirmed them
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("body").args(["payload", "file", "stdin"])),
    after_help = "The exit code is 0 only if the broker has confirmed every job. After a failure the message says how many \
it has.

Examples:
  rr-jobs push -c .rr.yaml mail App\\\\Job\\\\Send '{\"to\":\"a@example.org\"}'
  rr-jobs push -c .rr.yaml mail send --file letter.json --header tenant=acme --delay 30s
  pg_dump shop | rr-jobs push -c .rr.yaml backup store --stdin
  rr-jobs push -c .rr.yaml load test 'job {\u{1b}[0mn}' --count 10000 --json

With amqp1.addr: embedded the broker is inside `rr-jobs serve`: give it a fixed address there with embedded.listen, for \
example 127.0.0.1:5672, and the same file works here."
)]
pub(crate) struct Push {
    /// The pipeline, as the configuration names it
    pipeline: String,
    /// The name of the job: tells the worker what to do
    job_name: String,
    /// The payload; "-" reads standard input [default: empty]
    payload: Option<String>,
    /// Read the payload from a file, byte for byte
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Read the payload from standard input, byte for byte
    #[arg(long)]
    stdin: bool,
    /// A header for the worker; the same name may come again with another value (repeatable)
    #[arg(long, value_name = "NAME=VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// Hold the job back for so long: 5s, 1m30s; a bare number is seconds
    #[arg(long, value_name = "DURATION", value_parser = delay)]
    delay: Option<Duration>,
    /// Smaller numbers run first [default: the pipeline's]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<i64>,
    // clap takes a literal {n} for a line break; the style in the middle is invisible and keeps it from that.
    #[arg(
        long,
        value_name = "N",
        help = "Push so many jobs; {\u{1b}[0mn} in the payload becomes the number of the job, from 1",
        value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// The identifier of the job, with --count followed by -1, -2, … [default: random]
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Jobs that may wait for their confirmation at the same time
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=65536))]
    in_flight: u64,
    /// Print one JSON object on standard output, after a failure too; everything else on standard error
    #[arg(long)]
    json: bool,
}

/// A duration that a broker can be told.
fn delay(text: &str) -> Result<Duration, String> {
    super::duration(text).and_then(|delay| {
        if delay <= MAX_DELAY {
            Ok(delay)
        } else {
            Err("a job can be held back for at most ten years (87600h)".to_owned())
        }
    })
}

/// `NAME=VALUE`.
fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// What became of the jobs.
struct Pushed {
    /// The identifier of the first job.
    id: String,
    confirmed: u64,
    seconds: f64,
    /// Why not all are confirmed.
    problem: Option<String>,
}

impl Push {
    /// Runs the command.
    pub(crate) async fn run(self, configuration: &Configuration) -> Result<(), Failure> {
        match self.push(configuration).await {
            Ok(pushed) => self.report(&pushed),
            Err(failure) => {
                if self.json {
                    output::line(&self.answer(None, 0, 0.0, Some(&failure.to_string())).to_string());
                }
                Err(failure)
            }
        }
    }

    /// Pushes the jobs. An error means that none was pushed.
    async fn push(&self, configuration: &Configuration) -> Result<Pushed, Failure> {
        let log = logging::start_quiet();
        // First of all, because loading the configuration changes the working directory.
        let payload = self.payload()?;
        let file = configuration.load()?;
        let config = self.driver_config(file)?;
        let shutdown = Shutdown::listen(|| {})
            .map_err(|error| Failure::new(format!("cannot listen to signals: {error}")))?;
        let Some(driver) = shutdown.or(Driver::start(config)).await else {
            return Err(Failure::new("interrupted before anything was pushed"));
        };
        let driver = driver?;
        log.release();
        let total = self.total();
        let tally = Arc::new(Tally::default());
        let started = Instant::now();
        let jobs = Arc::new(Template::new(self, payload));
        let id = jobs.id(0);
        let mut progress = Progress::new(total, if self.json { Lines::Stderr } else { Lines::Stdout });
        {
            let pushing = push_all(&driver, jobs, total, self.in_flight, &tally);
            tokio::pin!(pushing);
            let mut ticks = tokio::time::interval(TICK);
            loop {
                tokio::select! {
                    biased;
                    () = &mut pushing => break,
                    _ = ticks.tick() => progress.show(tally.confirmed(), "confirmed"),
                }
                if shutdown.is_requested() {
                    tally.stop();
                }
            }
        }
        progress.finish();
        let seconds = started.elapsed().as_secs_f64();
        driver.shutdown(CLOSE_PATIENCE).await;
        let confirmed = tally.confirmed();
        let problem = match tally.take_error() {
            Some(error) => Some(error.to_string()),
            None if confirmed < total => Some("interrupted".to_owned()),
            None => None,
        };
        Ok(Pushed { id, confirmed, seconds, problem })
    }

    fn total(&self) -> u64 {
        self.count.unwrap_or(1)
    }

    /// The object for standard output.
    fn answer(&self, id: Option<&str>, confirmed: u64, seconds: f64, problem: Option<&str>) -> Value {
        let mut answer = json!({
            "pipeline": self.pipeline, "job": self.job_name, "requested": self.total(), "confirmed": confirmed,
            "seconds": seconds,
        });
        if let Some(fields) = answer.as_object_mut() {
            if let Some(id) = id {
                fields.insert("id".to_owned(), json!(id));
            }
            if let Some(problem) = problem {
                fields.insert("error".to_owned(), json!(problem));
            }
        }
        answer
    }

    /// Prints what was confirmed.
    fn report(&self, pushed: &Pushed) -> Result<(), Failure> {
        let Pushed { id, confirmed, seconds, problem } = pushed;
        let total = self.total();
        if self.json {
            let id = (total == 1).then_some(id.as_str());
            output::line(&self.answer(id, *confirmed, *seconds, problem.as_deref()).to_string());
        }
        match problem {
            Some(error) if total == 1 => Err(Failure::new(format!("the job is not confirmed: {error}"))),
            Some(error) => Err(Failure::new(format!("{confirmed} of {total} jobs confirmed: {error}"))),
            None => {
                if !self.json {
                    output::line(&match total {
                        1 => format!("confirmed: job {id} in pipeline {}", self.pipeline),
                        _ => {
                            format!("confirmed: {total} jobs in pipeline {} in {seconds:.1} s", self.pipeline)
                        }
                    });
                }
                Ok(())
            }
        }
    }

    fn payload(&self) -> Result<Bytes, Failure> {
        if self.stdin || self.payload.as_deref() == Some("-") {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes).map_err(|error| {
                Failure::new(format!("cannot read the payload from standard input: {error}"))
            })?;
            return Ok(bytes.into());
        }
        if let Some(path) = &self.file {
            return std::fs::read(path).map(Bytes::from).map_err(|error| {
                Failure::new(format!("cannot read the payload from {}: {error}", path.display()))
            });
        }
        Ok(self.payload.clone().unwrap_or_default().into())
    }

    /// The connection and the one pipeline, so that no other is opened. The whole file is checked all the same: what
    /// `serve` refuses is refused here too.
    fn driver_config(&self, mut file: File) -> Result<JobsConfig, Failure> {
        if embedded::is_wanted(&file)? {
            let Some(address) = embedded::Settings::from_file(&file)?.fixed_address() else {
                return Err(Failure::new(format!(
                    "{}: amqp1.addr is embedded, and that broker lives only inside rr-jobs serve: give it a fixed address with embedded.listen (127.0.0.1:5672, say), or push with -o amqp1.addr=ADDRESS and the address that serve prints at its start",
                    file.name()
                )));
            };
            file.set("amqp1.addr", &address);
        }
        let mut config = JobsConfig::from_file(&file)?;
        let Some(name) = config.resolve(&self.pipeline).map(str::to_owned) else {
            let known = config.pipelines.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let known =
                if known.is_empty() { "has no pipelines".to_owned() } else { format!("has: {known}") };
            return Err(Failure::new(format!("no pipeline {:?}; {} {known}", self.pipeline, file.name())));
        };
        config.consume.clear();
        config.pipelines.retain(|known, _| *known == name);
        Ok(config)
    }
}

/// Makes the jobs of one `push`.
struct Template {
    pipeline: String,
    name: String,
    payload: Bytes,
    headers: Headers,
    delay: Duration,
    priority: Option<i64>,
    id: String,
    /// Many jobs: each has its number in its identifier and in its payload.
    numbered: bool,
}

impl Template {
    fn new(push: &Push, payload: Bytes) -> Self {
        let mut headers = Headers::new();
        for (name, value) in &push.header {
            headers.entry(name.clone()).or_default().push(value.clone());
        }
        Self {
            pipeline: push.pipeline.clone(),
            name: push.job_name.clone(),
            payload,
            headers,
            delay: push.delay.unwrap_or_default(),
            priority: push.priority,
            id: push.id.clone().unwrap_or_else(|| Uuid::new_v4().to_string()),
            numbered: push.count.is_some(),
        }
    }

    fn id(&self, number: u64) -> String {
        if self.numbered { format!("{}-{}", self.id, number + 1) } else { self.id.clone() }
    }

    fn payload(&self, number: u64) -> Bytes {
        if self.numbered {
            replace(&self.payload, NUMBER, (number + 1).to_string().as_bytes())
        } else {
            self.payload.clone()
        }
    }
}

impl Jobs for Template {
    async fn turn(&self, _number: u64) {}

    fn job(&self, number: u64) -> Job {
        let mut job = Job::new(self.pipeline.as_str(), self.name.as_str(), self.payload(number))
            .with_id(self.id(number))
            .with_headers(self.headers.clone())
            .with_delay(self.delay);
        job.priority = self.priority;
        job
    }

    fn confirmed(&self, _number: u64) {}
}

/// `bytes` with every `mark` (not empty) replaced; the same bytes when there is none.
fn replace(bytes: &Bytes, mark: &[u8], with: &[u8]) -> Bytes {
    let mut out = Vec::new();
    let mut rest = &bytes[..];
    while let Some(at) = rest.windows(mark.len()).position(|window| window == mark) {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        out.extend_from_slice(with);
        rest = rest.get(at + mark.len()..).unwrap_or_default();
    }
    if out.is_empty() && rest.len() == bytes.len() {
        return bytes.clone();
    }
    out.extend_from_slice(rest);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_replaces_every_mark_and_leaves_other_bytes_alone() {
        let replaced = |text: &'static [u8]| replace(&Bytes::from_static(text), NUMBER, b"12");
        assert_eq!(&replaced(b"{n}")[..], b"12");
        assert_eq!(&replaced(b"a {n} b {n}")[..], b"a 12 b 12");
        assert_eq!(&replaced(b"\xff{nn}{n")[..], b"\xff{nn}{n");
        assert_eq!(&replaced(b"")[..], b"");
    }

    #[test]
    fn a_delay_is_at_most_ten_years() {
        assert_eq!(delay("87600h"), Ok(MAX_DELAY));
        for text in ["87601h", "9223372036854775807"] {
            assert!(delay(text).unwrap_err().contains("ten years"));
        }
    }

    #[test]
    fn headers_need_a_name() {
        assert_eq!(header("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(header("=v").is_err());
        assert!(header("name").is_err());
    }
}
