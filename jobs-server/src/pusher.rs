//! Pushes many jobs with a bounded number of them unconfirmed at a time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jobs_driver::{Driver, Job, PushError};
use tokio::task::{JoinError, JoinSet};

/// Why nothing more was pushed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PushAllError {
    /// The driver or the broker did not take a job.
    #[error(transparent)]
    Push(#[from] PushError),
    /// A fault in this program; whether the job was stored is not known.
    #[error("a push broke off: {0}")]
    Broken(#[from] JoinError),
}

/// How far [`push_all`] is. Shared with whoever shows it.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    confirmed: AtomicU64,
    stopped: AtomicBool,
    error: Mutex<Option<PushAllError>>,
}

impl Tally {
    /// Jobs that the broker has confirmed.
    pub(crate) fn confirmed(&self) -> u64 {
        self.confirmed.load(Ordering::Acquire)
    }

    /// Pushes nothing more; what is on its way is waited for.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    /// The first push that failed, after which nothing more was pushed.
    pub(crate) fn take_error(&self) -> Option<PushAllError> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn fail(&self, error: PushAllError) {
        self.stop();
        self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// What is pushed: makes the job with a number, and hears of its confirmation.
pub(crate) trait Jobs: Send + Sync + 'static {
    /// Resolves when the job with this number may be pushed.
    fn turn(&self, number: u64) -> impl Future<Output = ()> + Send;

    /// The job with this number, from 0; called once for each, right before it is pushed.
    fn job(&self, number: u64) -> Job;

    /// The broker has the job with this number.
    fn confirmed(&self, number: u64);
}

/// Pushes the jobs 0 to `total`−1, at most `in_flight` of them unconfirmed at a time. Stops at the first failure; the
/// tally then has it. Cancelling leaves open whether the jobs on their way were stored.
pub(crate) async fn push_all<J: Jobs>(
    driver: &Driver,
    jobs: Arc<J>,
    total: u64,
    in_flight: u64,
    tally: &Arc<Tally>,
) {
    let next = Arc::new(AtomicU64::new(0));
    let mut lanes = JoinSet::new();
    for _ in 0..in_flight.min(total) {
        let (driver, jobs, next, tally) =
            (driver.clone(), Arc::clone(&jobs), Arc::clone(&next), Arc::clone(tally));
        lanes.spawn(async move {
            while !tally.stopped.load(Ordering::Acquire) {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= total {
                    return;
                }
                jobs.turn(number).await;
                match driver.push(jobs.job(number)).await {
                    Ok(()) => {
                        jobs.confirmed(number);
                        tally.confirmed.fetch_add(1, Ordering::AcqRel);
                    }
                    Err(error) => return tally.fail(error.into()),
                }
            }
        });
    }
    while let Some(lane) = lanes.join_next().await {
        if let Err(error) = lane {
            tally.fail(error.into());
        }
    }
}

#[cfg(all(test, feature = "embedded-broker"))]
mod tests {
    use std::time::Duration;

    use jobs_driver::config::{Declare, JobsConfig, PipelineConfig};

    use super::*;
    use crate::embedded::{Embedded, Settings};

    /// One of these jobs cannot be made.
    struct Broken;

    impl Jobs for Broken {
        async fn turn(&self, _number: u64) {}

        fn job(&self, number: u64) -> Job {
            assert!(number < 2, "no job {number}");
            Job::new("work", "test", "")
        }

        fn confirmed(&self, _number: u64) {}
    }

    #[tokio::test]
    async fn a_push_that_breaks_off_is_in_the_tally() {
        let broker = Embedded::start(&Settings::for_this_process()).await.unwrap();
        let config = JobsConfig::new(broker.address())
            .unwrap()
            .pipeline("work", PipelineConfig::new("work").declare(Declare::On));
        let driver = Driver::start(config).await.unwrap();
        let tally = Arc::new(Tally::default());
        push_all(&driver, Arc::new(Broken), 10, 1, &tally).await;
        assert_eq!(tally.confirmed(), 2);
        let error = tally.take_error().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("broke off"), "{error:?}");
        driver.shutdown(Duration::from_secs(5)).await;
        broker.shutdown().await;
    }
}
