//! `rr-jobs serve` and `rr-jobs push` on the embedded broker, with workers in PHP and Python.

use std::collections::BTreeMap;
use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::{Process, Site, run, wait_for};

/// Bodies 1 to `count`, once each.
fn once_each(prefix: &str, count: usize) -> BTreeMap<String, usize> {
    (1..=count).map(|number| (format!("{prefix}{number}"), 1)).collect()
}

fn each_job_is_done_once(program: &str, worker: &str) {
    let site = Site::new(program, worker, 2);
    let serving = site.serve(&[]);
    let pushed = site.push(&["body-{n}", "--count", "1000", "--json"]).succeeded();
    let answer: Value = serde_json::from_str(&pushed.stdout).unwrap();
    assert_eq!(answer["confirmed"], 1000, "{answer}");
    site.wait_for_jobs(1000);
    serving.signal(Signal::SIGTERM);
    let ended = serving.wait().succeeded();
    assert!(ended.stdout.contains("embedded broker listens at amqp://127.0.0.1:"), "{ended:?}");
    assert_eq!(site.done(), once_each("body-", 1000));
}

#[test]
fn php_workers_do_each_job_once() {
    each_job_is_done_once("php", "worker.php");
}

#[test]
fn python_workers_do_each_job_once() {
    each_job_is_done_once("python3", "worker.py");
}

#[test]
fn no_job_is_lost_when_workers_are_killed() {
    let site = Site::new("python3", "worker.py", 2);
    let serving = site.serve(&[]);
    site.push(&["sleep:0.20{n}", "--count", "24"]).succeeded();
    // Every job is written at its begin and at its end.
    let begun = || site.done().keys().filter(|body| body.starts_with("begin")).count();
    let ended = || site.done().len() - begun();
    for target in [4, 8, 12] {
        // Both workers have a job that takes some time yet.
        wait_for("running jobs", || {
            begun() >= target && begun() >= ended() + 2 && serving.children().len() == 2
        });
        kill(Pid::from_raw(serving.children()[0]), Signal::SIGKILL).unwrap();
    }
    wait_for("all jobs", || ended() >= 24);
    serving.signal(Signal::SIGTERM);
    let ended = serving.wait().succeeded();
    assert!(ended.stderr.contains("goes back to the broker"), "{ended:?}");
}

#[test]
fn a_worker_that_crashes_costs_no_job() {
    let site = Site::new("php", "worker.php", 1);
    let serving = site.serve(&[]);
    site.push(&["die", "--count", "3"]).succeeded();
    wait_for("the jobs", || site.done().get("die") == Some(&3));
    serving.signal(Signal::SIGINT);
    serving.wait().succeeded();
}

#[test]
fn a_running_job_finishes_after_sigterm_and_waiting_ones_stay() {
    let site = Site::new("python3", "worker.py", 1);
    let serving = site.serve(&[]);
    site.push(&["sleep:1", "--count", "3"]).succeeded();
    wait_for("the first job", || site.done().contains_key("begin sleep:1"));
    serving.signal(Signal::SIGTERM);
    serving.wait().succeeded();
    assert_eq!(site.done().get("sleep:1"), Some(&1));
    assert_eq!(site.done().get("begin sleep:1"), Some(&1));
}

#[test]
fn a_job_that_outlasts_the_grace_period_does_not_hold_the_server() {
    let site = Site::new("python3", "worker.py", 1);
    let serving = site.serve(&["-o", "endure.grace_period=200ms"]);
    site.push(&["sleep:600"]).succeeded();
    wait_for("the job", || site.done().contains_key("begin sleep:600"));
    serving.signal(Signal::SIGTERM);
    let ended = serving.wait().succeeded();
    assert!(ended.stderr.contains("grace period"), "{ended:?}");
}

#[test]
fn an_idle_worker_that_ignores_the_stop_does_not_hold_the_server() {
    let site = Site::new("python3", "worker.py", 1);
    let serving = site.serve(&["-o", "endure.grace_period=200ms"]);
    site.push(&["ignore-stop"]).succeeded();
    site.wait_for_jobs(1);
    let started = std::time::Instant::now();
    serving.signal(Signal::SIGTERM);
    serving.wait().succeeded();
    assert!(started.elapsed() < std::time::Duration::from_secs(30), "{:?}", started.elapsed());
}

