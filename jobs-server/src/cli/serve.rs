//! `rr-jobs serve`: worker processes run the jobs of the pipelines.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use jobs_driver::Driver;
use jobs_driver::config::{ConfigError, File, GoDuration, JobsConfig};
use serde::Deserialize;
use tracing::{info, warn};

use super::Configuration;
use crate::embedded::{self, Embedded};
use crate::failure::Failure;
use crate::signals::Shutdown;
use crate::worker::pool::Pool;
use crate::worker::process::LiveProcesses;
use crate::worker::settings;
use crate::{logging, output};

/// How long running jobs may take to finish when the server stops, when the file does not say.
const DEFAULT_GRACE: Duration = Duration::from_secs(30);

/// The driver waits so much longer than the pool, which then has given back what did not finish.
const SETTLE_MARGIN: Duration = Duration::from_secs(2);

/// The file that names the process, beside the configuration.
const PID_FILE: &str = ".pid";

/// Run the workers of a configuration until SIGINT or SIGTERM
#[derive(Debug, Args)]
#[command(
    after_help = "The sections server, jobs, amqp1, logs and endure of the file are used. One more is its own:

  amqp1:
    addr: embedded            # the broker inside this program, in memory
  embedded:
    listen: 127.0.0.1:5672    # optional: where others find it; without it any free loopback port

SIGINT or SIGTERM: no more jobs are taken, running ones finish within endure.grace_period (30s), the rest goes back to \
the broker. A second signal ends everything at once with exit code 1. Logs go to standard error, section logs says how.

Examples:
  rr-jobs serve -c .rr.yaml
  rr-jobs serve -c .rr.yaml -o jobs.pool.num_workers=4 -o logs.level=debug
  rr-jobs serve -c .rr.yaml --embedded"
)]
pub(crate) struct Serve {
    /// Use the broker inside this program, whatever amqp1.addr says
    #[arg(long)]
    embedded: bool,
    /// Write the process id to the file .pid in the working directory
    #[arg(short, long)]
    pid: bool,
    /// Do not print the line that says that the server has started
    #[arg(short, long)]
    silent: bool,
}

#[derive(Deserialize)]
struct Endure {
    grace_period: Option<GoDuration>,
}

impl Serve {
    /// Runs until a signal comes.
    pub(crate) async fn run(self, configuration: &Configuration) -> Result<(), Failure> {
        let mut file = configuration.load()?;
        let log = logging::start(&file)?;
        if self.embedded {
            file.set("amqp1.addr", embedded::ADDRESS);
        }
        let (launch, limits) = settings::from_file(&file)?;
        let grace = grace_period(&file)?;
        let live = LiveProcesses::default();
        let processes = live.clone();
        let shutdown = Shutdown::listen(move || processes.kill_all())
            .map_err(|error| Failure::new(format!("cannot listen to signals: {error}")))?;
        let broker = if embedded::is_wanted(&file)? {
            let broker = Embedded::start(&embedded::Settings::from_file(&file)?).await?;
            file.set("amqp1.addr", broker.address());
            Some(broker)
        } else {
            None
        };
        let config = JobsConfig::from_file(&file)?;
        if config.consume.is_empty() {
            warn!("jobs.consume names no pipeline: jobs can be pushed, none will run");
        }
        let _pid_file = if self.pid { Some(PidFile::write()?) } else { None };

        // The workers first: nothing is taken from the broker before there is somebody to run it.
        let workers = limits.workers;
        let Some(pool) = shutdown.or(Pool::start(launch, limits, &live)).await else { return Ok(()) };
        let pool = pool?;
        let consumed = config.consume.join(", ");
        let Some(driver) = shutdown.or(Driver::start(config)).await else { return Ok(()) };
        let driver = driver?;
        log.release();
        let mut running = pool.run(&Arc::new(driver.clone()));
        if !self.silent {
            announce(&driver, broker.as_ref(), workers, &consumed);
        }

        let outcome = until_ended(shutdown.requested(), running.join()).await;
        info!(?grace, "no more jobs are taken, running ones may finish");
        // First the slots, so that none takes the end of the driver's queue for an end without hurry.
        let stopped = running.stop(grace);
        tokio::join!(driver.shutdown(grace + SETTLE_MARGIN), stopped);
        if let Some(broker) = broker {
            broker.shutdown().await;
        }
        info!("stopped");
        outcome
    }
}

/// Waits for the end of the server. An end of the pool that nobody has asked for is a failure.
async fn until_ended(
    requested: impl Future<Output = ()>,
    pool_ended: impl Future<Output = ()>,
) -> Result<(), Failure> {
    tokio::select! {
        biased;
        () = requested => Ok(()),
        () = pool_ended => Err(Failure::new("the pool of workers has ended, no job would run any more")),
    }
}

/// The lines on standard output that say that everything runs.
fn announce(driver: &Driver, broker: Option<&Embedded>, workers: usize, consumed: &str) {
    if let Some(broker) = broker {
        output::line(&format!("[INFO] embedded broker listens at {}", broker.address()));
    }
    let info = driver.broker();
    output::line(&format!(
        "[INFO] rr-jobs server started; version: {}, broker: {} {}, workers: {workers}, consuming: {consumed}",
        env!("CARGO_PKG_VERSION"),
        info.product,
        info.version,
    ));
}

fn grace_period(file: &File) -> Result<Duration, ConfigError> {
    let endure = file.section::<Endure>("endure")?;
    match endure.and_then(|endure| endure.grace_period) {
        Some(GoDuration(grace)) => settings::long_enough(file, "endure.grace_period", grace),
        None => Ok(DEFAULT_GRACE),
    }
}

/// `.pid` in the working directory, as long as this lives.
#[derive(Debug)]
struct PidFile;

impl PidFile {
    fn write() -> Result<Self, Failure> {
        std::fs::write(PID_FILE, std::process::id().to_string()).map(|()| Self).map_err(|error| {
            let folder = std::env::current_dir().unwrap_or_default();
            Failure::new(format!("cannot write {}: {error}", folder.join(PID_FILE).display()))
        })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Somebody may have removed it already.
        let _ = std::fs::remove_file(Path::new(PID_FILE));
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use jobs_driver::config::LoadOptions;

    use super::*;

    #[test]
    fn a_grace_period_without_its_unit_is_refused() {
        let grace = |value: &str| {
            let yaml = format!("endure:\n  grace_period: {value}\n");
            grace_period(&File::parse(&yaml, "test.yaml", &LoadOptions::default()).unwrap())
        };
        assert!(grace("30").unwrap_err().to_string().contains("write 30s"));
        assert_eq!(grace("0").unwrap(), Duration::ZERO);
        assert_eq!(grace("30s").unwrap(), Duration::from_secs(30));
    }

    #[tokio::test]
    async fn a_pool_that_ends_by_itself_fails_the_server() {
        assert!(until_ended(ready(()), pending()).await.is_ok());
        let failure = until_ended(pending(), ready(())).await.unwrap_err();
        assert!(failure.to_string().contains("pool"), "{failure}");
    }
}
