//! `rr-jobs demo` shows everything with one command, on the embedded broker and on any other.

use serde_json::Value;
use tests::{Broker, RrJobs, on_every_rabbitmq};

on_every_rabbitmq!(the_same_demo_runs_on_rabbitmq);

/// Runs the demo and reads the JSON object on its last line; every job is accounted for.
fn account(arguments: &[&str]) -> Value {
    let mut line = vec!["demo", "--json"];
    line.extend_from_slice(arguments);
    let finished = RrJobs::run(&line).succeeded();
    let last = finished.stdout.lines().last().unwrap_or_default();
    let account: Value = serde_json::from_str(last).unwrap_or_else(|_| panic!("no JSON: {last:?}"));
    for key in ["pushed", "completed", "requeued", "dead_lettered", "delayed", "lost", "duplicated"] {
        assert!(account[key].is_u64(), "{key} in {account}");
    }
    for key in ["seconds", "jobs_per_second"] {
        assert!(account[key].as_f64().is_some_and(|value| value > 0.0), "{key} in {account}");
    }
    for key in ["p50", "p99", "max"] {
        assert!(account["latency_ms"][key].is_number(), "latency_ms.{key} in {account}");
    }
    assert_eq!(account["lost"], 0, "{account}");
    account
}

#[test]
fn the_demo_loses_nothing() {
    let account = account(&["--jobs", "5000", "--workers", "4"]);
    assert_eq!(account["pushed"], 5000);
    assert_eq!(account["duplicated"], 0);
    let done = account["completed"].as_u64().unwrap() + account["dead_lettered"].as_u64().unwrap();
    assert_eq!(done, 5000, "{account}");
    for key in ["requeued", "dead_lettered", "delayed"] {
        assert!(account[key].as_u64().unwrap() > 0, "{key} in {account}");
    }
}

#[test]
fn without_json_a_person_can_read_it() {
    let finished = RrJobs::run(&["demo", "--jobs", "500", "--workers", "2"]).succeeded();
    let text = finished.stdout + &finished.stderr;
    assert!(text.lines().any(|line| line.contains("lost") && line.contains('0')), "{text}");
}

fn the_same_demo_runs_on_rabbitmq(broker: Broker) {
    let account = account(&["--jobs", "1000", "--workers", "4", "--addr", &broker.url()]);
    assert_eq!(account["pushed"], 1000);
    assert!(account["broker"].to_string().contains("RabbitMQ"), "{account}");
}
