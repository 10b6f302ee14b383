//! RabbitMQ is killed with SIGKILL in the middle of 10,000 durable jobs and started again: `serve` comes back by itself and
//! every job is done at least once; a push that was answered with success is never lost.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use jobs_driver::config::{JobsConfig, PipelineConfig};
use jobs_driver::{Driver, Job};
use tests::{Broker, Config, RrJobs, Worker, eventually, on_every_rabbitmq};

const MINUTES: Duration = Duration::from_secs(240);

on_every_rabbitmq!(private every_job_is_done_although_the_broker_crashed, a_push_that_succeeded_survives_a_crash);

fn every_job_is_done_although_the_broker_crashed(broker: Broker) {
    const JOBS: usize = 10_000;
    let queue = broker.queue();
    queue.ensure_on_disk();
    let config = Config::for_queue(&broker.url(), queue.name(), Worker::Php, 2);
    RrJobs::push(&config, "work", "ack", "the payload", JOBS).succeeded();
    let mut serving = RrJobs::serve(&config);
    eventually("the middle", MINUTES, || config.ledger().has_acknowledged(JOBS / 5));
    broker.kill();
    assert!(config.ledger().acknowledged().len() < JOBS, "the crash came too late");
    broker.start();
    let done = eventually("every job", MINUTES, || config.ledger().has_acknowledged(JOBS));
    assert_eq!(done.len(), JOBS, "the ledger has exactly the jobs that were pushed");
    assert!(serving.is_running());
    // It works on as if nothing had been.
    RrJobs::push(&config, "work", "ack", "after the crash", 100).succeeded();
    eventually("jobs after the crash", MINUTES, || config.ledger().has_acknowledged(JOBS + 100));
    assert!(serving.stop().success(), "{}", serving.log());
    assert_eq!(queue.take(), None);
}

/// Jobs are pushed one after the other while the broker is killed twice. What was answered with success is found in the queue.
fn a_push_that_succeeded_survives_a_crash(broker: Broker) {
    let queue = broker.queue();
    queue.ensure_on_disk();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let pushes = Pushes::default();
    let pushed = std::thread::scope(|scope| {
        let pusher =
            scope.spawn(|| runtime.block_on(push_until_stopped(&pushes, &broker.url(), queue.name())));
        let stop = StopWhenDropped(&pushes);
        for _ in 0..2 {
            pushes.await_more(100);
            broker.kill();
            broker.start();
        }
        pushes.await_more(100);
        drop(stop);
        pusher.join().unwrap()
    });
    assert!(pushed.len() >= 300, "{} pushed", pushed.len());

    let config = Config::for_queue(&broker.url(), queue.name(), Worker::Python, 2);
    let mut serving = RrJobs::serve(&config);
    eventually("every pushed job", MINUTES, || {
        let done = config.ledger().acknowledged();
        let missing = pushed.iter().filter(|id| !done.contains_key(*id)).count();
        if missing == 0 { Ok(()) } else { Err(format!("{missing} of {} missing", pushed.len())) }
    });
    assert!(serving.stop().success(), "{}", serving.log());
}

/// What the pushing and the crashing thread tell each other.
#[derive(Default)]
struct Pushes {
    succeeded: AtomicUsize,
    stop: AtomicBool,
}

impl Pushes {
    fn await_more(&self, more: usize) {
        let goal = self.succeeded.load(Ordering::SeqCst) + more;
        eventually("more pushes succeed", MINUTES, || {
            let succeeded = self.succeeded.load(Ordering::SeqCst);
            if succeeded >= goal { Ok(()) } else { Err(format!("{succeeded} of {goal}")) }
        });
    }
}

/// Ends the pushing, also when the test fails: the scope waits for its threads.
struct StopWhenDropped<'a>(&'a Pushes);

impl Drop for StopWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::SeqCst);
    }
}

/// The ids of the jobs whose push returned success.
async fn push_until_stopped(pushes: &Pushes, url: &str, queue: &str) -> BTreeSet<String> {
    let config = JobsConfig::new(url).unwrap().pipeline("work", PipelineConfig::new(queue));
    let driver = Driver::start(config).await.unwrap();
    let mut succeeded = BTreeSet::new();
    while !pushes.stop.load(Ordering::SeqCst) {
        let job = Job::new("work", "ack", "payload");
        let id = job.id.clone();
        if driver.push(job).await.is_ok() {
            succeeded.insert(id);
            pushes.succeeded.fetch_add(1, Ordering::SeqCst);
        }
    }
    driver.shutdown(Duration::from_secs(5)).await;
    succeeded
}
