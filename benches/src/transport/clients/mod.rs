//! The clients: each a process of its own with the same command line, which prints one line of JSON.
//!
//! `ADDRESS send|receive OCTETS IN_FLIGHT WARM_UP SECONDS`, then `{"messages", "seconds", "processor_seconds"}`. Those in
//! Rust are this very program again; the others are in `rivals/`, where `rivals/build` makes them.

pub(super) mod fe2o3;
pub(super) mod ours;
mod socket;

use super::meter::{Measured, Meter};
use super::work::{Timing, Work};
use crate::Result;
use clap::ValueEnum;
use std::fs;
use std::future::Future;
use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::runtime::Builder;

/// How much longer than its times a client may take.
const GRACE: Duration = Duration::from_secs(20);

/// Everyone who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Client {
    /// This project's, on a runtime with one thread.
    Ours,
    /// The same on a runtime with a thread for each processor.
    OursMultiThread,
    /// Qpid Proton C++.
    Proton,
    /// `fe2o3-amqp`.
    Fe2o3,
    /// rhea, on Node.js.
    Rhea,
    /// go-amqp.
    GoAmqp,
    /// Blocking sockets without a protocol.
    Socket,
    /// The same on tokio.
    SocketOnTokio,
}

impl Client {
    /// Those who speak AMQP, in the order of the columns.
    pub(super) const ALL: [Self; 6] =
        [Self::Ours, Self::OursMultiThread, Self::Proton, Self::Fe2o3, Self::Rhea, Self::GoAmqp];

    /// What octets alone take.
    pub(super) const FLOORS: [Self; 2] = [Self::Socket, Self::SocketOnTokio];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::OursMultiThread => "ours, multi-thread",
            Self::Proton => "Proton C++",
            Self::Fe2o3 => "fe2o3-amqp",
            Self::Rhea => "rhea",
            Self::GoAmqp => "go-amqp",
            Self::Socket => "socket",
            Self::SocketOnTokio => "socket on tokio",
        }
    }

    /// The file in the folder of the rivals.
    const fn file(self) -> Option<&'static str> {
        match self {
            Self::Proton => Some("proton"),
            Self::Rhea => Some("rhea"),
            Self::GoAmqp => Some("go-amqp"),
            _ => None,
        }
    }

    /// Why it cannot be measured, if so.
    pub(super) fn why_not(self) -> Result<Option<String>> {
        let Some(file) = self.file() else { return Ok(None) };
        let folder = rivals()?;
        if folder.join(file).exists() {
            return Ok(None);
        }
        let why = fs::read_to_string(folder.join(format!("{file}.why"))).unwrap_or_default();
        let why = if why.is_empty() { "benches/rivals/build has not made it" } else { why.trim() };
        Ok(Some(why.to_owned()))
    }

    fn command(self) -> Result<Command> {
        if let Some(file) = self.file() {
            return Ok(Command::new(rivals()?.join(file)));
        }
        let mut command = Command::new(std::env::current_exe()?);
        let value = self.to_possible_value().ok_or("a client without a name")?;
        command.arg("client").arg(value.get_name());
        Ok(command)
    }

    /// Lets the client work as a process of its own.
    pub(super) fn measure(self, address: SocketAddr, work: Work, timing: Timing) -> Result<Measured> {
        let mut child = self
            .command()?
            .args([address.to_string(), work.way.word().to_owned()])
            .args([work.octets.to_string(), work.in_flight.to_string()])
            .args([timing.warm_up.to_string(), timing.measured.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let limit = Duration::from_secs_f64(timing.warm_up + timing.measured) + GRACE;
        wait(&mut child, limit)?;
        let mut said = String::new();
        child.stdout.take().ok_or("the client has no output")?.read_to_string(&mut said)?;
        let measured = Measured::from_json(&serde_json::from_str(said.trim())?);
        measured.ok_or_else(|| format!("the client printed {said}").into())
    }

    /// Is the client.
    ///
    /// # Errors
    /// Whatever goes wrong; and if it is not one of those in Rust.
    pub fn be(self, address: SocketAddr, work: Work, timing: Timing) -> Result<()> {
        let measured = match self {
            Self::Ours => one_thread(async move { ours::run(address, work, Meter::timed(timing)).await }),
            Self::OursMultiThread => {
                many_threads(async move { ours::run(address, work, Meter::timed(timing)).await })
            }
            Self::Fe2o3 => one_thread(async move { fe2o3::run(address, work, Meter::timed(timing)).await }),
            Self::Socket => socket::run(address, work, Meter::timed(timing)),
            Self::SocketOnTokio => {
                one_thread(async move { socket::run_on_tokio(address, work, Meter::timed(timing)).await })
            }
            Self::Proton | Self::Rhea | Self::GoAmqp => Err("that one is a program of its own".into()),
        };
        println!("{}", measured?.json());
        Ok(())
    }
}

/// Where `rivals/build` puts them: beside the folder of this program.
pub(super) fn rivals() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.parent().and_then(|release| release.parent()).ok_or("a program in no folder")?;
    Ok(target.join("rivals"))
}

/// Runs a client on a runtime with one thread, which ends with it.
pub(super) fn one_thread<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}

/// Runs a client as a task among the threads of a runtime.
pub(super) fn many_threads<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async { tokio::spawn(work).await? });
    runtime.shutdown_background();
    result
}

/// Waits for the end of a process, which is killed if it takes too long.
pub(super) fn wait(child: &mut Child, limit: Duration) -> Result<()> {
    let end = Instant::now() + limit;
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(format!("the client failed: {status}").into()),
            None if Instant::now() > end => {
                child.kill()?;
                child.wait()?;
                return Err("the client did not come to an end".into());
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}
