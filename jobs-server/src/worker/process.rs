//! One worker process: started in a process group of its own, spoken to over its standard input and output, its
//! standard error copied to the log line by line.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::goridge::frame::{Flags, Frame};
use crate::goridge::pipe::{Pipe, PipeError};

/// The longest line of standard error that is logged in one piece, in bytes; longer ones are cut into pieces, so that
/// a worker cannot fill our memory with a line that never ends.
const MAX_LOG_LINE: usize = 16 * 1024;

/// How long to wait for the exit status of a process whose output has ended. Only for the message.
const EXIT_PATIENCE: Duration = Duration::from_millis(500);

/// How a worker is started.
#[derive(Clone)]
pub(crate) struct Launch {
    /// Program and arguments; never empty, see [`super::settings`].
    pub(crate) program: String,
    pub(crate) arguments: Vec<String>,
    /// Added to our own environment; later entries win.
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) directory: Option<PathBuf>,
    /// User and group id to run as.
    pub(crate) user: Option<(u32, u32)>,
    /// Limit for start and handshake together.
    pub(crate) allocate_timeout: Duration,
}

// The environment is where people put passwords.
impl std::fmt::Debug for Launch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Launch").field("program", &self.program).finish_non_exhaustive()
    }
}

impl Launch {
    /// The command as one would type it.
    fn shown(&self) -> String {
        let mut shown = self.program.clone();
        for argument in &self.arguments {
            shown.push(' ');
            shown.push_str(argument);
        }
        shown
    }
}

/// Why there is no worker.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpawnError {
    #[error("cannot start the worker \"{command}\": {error}; check server.command")]
    Start { command: String, error: io::Error },
    #[error(
        "the worker \"{command}\" did not answer within {limit:?}; check that it speaks the worker protocol, or raise jobs.pool.allocate_timeout"
    )]
    TimedOut { command: String, limit: Duration },
    #[error("the worker \"{command}\" failed at its start: {error}{exit}")]
    Handshake { command: String, error: PipeError, exit: LastWords },
    #[error(
        "the worker \"{command}\" answered the handshake with something else than its pid; check that it speaks the worker protocol"
    )]
    NoPid { command: String },
}

/// How a process ended and what it said last; empty when nothing is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct LastWords {
    status: Option<ExitStatus>,
    line: Option<String>,
}

impl std::fmt::Display for LastWords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(status) = self.status {
            write!(f, ", {status}")?;
        }
        if let Some(line) = &self.line {
            write!(f, ", last line on standard error: \"{}\"", line.escape_debug())?;
        }
        Ok(())
    }
}

/// The process ids of all workers that live, so that a forced exit can end them.
#[derive(Debug, Clone, Default)]
pub(crate) struct LiveProcesses(Arc<Mutex<BTreeSet<i32>>>);

