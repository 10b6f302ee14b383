//! `rr-jobs serve` with the broker inside: no other program is needed to run jobs.

use std::time::{Duration, Instant};

use tests::{Config, RrJobs, Worker, eventually, free_port};

const MINUTE: Duration = Duration::from_secs(60);

fn config(worker: Worker) -> Config {
    let text = Config::fixture("embedded.yaml", &[("PORT", &free_port().to_string())]);
    Config::with_workers(&text, worker, 2)
}

/// Waits until `serve` says that it has started: before that, nobody listens where `push` would look.
fn serve(config: &Config, arguments: &[&str]) -> tests::Serving {
    let serving = RrJobs::serve_with(config, arguments, &[]);
    eventually("the server has started", MINUTE, || {
        let log = serving.log();
        if log.contains("server started") { Ok(()) } else { Err(log) }
    });
    serving
}

#[test]
fn jobs_that_are_pushed_are_done_once() {
    let config = config(Worker::Php);
    let mut serving = serve(&config, &[]);
    RrJobs::push(&config, "local", "ack", "payload {n}", 10_000).succeeded();
    let done = eventually("10,000 jobs", MINUTE, || config.ledger().has_acknowledged(10_000));
    assert!(serving.stop().success(), "{}", serving.log());
    assert_eq!(done.len(), 10_000);
    assert_eq!(config.ledger().entries().len(), 10_000);
}

#[test]
fn the_switch_does_the_same_as_the_address() {
    let text = Config::fixture("embedded.yaml", &[("PORT", &free_port().to_string())]);
    let text = text.replace("addr: embedded", "addr: amqp://nobody.invalid/");
    let config = Config::with_workers(&text, Worker::Python, 1);
    let mut serving = serve(&config, &["--embedded"]);
    let file = config.path();
    RrJobs::run(&["push", "-c", file.to_str().unwrap(), "-o", "amqp1.addr=embedded", "local", "ack", "x"])
        .succeeded();
    eventually("the job", MINUTE, || config.ledger().has_acknowledged(1));
    assert!(serving.stop().success(), "{}", serving.log());
}

#[test]
fn a_delayed_job_comes_later_and_a_requeued_one_with_its_headers() {
    let config = config(Worker::Php);
    let mut serving = serve(&config, &[]);
    let file = config.path();
    let file = file.to_str().unwrap();
    let started = Instant::now();
    RrJobs::run(&["push", "-c", file, "--delay", "2s", "local", "ack", "late"]).succeeded();
    RrJobs::push(&config, "local", "requeue", r#"{"delay": 1, "attempts": 2}"#, 1).succeeded();
    eventually("both jobs", MINUTE, || config.ledger().has_acknowledged(2));
    assert!(started.elapsed() >= Duration::from_secs(2), "the delayed job came too early");
    let entries = config.ledger().entries();
    let requeued: Vec<_> = entries.iter().filter(|entry| entry.what == "requeue").collect();
    assert_eq!(requeued.len(), 1);
    let attempts: Vec<u32> = config.ledger().of(&requeued[0].id).iter().map(|entry| entry.attempt).collect();
    assert_eq!(attempts, [1, 2]);
    assert!(serving.stop().success(), "{}", serving.log());
}

#[test]
fn a_payload_from_standard_input_or_a_file_arrives_byte_for_byte() {
    let config = config(Worker::Python);
    let mut serving = serve(&config, &[]);
    let file = config.path();
    let payload = config.folder().join("payload");
    std::fs::write(&payload, b"hello").unwrap();
    RrJobs::run(&["push", "-c", file.to_str().unwrap(), "local", "ack", "--file", payload.to_str().unwrap()])
        .succeeded();
    eventually("the job", MINUTE, || config.ledger().has_acknowledged(1));
    // sha256("hello")
    let digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    assert_eq!(config.ledger().entries()[0].payload, digest);
    assert!(serving.stop().success(), "{}", serving.log());
}
