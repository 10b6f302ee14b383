//! The `rr-jobs` program as a user runs it: files, arguments, signals, standard error.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::{Ledger, eventually, fixtures};

/// Which fixture does the jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worker {
    /// `worker.php`, run by Debian's `php`.
    Php,
    /// `worker.py`, run by Debian's `python3`.
    Python,
}

impl Worker {
    fn command(self) -> String {
        let (program, file) = match self {
            Self::Php => ("php", "worker.php"),
            Self::Python => ("/usr/bin/python3", "worker.py"),
        };
        format!("{program} {}", fixtures().join(file).display())
    }
}

/// A configuration file in a temporary folder, with a ledger beside it.
#[derive(Debug)]
pub struct Config {
    folder: TempDir,
    ledger: Ledger,
}

impl Config {
    /// A file with this text, as it is.
    pub fn text(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join(".rr.yaml"), text).expect("write the configuration");
        let ledger = Ledger::new(folder.path());
        Self { folder, ledger }
    }

    /// `text`, which has a section `jobs`, completed by `version`, the worker's `server` section and the pool's size.
    pub fn with_workers(text: &str, worker: Worker, workers: usize) -> Self {
        let pool = format!("\njobs:\n  pool:\n    num_workers: {workers}\n");
        let text = format!("\n{text}").replacen("\njobs:\n", &pool, 1);
        let server = format!("version: \"3\"\n\nserver:\n  command: \"{}\"\n", worker.command());
        Self::text(&format!("{server}{text}"))
    }

    /// A fixture of `tests/fixtures/config` with every `@NAME@` replaced.
    ///
    /// # Panics
    /// When there is no such fixture.
    pub fn fixture(name: &str, replacements: &[(&str, &str)]) -> String {
        let mut text = fs::read_to_string(fixtures().join("config").join(name)).expect("the fixture");
        for (name, value) in replacements {
            text = text.replace(&format!("@{name}@"), value);
        }
        text
    }

    /// `queue.yaml`: the pipeline `work` on a durable queue, with workers.
    pub fn for_queue(url: &str, queue: &str, worker: Worker, workers: usize) -> Self {
        Self::with_workers(&Self::fixture("queue.yaml", &[("ADDR", url), ("QUEUE", queue)]), worker, workers)
    }

    /// The file.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join(".rr.yaml")
    }

    /// The folder of the file.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The ledger of workers that are started with this file.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Finished {
    /// The exit status.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Finished {
    /// # Panics
    /// When the program did not exit with 0.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert!(self.status.success(), "{}\nstdout: {}\nstderr: {}", self.status, self.stdout, self.stderr);
        self
    }
}

/// The built program.
#[derive(Clone, Copy, Debug)]
pub struct RrJobs;

impl RrJobs {
    fn command() -> Command {
        let program = env::var_os("RR_JOBS_BIN").map_or_else(beside_the_test, PathBuf::from);
        assert!(program.exists(), "{} is not there: cargo build -p jobs-server", program.display());
        let mut command = Command::new(program);
        command.env_remove("RUST_LOG").env("NO_COLOR", "1").stdin(Stdio::null());
        command
    }

    /// Runs the program to its end, at most two minutes.
    ///
    /// # Panics
    /// When it does not end by then.
    pub fn run(arguments: &[&str]) -> Finished {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = |name: &str| File::create(folder.path().join(name)).expect("a file for the output");
        let mut command = Self::command();
        command.args(arguments).current_dir(folder.path()).stdout(file("stdout")).stderr(file("stderr"));
        let mut child = command.spawn().expect("rr-jobs starts");
        let status = wait(&mut child, Duration::from_secs(120));
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap_or_default();
        let (stdout, stderr) = (read("stdout"), read("stderr"));
        let Some(status) = status else {
            let _ = child.kill();
            let _ = child.wait();
            panic!(
                "rr-jobs {arguments:?} did not end within two minutes\nstdout: {stdout}\nstderr: {stderr}"
            );
        };
        Finished { status, stdout, stderr }
    }

    /// `rr-jobs push`: `count` jobs with a name and a payload to a pipeline of the file.
    pub fn push(config: &Config, pipeline: &str, job: &str, payload: &str, count: usize) -> Finished {
        let file = config.path();
        let file = file.to_str().expect("a path in UTF-8");
        Self::run(&["push", "-c", file, "--count", &count.to_string(), pipeline, job, payload])
    }

    /// `rr-jobs serve -c` in the background.
    ///
    /// # Panics
    /// When it does not start.
    pub fn serve(config: &Config) -> Serving {
        Self::serve_with(config, &[], &[])
    }

    /// [`serve`](Self::serve) with more arguments and environment.
    ///
    /// # Panics
    /// When it does not start.
    pub fn serve_with(config: &Config, arguments: &[&str], environment: &[(&str, &str)]) -> Serving {
        let log = config.folder().join("serve.log");
        let file = File::options().create(true).append(true).open(&log).expect("a file for the log");
        let mut command = Self::command();
        command
            .args(["serve", "-c"])
            .arg(config.path())
            .args(arguments)
            .env("LEDGER", config.ledger().path())
            .envs(environment.iter().copied())
            .stdout(file.try_clone().expect("the log's file"))
            .stderr(file);
        Serving { child: command.spawn().expect("rr-jobs starts"), log }
    }
}

/// A running `rr-jobs serve`; it is killed when dropped. A failing test prints the end of its log.
#[derive(Debug)]
pub struct Serving {
    child: Child,
    log: PathBuf,
}

impl Serving {
    /// What it wrote to standard output and standard error so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The process ids of its worker processes.
    pub fn workers(&self) -> Vec<i32> {
        let id = self.child.id();
        let threads = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
        threads
            .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
            .flat_map(|children| children.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
            .filter_map(|child| child.parse().ok())
            .collect()
    }

    /// Kills one worker with SIGKILL, waiting for one to be there.
    pub fn kill_a_worker(&self) -> i32 {
        let worker = eventually("a worker process", Duration::from_secs(30), || {
            self.workers().first().copied().ok_or("no child process")
        });
        kill(Pid::from_raw(worker), Signal::SIGKILL).expect("the worker can be killed");
        worker
    }

    /// Is it still running?
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends SIGTERM and waits for the end, at most a minute.
    ///
    /// # Panics
    /// When it does not end by then.
    pub fn stop(&mut self) -> ExitStatus {
        self.stop_by(Signal::SIGTERM)
    }

    /// Sends a signal, once, and waits for the end, at most a minute.
    ///
    /// # Panics
    /// When it does not end by then.
    pub fn stop_by(&mut self, signal: Signal) -> ExitStatus {
        let id = i32::try_from(self.child.id()).expect("a process id");
        kill(Pid::from_raw(id), signal).expect("the signal can be sent");
        wait(&mut self.child, Duration::from_secs(60))
            .unwrap_or_else(|| panic!("rr-jobs serve did not stop within a minute of {signal}"))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let workers = self.workers();
        let _ = self.child.kill();
        let _ = self.child.wait();
        for worker in workers {
            let _ = kill(Pid::from_raw(worker), Signal::SIGKILL);
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("the end of serve's log:\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
    }
}

fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait().expect("the child's status") {
            Some(status) => return Some(status),
            None if Instant::now() >= deadline => return None,
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// `rr-jobs` in the folder of the profile that the test program was built in (`target/debug/deps/test-…`).
fn beside_the_test() -> PathBuf {
    let test = env::current_exe().expect("the test program's path");
    let profile = test.parent().and_then(Path::parent).expect("target/PROFILE/deps");
    profile.join("rr-jobs")
}