impl LiveProcesses {
    /// Ends every worker at once, with all that it started.
    pub(crate) fn kill_all(&self) {
        for pid in self.pids() {
            // A process that is gone already is what we want.
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }

    /// The process ids, smallest first.
    pub(crate) fn pids(&self) -> Vec<i32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    fn with(&self, act: impl FnOnce(&mut BTreeSet<i32>)) {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// A worker that has shaken hands. Dropping it kills the process group.
#[derive(Debug)]
pub(crate) struct WorkerProcess {
    child: Child,
    /// Also the id of its process group.
    pid: i32,
    pipe: Pipe<ChildStdout, ChildStdin>,
    last_line: Arc<Mutex<Option<String>>>,
    live: LiveProcesses,
    /// Whether the group has been killed. Its number may belong to others afterwards.
    gone: bool,
}

impl WorkerProcess {
    /// Starts a process and shakes hands with it. Cancelling ends the process.
    pub(crate) async fn spawn(launch: &Launch, live: &LiveProcesses) -> Result<Self, SpawnError> {
        let mut process = Self::start(launch, live)
            .map_err(|error| SpawnError::Start { command: launch.shown(), error })?;
        match timeout(launch.allocate_timeout, process.shake_hands()).await {
            Ok(Ok(true)) => {
                debug!(pid = process.pid, "worker ready");
                Ok(process)
            }
            Ok(Ok(false)) => Err(SpawnError::NoPid { command: launch.shown() }),
            Ok(Err(error)) => {
                let exit = process.last_words().await;
                Err(SpawnError::Handshake { command: launch.shown(), error, exit })
            }
            Err(_) => Err(SpawnError::TimedOut { command: launch.shown(), limit: launch.allocate_timeout }),
        }
    }

    fn start(launch: &Launch, live: &LiveProcesses) -> io::Result<Self> {
        let mut command = Command::new(&launch.program);
        command
            .args(&launch.arguments)
            .envs(launch.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if let Some(directory) = &launch.directory {
            command.current_dir(directory);
        }
        if let Some((user, group)) = launch.user {
            command.uid(user).gid(group);
        }
        let mut child = command.spawn()?;
        let missing = || io::Error::other("the process came without its pipes");
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).ok_or_else(missing)?;
        let input = child.stdin.take().ok_or_else(missing)?;
        let output = child.stdout.take().ok_or_else(missing)?;
        let errors = child.stderr.take().ok_or_else(missing)?;
        live.with(|pids| {
            pids.insert(pid);
        });
        let last_line = Arc::new(Mutex::new(None));
        tokio::spawn(copy_to_log(errors, pid, Arc::clone(&last_line)));
        Ok(Self { child, pid, pipe: Pipe::new(output, input), last_line, live: live.clone(), gone: false })
    }

    /// Whether the worker named a process id, as the protocol wants it. It may be another one than ours: a shell in
    /// between has its own.
    async fn shake_hands(&mut self) -> Result<bool, PipeError> {
        let ours = serde_json::json!({ "pid": std::process::id() }).to_string();
        self.pipe.send(&Frame::control(ours)).await?;
        let answer = self.pipe.receive().await?;
        let pid = serde_json::from_slice::<Value>(&answer.payload)
            .ok()
            .and_then(|answer| answer.get("pid").and_then(Value::as_u64));
        Ok(answer.flags.contains(Flags::CONTROL) && pid.is_some_and(|pid| pid > 0))
    }

    /// The process id, for logs.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// Sends a job and waits for the answer, without limit. After an error or a cancellation the worker must go.
    pub(crate) async fn run(&mut self, context: &[u8], body: &[u8]) -> Result<Frame, PipeError> {
        self.pipe.send_job(context, body).await?;
        self.pipe.receive().await
    }

    /// Resolves when a worker that has no job ends, or writes what nobody asked for: it is then of no use any more.
    /// May be dropped and asked again.
    pub(crate) async fn stirs(&mut self) {
        tokio::select! {
            _ = self.child.wait() => {}
            () = self.pipe.readable() => {}
        }
    }

    /// Why a worker stirred.
    pub(crate) async fn stir_reason(&mut self) -> String {
        let error = timeout(EXIT_PATIENCE, self.pipe.stray()).await.unwrap_or(PipeError::Closed);
        format!("{error}{}", self.last_words().await)
    }

    /// How it ended, for the message about a worker that failed.
    pub(crate) async fn last_words(&mut self) -> LastWords {
        let status = timeout(EXIT_PATIENCE, self.child.wait()).await.ok().and_then(Result::ok);
        let line = self.last_line.lock().unwrap_or_else(PoisonError::into_inner).clone();
        LastWords { status, line }
    }

    /// Asks the worker to end and kills it when it has not before `too_late` resolves.
    pub(crate) async fn stop(mut self, too_late: impl Future<Output = ()>) {
        let pid = self.pid;
        let asked = async {
            self.pipe.send(&Frame::control(&br#"{"stop":true}"#[..])).await?;
            Ok::<_, PipeError>(self.child.wait().await?)
        };
        tokio::select! {
            biased;
            asked = asked => match asked {
                Ok(status) => debug!(pid, %status, "worker stopped"),
                Err(error) => debug!(pid, %error, "worker could not be asked to stop"),
            },
            () = too_late => warn!(pid, "worker did not stop in time; killed"),
        }
        self.kill().await;
    }

    /// Ends the process and all that it started, and takes its exit status from the system. Does nothing the second
    /// time.
    pub(crate) async fn kill(&mut self) {
        self.kill_group();
        // It was sent a signal that cannot be ignored; waiting only collects it.
        let _ = self.child.wait().await;
    }

    fn kill_group(&mut self) {
        if !std::mem::replace(&mut self.gone, true) {
            // A group that is gone already is what we want.
            let _ = killpg(Pid::from_raw(self.pid), Signal::SIGKILL);
            self.live.with(|pids| {
                pids.remove(&self.pid);
            });
        }
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        self.kill_group();
    }
}

/// Copies every line to the log under the name `server`, and remembers the last.
async fn copy_to_log(errors: ChildStderr, pid: i32, last_line: Arc<Mutex<Option<String>>>) {
    let mut reader = BufReader::new(errors);
    while let Ok(Some(line)) = next_line(&mut reader).await {
        info!(target: "server", pid, "{line}");
        if !line.trim().is_empty() {
            *last_line.lock().unwrap_or_else(PoisonError::into_inner) = Some(line);
        }
    }
}

/// The next line, or a piece of one that is longer than [`MAX_LOG_LINE`]; `None` at the end.
async fn next_line<R: AsyncRead + Unpin>(reader: &mut BufReader<R>) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    loop {
        let available = reader.fill_buf().await?;
        if available.is_empty() {
            return Ok(if line.is_empty() { None } else { Some(text(&line)) });
        }
        let room = MAX_LOG_LINE - line.len();
        let window = available.get(..room).unwrap_or(available);
        let end = window.iter().position(|byte| *byte == b'\n');
        line.extend_from_slice(window.get(..end.unwrap_or(window.len())).unwrap_or_default());
        let used = end.map_or(window.len(), |at| at + 1);
        reader.consume(used);
        if end.is_some() || line.len() >= MAX_LOG_LINE {
            return Ok(Some(text(&line)));
        }
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim_end_matches('\r').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_split_and_endless_ones_are_cut() {
        let mut input = b"one\r\ntwo\n".to_vec();
        input.extend(vec![b'x'; MAX_LOG_LINE + 5]);
        let mut reader = BufReader::new(input.as_slice());
        let mut lengths = Vec::new();
        while let Some(line) = next_line(&mut reader).await.unwrap() {
            lengths.push(line.len());
        }
        assert_eq!(lengths, [3, 3, MAX_LOG_LINE, 5]);
    }
}
