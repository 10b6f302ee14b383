//! What goes wrong is told in one line on standard error that says what to do, and the exit code is not 0.

use tests::{Broker, Config, Finished, Forwarder, RrJobs, Worker, free_port, on_every_rabbitmq, unique};

on_every_rabbitmq!(a_wrong_password, a_missing_queue, a_certificate_for_another_name);

/// One line, no more; it has every one of `needles` (without regard to case); the exit code is not 0.
#[track_caller]
fn one_line_with(finished: &Finished, needles: &[&str]) {
    assert!(!finished.status.success(), "exit code 0; stderr: {}", finished.stderr);
    assert!(finished.status.code().is_some(), "ended by a signal");
    let lines: Vec<&str> = finished.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "not one line:\n{}", finished.stderr);
    for needle in needles {
        let found = lines[0].to_lowercase().contains(&needle.to_lowercase());
        assert!(found, "{needle:?} is not in: {}", lines[0]);
    }
    assert!(!lines[0].contains("panicked"), "{}", lines[0]);
}

fn queue_config(url: &str, queue: &str) -> Config {
    Config::for_queue(url, queue, Worker::Php, 1)
}

/// `serve` and `push` with the same file: both tell the same.
#[track_caller]
fn serve_and_push_tell(config: &Config, needles: &[&str]) {
    let file = config.path();
    one_line_with(&RrJobs::run(&["serve", "-c", file.to_str().unwrap()]), needles);
    one_line_with(&RrJobs::push(config, "work", "ack", "payload", 1), needles);
}

#[test]
fn a_host_that_does_not_exist() {
    let config = queue_config("amqp://guest:guest@no-such-host.invalid:5672/", "q");
    serve_and_push_tell(&config, &["no-such-host.invalid"]);
}

#[test]
fn a_port_where_nobody_listens() {
    let port = free_port();
    let config = queue_config(&format!("amqp://guest:guest@127.0.0.1:{port}/"), "q");
    serve_and_push_tell(&config, &["127.0.0.1", &port.to_string(), "refused"]);
}

#[test]
fn an_address_that_is_none() {
    let config = queue_config("http://guest:sw0rdf1sh@127.0.0.1/", "q");
    let file = config.path();
    let finished = RrJobs::run(&["serve", "-c", file.to_str().unwrap()]);
    one_line_with(&finished, &["amqp1.addr", "amqp://"]);
    assert!(!finished.stderr.contains("sw0rdf1sh"), "{}", finished.stderr);
}

#[test]
fn a_file_that_is_not_there() {
    one_line_with(&RrJobs::run(&["serve", "-c", "/nowhere/.rr.yaml"]), &["/nowhere/.rr.yaml"]);
}

#[test]
fn bad_yaml_has_its_line_and_column() {
    let config = Config::text("version: \"3\"\namqp1:\n  addr: \"amqp://127.0.0.1/\"\n jobs: [\n");
    let finished = RrJobs::run(&["serve", "-c", config.path().to_str().unwrap()]);
    one_line_with(&finished, &[".rr.yaml:4:"]);
}

#[test]
fn a_value_of_the_wrong_kind_is_told_with_its_key() {
    let text = Config::fixture("queue.yaml", &[("ADDR", "amqp://127.0.0.1/"), ("QUEUE", "q")]);
    let config = Config::with_workers(&text.replace("prefetch: 100", "prefetch: many"), Worker::Php, 1);
    let finished = RrJobs::run(&["serve", "-c", config.path().to_str().unwrap()]);
    one_line_with(&finished, &[".rr.yaml:", "jobs.pipelines.work.config.prefetch", "expected"]);
}

#[test]
fn an_unknown_driver_is_named() {
    let text = Config::fixture("queue.yaml", &[("ADDR", "amqp://127.0.0.1/"), ("QUEUE", "q")]);
    let config = Config::with_workers(&text.replace("driver: amqp1", "driver: kafka"), Worker::Php, 1);
    let finished = RrJobs::run(&["serve", "-c", config.path().to_str().unwrap()]);
    one_line_with(&finished, &["kafka", "amqp1", "work"]);
}

#[test]
fn an_unknown_pipeline_is_named_with_those_that_there_are() {
    let config = queue_config("amqp://guest:guest@127.0.0.1:1/", "q");
    one_line_with(&RrJobs::push(&config, "elsewhere", "ack", "payload", 1), &["elsewhere", "work"]);
}

#[test]
fn an_argument_that_is_unknown() {
    let finished = RrJobs::run(&["serve", "--no-such-option"]);
    assert!(!finished.status.success());
    assert!(finished.stderr.contains("--no-such-option"), "{}", finished.stderr);
}

fn a_wrong_password(broker: Broker) {
    let queue = broker.queue();
    let config = queue_config(&broker.url_as("tester", "sw0rdf1sh"), queue.name());
    serve_and_push_tell(&config, &["user name or password", "amqp1.password"]);
    let finished = RrJobs::push(&config, "work", "ack", "payload", 1);
    for secret in ["tester", "sw0rdf1sh"] {
        assert!(!finished.stderr.contains(secret), "{}", finished.stderr);
    }
}

fn a_missing_queue(broker: Broker) {
    let name = unique("missing");
    let config = queue_config(&broker.url(), &name);
    let file = config.path();
    one_line_with(&RrJobs::run(&["serve", "-c", file.to_str().unwrap()]), &[&name, "work"]);
    one_line_with(&RrJobs::push(&config, "work", "ack", "payload", 1), &[&name]);
}

fn a_certificate_for_another_name(broker: Broker) {
    let elsewhere = Forwarder::to(broker.tls_port()).address();
    let text = Config::fixture(
        "queue.yaml",
        &[("QUEUE", "q"), ("ADDR", &format!("amqps://guest:guest@{elsewhere}/"))],
    );
    let ca = broker.tls_file("ca.pem");
    let tls = format!("  tls:\n    root_ca: \"{}\"\n  container_id:", ca.display());
    let config = Config::with_workers(&text.replace("  container_id:", &tls), Worker::Php, 1);
    serve_and_push_tell(&config, &["certificate", "127.0.0.2"]);
}
