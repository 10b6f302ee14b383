//! `rr-jobs serve` with worker processes in two languages on real RabbitMQ: every job once when nothing fails, none lost when
//! a worker is killed, and every verdict of a worker does what it says.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;
use tests::{Broker, Config, RrJobs, Worker, eventually, on_every_rabbitmq};

const MINUTES: Duration = Duration::from_secs(180);
const SOON: Duration = Duration::from_secs(30);

on_every_rabbitmq!(
    ten_thousand_jobs_are_each_done_once_by_php,
    ten_thousand_jobs_are_each_done_once_by_python,
    no_job_is_lost_when_workers_are_killed,
    every_verdict_does_what_it_says,
    a_worker_that_crashes_is_replaced_and_its_job_done,
    a_signal_finishes_what_runs_and_hands_the_rest_back,
    a_message_of_a_stranger_is_a_job,
);

fn ten_thousand_jobs_are_each_done_once(broker: &Broker, worker: Worker) {
    let queue = broker.queue();
    let config = Config::for_queue(&broker.url(), queue.name(), worker, 2);
    let mut serving = RrJobs::serve(&config);
    RrJobs::push(&config, "work", "ack", "the payload", 10_000).succeeded();
    let done = eventually("10,000 jobs", MINUTES, || config.ledger().has_acknowledged(10_000));
    assert!(serving.stop().success(), "{}", serving.log());
    assert_eq!(queue.take(), None, "nothing is left in the queue");
    assert_eq!(done.len(), 10_000);
    assert!(done.values().all(|&times| times == 1));
    assert_eq!(config.ledger().entries().len(), 10_000, "nothing but acknowledgements");
}

fn ten_thousand_jobs_are_each_done_once_by_php(broker: Broker) {
    ten_thousand_jobs_are_each_done_once(&broker, Worker::Php);
}

fn ten_thousand_jobs_are_each_done_once_by_python(broker: Broker) {
    ten_thousand_jobs_are_each_done_once(&broker, Worker::Python);
}

/// A killed worker's job goes back to the broker (`requeue_on_fail`), so that a job may be done twice but none is lost.
fn no_job_is_lost_when_workers_are_killed(broker: Broker) {
    const JOBS: usize = 2_000;
    let queue = broker.queue();
    let text = Config::fixture("queue.yaml", &[("ADDR", &broker.url()), ("QUEUE", queue.name())]);
    let text = text.replace("durable: true", "durable: true\n        requeue_on_fail: true");
    let config = Config::with_workers(&text, Worker::Php, 2);
    RrJobs::push(&config, "work", "ack", "the payload", JOBS).succeeded();
    let mut serving = RrJobs::serve_with(&config, &[], &[("WORKER_DELAY_MS", "2")]);
    for share in 1..=4 {
        eventually("some jobs done", MINUTES, || config.ledger().has_acknowledged(share * JOBS / 8));
        serving.kill_a_worker();
    }
    let done = eventually("every job", MINUTES, || config.ledger().has_acknowledged(JOBS));
    assert_eq!(done.len(), JOBS);
    let again: usize = done.values().map(|&times| times - 1).sum();
    assert!(again <= 4, "{again} jobs were done twice by four killed workers");
    assert!(serving.stop().success(), "{}", serving.log());
    assert_eq!(queue.take(), None);
}

fn every_verdict_does_what_it_says(broker: Broker) {
    let dead = broker.queue();
    let arguments = json!({ "x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead.name() });
    let queue = broker.queue_with("classic", arguments);
    let config = Config::for_queue(&broker.url(), queue.name(), Worker::Php, 1);
    let mut serving = RrJobs::serve(&config);
    let ledger = config.ledger();
    let count = |what: &str| ledger.entries().iter().filter(|entry| entry.what == what).count();
    let await_count = |what: &str, expected: usize| {
        eventually(&format!("{expected} times {what}"), SOON, || {
            let found = count(what);
            if found == expected { Ok(()) } else { Err(format!("{found} times; {:?}", ledger.entries())) }
        });
    };

    RrJobs::push(&config, "work", "complete", "", 1).succeeded();
    await_count("ack", 1);

    // Run again with another header, at once: the same job, attempt 2.
    RrJobs::push(&config, "work", "requeue", r#"{"attempts": 3}"#, 1).succeeded();
    await_count("requeue", 2);
    await_count("ack", 2);
    let requeued = ledger.entries().into_iter().find(|entry| entry.what == "requeue").unwrap();
    let attempts: Vec<u32> = ledger.of(&requeued.id).iter().map(|entry| entry.attempt).collect();
    assert_eq!(attempts, [1, 2, 3]);

    // The old error answer asks for the job to be run again.
    RrJobs::push(&config, "work", "fail", r#"{"requeue": true}"#, 1).succeeded();
    await_count("fail", 2);

    // Refused for good and failed with an error frame: both are dead-lettered.
    RrJobs::push(&config, "work", "nack", "refused", 1).succeeded();
    await_count("nack", 1);
    RrJobs::push(&config, "work", "error", "failed", 1).succeeded();
    await_count("error", 1);
    dead.await_ready(2);

    assert!(serving.stop().success(), "{}", serving.log());
    assert_eq!(queue.take(), None);
    assert_eq!(dead.take().unwrap()["payload"], "refused");
    assert_eq!(dead.take().unwrap()["payload"], "failed");
}

fn a_worker_that_crashes_is_replaced_and_its_job_done(broker: Broker) {
    let queue = broker.queue();
    let text = Config::fixture("queue.yaml", &[("ADDR", &broker.url()), ("QUEUE", queue.name())]);
    let text = text.replace("durable: true", "durable: true\n        requeue_on_fail: true");
    let config = Config::with_workers(&text, Worker::Python, 1);
    let mut serving = RrJobs::serve(&config);
    RrJobs::push(&config, "work", "crash", "", 5).succeeded();
    eventually("the five jobs", MINUTES, || config.ledger().has_acknowledged(5));
    let entries = config.ledger().entries();
    assert_eq!(entries.iter().filter(|entry| entry.what == "crash").count(), 5);
    assert!(serving.stop().success(), "{}", serving.log());
    assert_eq!(queue.take(), None);
}

fn a_signal_finishes_what_runs_and_hands_the_rest_back(broker: Broker) {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let queue = broker.queue();
        let config = Config::for_queue(&broker.url(), queue.name(), Worker::Php, 2);
        RrJobs::push(&config, "work", "slow", r#"{"milliseconds": 300}"#, 20).succeeded();
        let mut serving = RrJobs::serve(&config);
        eventually("the first jobs", SOON, || config.ledger().has_acknowledged(2));
        assert!(serving.stop_by(signal).success(), "{}", serving.log());
        let done = config.ledger().acknowledged().len();
        assert!(done < 20, "stopping took as long as all jobs");
        queue.await_ready(20 - done);
    }
}

/// A message that another program put there: a job with a name of its own, its payload byte for byte.
fn a_message_of_a_stranger_is_a_job(broker: Broker) {
    let queue = broker.queue();
    let config = Config::for_queue(&broker.url(), queue.name(), Worker::Python, 1);
    let mut serving = RrJobs::serve(&config);
    queue.put("hello");
    eventually("the job", SOON, || config.ledger().has_acknowledged(1));
    let entry = config.ledger().entries().remove(0);
    // sha256("hello")
    assert_eq!(entry.payload, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    assert_eq!(entry.pipeline, "work");
    assert!(serving.stop().success(), "{}", serving.log());
    assert_eq!(queue.take(), None);
}
