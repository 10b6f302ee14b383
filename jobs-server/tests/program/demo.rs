//! `rr-jobs demo`.

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{Process, run, wait_for};

#[test]
fn the_account_closes_and_is_one_object_on_standard_output() {
    let ended = run(&["demo", "--jobs", "2000", "--workers", "4", "--json"]).succeeded();
    assert_eq!(ended.stdout.lines().count(), 1, "{}", ended.stdout);
    let account: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(account["pushed"], 2000, "{account}");
    assert_eq!(account["lost"], 0, "{account}");
    assert_eq!(account["duplicated"], 0, "{account}");
    assert_eq!(account["requeued"], 100, "{account}");
    assert_eq!(account["dead_lettered"], 20, "{account}");
    assert_eq!(account["delayed"], 20, "{account}");
    assert_eq!(account["completed"], 1980, "{account}");
    for key in ["p50", "p99", "max"] {
        assert!(account["latency_ms"][key].as_f64().unwrap() > 0.0, "{account}");
    }
    assert!(account["seconds"].as_f64().unwrap() > 0.0, "{account}");
    assert!(account["jobs_per_second"].as_f64().unwrap() > 0.0, "{account}");
    assert!(account["broker"]["product"].is_string(), "{account}");
}

#[test]
fn people_read_the_verdict_in_the_last_line() {
    let ended = run(&["demo", "--jobs", "10"]).succeeded();
    assert_eq!(ended.stdout.lines().last(), Some("lost 0"));
    assert_eq!(ended.stderr, "");
}

#[test]
fn the_share_of_failures_is_as_asked_for() {
    let ended = run(&["demo", "--jobs", "100", "--fail-rate", "0", "--json"]).succeeded();
    let account: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(account["requeued"], 0, "{account}");
}

#[test]
fn an_interrupted_demo_ends_and_says_so() {
    let demo = Process::start(&["demo", "--jobs", "10000000", "--json"], &[], None);
    wait_for("some progress", || demo.stderr().lines().count() > 1);
    demo.signal(Signal::SIGINT);
    let ended = demo.wait();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.lines().last().unwrap().starts_with("rr-jobs: interrupted"), "{ended:?}");
    let account: Value = serde_json::from_str(ended.stdout.lines().last().unwrap()).unwrap();
    assert!(account["pushed"].as_u64().unwrap() < 10_000_000);
}
