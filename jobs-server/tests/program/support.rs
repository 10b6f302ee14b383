//! Runs `rr-jobs`, waits for conditions, reads what workers have written.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// Longer than anything here takes on a machine under load.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// A process with its output in files; killed when dropped.
pub(crate) struct Process {
    child: Child,
    folder: TempDir,
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Process {
    /// Starts `rr-jobs` in a folder of its own.
    pub(crate) fn start(arguments: &[&str], environment: &[(&str, &str)], input: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| File::create(folder.path().join(name)).unwrap();
        let stdin = input.map_or_else(Stdio::null, |input| {
            let path = folder.path().join("input");
            fs::write(&path, input).unwrap();
            File::open(path).unwrap().into()
        });
        let child = Command::new(env!("CARGO_BIN_EXE_rr-jobs"))
            .args(arguments)
            .envs(environment.iter().copied())
            .current_dir(folder.path())
            .stdin(stdin)
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    pub(crate) fn stdout(&self) -> String {
        self.read("stdout")
    }

    pub(crate) fn stderr(&self) -> String {
        self.read("stderr")
    }

    fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.path().join(name)).unwrap()).into_owned()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Its child processes.
    pub(crate) fn children(&self) -> Vec<i32> {
        fs::read_dir(format!("/proc/{}/task", self.child.id()))
            .into_iter()
            .flatten()
            .filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok())
            .flat_map(|pids| pids.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
            .collect()
    }

    pub(crate) fn wait(mut self) -> Ended {
        let mut status = None;
        wait_for("the end of rr-jobs", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        Ended { status: status.unwrap(), stdout: self.stdout(), stderr: self.stderr() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, in the best case.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let (stdout, stderr) = (self.stdout(), self.stderr());
            writeln_to_test(&format!("stdout of rr-jobs:\n{stdout}\nstderr of rr-jobs:\n{stderr}"));
        }
    }
}

fn writeln_to_test(text: &str) {
    use std::io::Write;
    // Only to help a person who reads about a failure.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Runs `rr-jobs` to its end.
pub(crate) fn run(arguments: &[&str]) -> Ended {
    Process::start(arguments, &[], None).wait()
}

impl Ended {
    /// Checks that it ended well.
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert!(self.status.success(), "{self:?}");
        self
    }

    /// Checks that it ended with `code` and said why in one line with all of `words`.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32, words: &[&str]) {
        assert_eq!(self.status.code(), Some(code), "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "{self:?}");
        assert!(self.stderr.starts_with("rr-jobs: "), "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not in {self:?}");
        }
    }
}

/// Waits until `condition` is true.
#[track_caller]
pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        if Instant::now() >= deadline {
            panic!("waited in vain for {what}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A configuration with the embedded broker at a fixed port, the pipeline `work`, and a ledger that the workers of
/// `tests/fixtures` write.
pub(crate) struct Site {
    folder: TempDir,
}

impl Site {
    /// `worker` is a program and a file of `tests/fixtures`.
    pub(crate) fn new(program: &str, worker: &str, workers: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(worker);
        let text = format!(
            "version: \"3\"
server:
  command: \"{program} {}\"
amqp1:
  addr: embedded
embedded:
  listen: \"127.0.0.1:{port}\"
jobs:
  consume: [\"work\"]
  pool:
    num_workers: {workers}
  pipelines:
    work:
      driver: amqp1
      config:
        queue: work
        prefetch: 50
",
            script.display()
        );
        fs::write(folder.path().join(".rr.yaml"), text).unwrap();
        Self { folder }
    }

    pub(crate) fn config(&self) -> String {
        self.path(".rr.yaml").display().to_string()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts `serve` and waits until it has started.
    pub(crate) fn serve(&self, arguments: &[&str]) -> Process {
        let (config, ledger) = (self.config(), self.path("ledger").display().to_string());
        let mut line = vec!["serve", "-c", &config];
        line.extend_from_slice(arguments);
        let process = Process::start(&line, &[("LEDGER", &ledger)], None);
        wait_for("the server's start", || process.stdout().contains("server started"));
        process
    }

    /// Runs `push` to the pipeline `work`.
    pub(crate) fn push(&self, arguments: &[&str]) -> Ended {
        let config = self.config();
        let mut line = vec!["push", "-c", &config, "work", "test"];
        line.extend_from_slice(arguments);
        run(&line)
    }

    /// Bodies that workers have written, with how often each was.
    pub(crate) fn done(&self) -> BTreeMap<String, usize> {
        let text = fs::read_to_string(self.path("ledger")).unwrap_or_default();
        let mut done = BTreeMap::new();
        for line in text.lines() {
            let (_, body) = line.split_once(' ').unwrap_or((line, ""));
            *done.entry(body.to_owned()).or_default() += 1;
        }
        done
    }

    pub(crate) fn wait_for_jobs(&self, count: usize) {
        wait_for(&format!("{count} jobs, {} are done", self.done().len()), || self.done().len() >= count);
    }
}
