//! `rr-jobs demo`: the whole thing with nothing to set up.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::demo::{self, Options};
use crate::failure::Failure;
use crate::signals::Shutdown;
use crate::{logging, output};

/// See jobs pushed, run, retried, delayed and dead-lettered; nothing to set up
#[derive(Args)]
#[command(
    after_help = "Starts the broker inside this program (or connects to --addr), pushes jobs, runs them in async handlers \
and keeps an account of each: some fail once and are run again, some are delayed, some fail for good and are found among \
the dead letters. In the end the account must close: the exit code is 0 only if no job was lost. The configuration file \
is not used.

With --addr the demo makes two queues of its own, rr-demo-… and rr-demo-….dlq, where the broker lets it, and what the \
broker cannot do (delays, dead letters) is left out; the summary says so.

Examples:
  rr-jobs demo
  rr-jobs demo --jobs 100000 --workers 8 --json
  rr-jobs demo --addr amqp://guest:guest@127.0.0.1:5672/"
)]
pub(crate) struct Demo {
    /// Jobs to push
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    jobs: u32,
    /// Handlers that run at the same time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: u16,
    /// A broker to use instead of the one inside: amqp://user:password@host:port/
    #[arg(long, value_name = "URL")]
    addr: Option<String>,
    /// Share of the jobs that fail once and are run again, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.05, value_parser = share)]
    fail_rate: f64,
    /// Jobs that may wait for their confirmation at the same time
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=65536))]
    in_flight: u64,
    /// Give up when nothing has happened for so long
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = super::duration)]
    timeout: Duration,
    /// Print one JSON object as the last line of standard output, after a failure too; the progress on standard error
    #[arg(long)]
    json: bool,
}

/// A number between 0 and 1.
fn share(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "expected a number from 0 to 1".to_owned())
}

impl Demo {
    /// Runs the command.
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let log = logging::start_quiet();
        let shutdown = Shutdown::listen(|| {})
            .map_err(|error| Failure::new(format!("cannot listen to signals: {error}")))?;
        let json = self.json;
        let options = Options {
            jobs: self.jobs,
            workers: usize::from(self.workers),
            address: self.addr,
            fail_rate: self.fail_rate,
            in_flight: self.in_flight,
            patience: self.timeout,
            json,
        };
        let summary = match demo::run(&options, &shutdown, &log).await {
            Ok(summary) => summary,
            Err(failure) => {
                // Nothing was pushed, so there is nothing else to say.
                if json {
                    output::line(
                        &json!({ "pushed": 0, "lost": 0, "error": failure.to_string() }).to_string(),
                    );
                }
                return Err(failure);
            }
        };
        if json {
            output::line(&summary.json().to_string());
        } else {
            output::line(&summary.to_string());
        }
        match summary.problem() {
            None => Ok(()),
            Some(problem) => Err(Failure::new(problem)),
        }
    }
}
