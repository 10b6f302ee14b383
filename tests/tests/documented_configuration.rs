//! The RabbitMQ examples of the original documentation work as they stand, on every release.
//!
//! Only what the examples leave to the reader is filled in: the host and port of the broker, paths of certificates, and the
//! `server` section with a worker.

use std::time::Duration;

use tests::{Broker, Config, RrJobs, Serving, Worker, on_every_rabbitmq};

on_every_rabbitmq!(the_rabbitmq_example_runs_jobs, the_topic_example_runs_jobs, the_tls_example_runs_jobs);

const MINUTE: Duration = Duration::from_secs(60);

/// Pushes a hundred jobs to a pipeline of a file that is being served and waits until each was acknowledged once.
fn a_hundred_jobs_are_done(config: &Config, serving: &mut Serving, pipeline: &str) {
    let before = config.ledger().acknowledged().len();
    RrJobs::push(config, pipeline, "ack", r#"{"hello": "world"}"#, 100).succeeded();
    let done = tests::eventually("a hundred jobs", MINUTE, || config.ledger().has_acknowledged(before + 100));
    assert_eq!(done.len(), before + 100);
    assert!(done.values().all(|&times| times == 1), "a job was acknowledged twice");
    assert!(serving.is_running());
}

fn stops_in_an_orderly_way(mut serving: Serving) {
    let status = serving.stop();
    assert!(status.success(), "{status}\n{}", serving.log());
}

fn the_rabbitmq_example_runs_jobs(broker: Broker) {
    broker.user("username", "password");
    let example = Config::fixture("documented-rabbitmq.yaml", &[]);
    let here = format!("127.0.0.1:{}", broker.port());
    let example = example.replace("rabbitmq:5672", &here);

    // `exchange: "test-queue"` without such an exchange is the default exchange…
    let queue = broker.queue_named("test-queue", "classic", serde_json::json!({}));
    let config = Config::with_workers(&example, Worker::Php, 2);
    let mut serving = RrJobs::serve(&config);
    a_hundred_jobs_are_done(&config, &mut serving, "rabbit-queue");
    stops_in_an_orderly_way(serving);
    assert_eq!(queue.take(), None);

    // … and with one, it is that exchange.
    let exchange = broker.exchange("test-queue", "direct");
    exchange.bind(&queue, "test-queue");
    let mut serving = RrJobs::serve(&config);
    a_hundred_jobs_are_done(&config, &mut serving, "rabbit-queue");
    stops_in_an_orderly_way(serving);
    assert_eq!(queue.take(), None);
    let log = std::fs::read_to_string(config.folder().join("serve.log")).unwrap();
    assert!(!log.contains("username:password"), "credentials in the log:\n{log}");
}

/// Messages that are pushed carry the routing key as it is written, `events.#`, which the binding `events.#` matches.
fn the_topic_example_runs_jobs(broker: Broker) {
    let exchange = broker.exchange("events-exchange", "topic");
    let queue = broker.queue_named("events-queue", "classic", serde_json::json!({}));
    exchange.bind(&queue, "events.#");
    let example = Config::fixture("documented-topic.yaml", &[]);
    let connection = format!("amqp1:\n  addr: \"{}\"\n\n", broker.url());
    let consume = example.replace("jobs:\n", "jobs:\n  consume: [\"events-pipeline\"]\n");
    let config = Config::with_workers(&(connection + &consume), Worker::Python, 2);
    let mut serving = RrJobs::serve(&config);
    a_hundred_jobs_are_done(&config, &mut serving, "events-pipeline");
    stops_in_an_orderly_way(serving);
    assert_eq!(queue.take(), None);
}

fn the_tls_example_runs_jobs(broker: Broker) {
    let queue = broker.queue();
    let file = |name: &str| broker.tls_file(name).display().to_string();
    let connection = Config::fixture("documented-tls.yaml", &[])
        .replace(":5671", &format!(":{}", broker.tls_port()))
        .replace("/path/to/cert.pem", &file("client.pem"))
        .replace("/path/to/key.pem", &file("client.key"))
        .replace("/path/to/ca.pem", &file("ca.pem"));
    let jobs = Config::fixture("queue.yaml", &[("QUEUE", queue.name())]);
    let (_, jobs) = jobs.split_once("jobs:\n").unwrap();
    let config = Config::with_workers(&format!("{connection}\njobs:\n{jobs}"), Worker::Php, 1);
    let mut serving = RrJobs::serve(&config);
    a_hundred_jobs_are_done(&config, &mut serving, "work");
    stops_in_an_orderly_way(serving);
    assert_eq!(queue.take(), None);
}
