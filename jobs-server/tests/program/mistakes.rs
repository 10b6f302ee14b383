//! What goes wrong is said in one line, and the exit code says that it went wrong.

use std::fs;

use serde_json::Value;

use crate::support::{Site, run};

#[test]
fn a_command_line_that_cannot_be_understood_ends_with_2() {
    run(&["serve", "--no-such-option"]).failed(2, &["--no-such-option", "rr-jobs serve --help"]);
    run(&["push"]).failed(2, &["<PIPELINE>", "<JOB_NAME>"]);
    run(&["push", "p", "j", "--header", "novalue"]).failed(2, &["NAME=VALUE"]);
    run(&["push", "p", "j", "--delay", "9223372036854775807"]).failed(2, &["--delay", "ten years"]);
    run(&["demo", "--jobs", "0"]).failed(2, &["--jobs"]);
    run(&["dance"]).failed(2, &["dance"]);
}

#[test]
fn help_is_everywhere_and_is_no_mistake() {
    for line in [&["--help"][..], &["demo", "--help"], &["serve", "--help"], &["push", "--help"]] {
        let ended = run(line).succeeded();
        assert!(ended.stdout.contains("Examples:"), "{ended:?}");
        assert_eq!(ended.stderr, "");
    }
    assert!(run(&["--version"]).succeeded().stdout.contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    run(&["serve", "-c", "/nowhere/.rr.yaml"]).failed(1, &["/nowhere/.rr.yaml"]);
    run(&["serve"]).failed(1, &[".rr.yaml"]);
}

#[test]
fn a_broken_file_has_line_and_column() {
    let site = Site::new("true", "worker.php", 1);
    fs::write(site.path(".rr.yaml"), "version: \"3\"\nserver:\n  command: \"x\n").unwrap();
    run(&["serve", "-c", &site.config()]).failed(1, &[".rr.yaml:"]);
}

#[test]
fn a_broker_that_nobody_answers_for_is_named() {
    run(&["demo", "--addr", "amqp://guest:sw0rdf1sh@127.0.0.1:1/"]).failed(1, &["127.0.0.1:1"]);
    let site = Site::new("php", "worker.php", 1);
    let ended = run(&["serve", "-c", &site.config(), "-o", "amqp1.addr=amqp://u:sw0rdf1sh@127.0.0.1:1/"]);
    ended.failed(1, &["127.0.0.1:1"]);
    assert!(!ended.stderr.contains("sw0rdf1sh"));
}

#[test]
fn machines_get_their_object_after_a_failure_too() {
    let refused = "amqp://guest:sw0rdf1sh@127.0.0.1:1/";
    let site = Site::new("php", "worker.php", 1);
    let config = site.config();
    let address = format!("amqp1.addr={refused}");
    for (line, counted) in [
        (&["push", "-c", &config, "-o", &address, "work", "test", "--json"][..], "confirmed"),
        (&["push", "-c", "/nowhere/.rr.yaml", "work", "test", "--json"], "confirmed"),
        (&["push", "-c", &config, "elsewhere", "test", "--json"], "confirmed"),
        (&["demo", "--addr", refused, "--json"], "pushed"),
    ] {
        let ended = run(line);
        ended.failed(1, &[]);
        let answer: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(answer[counted], 0, "{ended:?}");
        let error = answer["error"].as_str().unwrap();
        assert!(!error.is_empty() && ended.stderr.contains(error), "{ended:?}");
        assert!(!ended.stdout.contains("sw0rdf1sh"), "{ended:?}");
    }
}

#[test]
fn a_worker_that_does_not_start_is_described() {
    let site = Site::new("php", "no-such-worker.php", 2);
    run(&["serve", "-c", &site.config()]).failed(1, &["no-such-worker.php", "Could not open input file"]);
    let site = Site::new("no-such-program", "worker.php", 2);
    run(&["serve", "-c", &site.config()]).failed(1, &["no-such-program", "server.command"]);
}

#[test]
fn a_pipeline_that_is_unknown_is_named_with_those_that_there_are() {
    let site = Site::new("php", "worker.php", 1);
    run(&["push", "-c", &site.config(), "elsewhere", "test"]).failed(1, &["elsewhere", "work"]);
}

#[test]
fn a_push_to_a_broker_that_only_serve_can_have_says_what_to_do() {
    let site = Site::new("php", "worker.php", 1);
    let ended = run(&["push", "-c", &site.config(), "-o", "embedded.listen=127.0.0.1:0", "work", "test"]);
    ended.failed(1, &["embedded.listen", "rr-jobs serve"]);
}

#[test]
fn a_payload_file_that_is_not_there_is_named() {
    let site = Site::new("php", "worker.php", 1);
    site.push(&["--file", "/nowhere/payload"]).failed(1, &["/nowhere/payload"]);
}