#[test]
fn a_second_signal_forces_the_exit_and_leaves_no_worker() {
    let site = Site::new("python3", "worker.py", 1);
    let serving = site.serve(&[]);
    site.push(&["sleep:600"]).succeeded();
    wait_for("the job", || site.done().contains_key("begin sleep:600"));
    let workers = serving.children();
    assert_eq!(workers.len(), 1);
    serving.signal(Signal::SIGTERM);
    wait_for("the stop", || serving.stderr().contains("stopping"));
    serving.signal(Signal::SIGTERM);
    let ended = serving.wait();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.contains("exit forced"), "{ended:?}");
    wait_for("the end of the worker", || is_gone(workers[0]));
}

/// Whether a process has ended; an ended one may wait for somebody to collect it.
fn is_gone(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .map_or(true, |stat| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')))
}

#[test]
fn verdicts_of_workers_reach_the_queue() {
    let site = Site::new("python3", "worker.py", 1);
    let serving = site.serve(&[]);
    for body in ["requeue", "crash", "print", "replace", "garbage", "error", "nack", "last"] {
        site.push(&[body]).succeeded();
    }
    wait_for("the jobs", || {
        ["requeue", "crash", "print", "replace", "last"].iter().all(|body| site.done().contains_key(*body))
    });
    serving.signal(Signal::SIGTERM);
    let ended = serving.wait().succeeded();
    for text in ["hello from the worker", "the worker says no", "not understood", "nacked"] {
        assert!(ended.stderr.contains(text), "{text:?} is not in {ended:?}");
    }
    for body in ["garbage", "error", "nack"] {
        assert!(!site.done().contains_key(body));
    }
}

#[test]
fn standard_error_of_workers_is_in_the_log() {
    let site = Site::new("python3", "worker.py", 1);
    let serving = site.serve(&[]);
    site.push(&["stderr:a word from the worker"]).succeeded();
    wait_for("the line", || serving.stderr().lines().any(|line| line.contains("a word from the worker")));
    serving.signal(Signal::SIGTERM);
    serving.wait().succeeded();
}

#[test]
fn payloads_come_from_a_file_or_from_standard_input() {
    let site = Site::new("php", "worker.php", 1);
    let serving = site.serve(&[]);
    fs::write(site.path("payload"), "from a file").unwrap();
    site.push(&["--file", &site.path("payload").display().to_string()]).succeeded();
    let config = site.config();
    for arguments in [&["--stdin"][..], &["-"]] {
        let mut line = vec!["push", "-c", &config, "work", "test"];
        line.extend_from_slice(arguments);
        Process::start(&line, &[], Some("from standard input")).wait().succeeded();
    }
    wait_for("the jobs", || site.done().get("from standard input") == Some(&2));
    assert_eq!(site.done().get("from a file"), Some(&1));
    serving.signal(Signal::SIGTERM);
    serving.wait().succeeded();
}

#[test]
fn the_identifier_is_the_one_that_was_given() {
    let site = Site::new("php", "worker.php", 1);
    let serving = site.serve(&[]);
    let pushed = site.push(&["x", "--id", "order-66"]).succeeded();
    assert!(pushed.stdout.contains("order-66"), "{pushed:?}");
    site.wait_for_jobs(1);
    assert_eq!(fs::read_to_string(site.path("ledger")).unwrap(), "order-66 x\n");
    serving.signal(Signal::SIGTERM);
    serving.wait().succeeded();
}

#[test]
fn a_delayed_job_waits_its_time() {
    let site = Site::new("php", "worker.php", 1);
    let serving = site.serve(&[]);
    let started = std::time::Instant::now();
    site.push(&["late", "--delay", "1s"]).succeeded();
    site.push(&["early"]).succeeded();
    site.wait_for_jobs(2);
    assert!(started.elapsed() >= std::time::Duration::from_secs(1));
    let order = fs::read_to_string(site.path("ledger")).unwrap();
    assert!(order.find("early") < order.find("late"), "{order}");
    serving.signal(Signal::SIGTERM);
    serving.wait().succeeded();
}

#[test]
fn the_switch_starts_the_broker_whatever_the_file_says_and_the_pid_is_written() {
    let site = Site::new("php", "worker.php", 1);
    let serving = site.serve(&["--embedded", "-p", "-o", "amqp1.addr=amqp://nobody.invalid/"]);
    let pid = fs::read_to_string(site.path(".pid")).unwrap();
    assert!(fs::exists(format!("/proc/{pid}")).unwrap());
    site.push(&["x"]).succeeded();
    site.wait_for_jobs(1);
    serving.signal(Signal::SIGTERM);
    serving.wait().succeeded();
    assert!(!fs::exists(site.path(".pid")).unwrap());
}

#[test]
fn a_push_after_the_server_has_gone_fails() {
    let site = Site::new("php", "worker.php", 1);
    let ended = run(&["push", "-c", &site.config(), "work", "test"]);
    ended.failed(1, &["127.0.0.1"]);
}
