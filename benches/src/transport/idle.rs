//! What an idle connection with a session and a link takes of memory, on either side: this project's client in one process,
//! its listener in another. Kernel buffers are not resident memory of a process, and not in the figures.

use super::clients::{self, ours};
use super::peer::Process;
use crate::{Result, show};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use tokio::task::JoinSet;

/// Connections, if the system lets one process have as many sockets.
const CONNECTIONS: u32 = 10_000;

/// Connections that are set up at once.
const AT_ONCE: usize = 32;

/// Files that a process has open anyway, generously.
const OTHERS: u32 = 100;

/// Measures both sides.
pub(super) fn run(is_quick: bool) -> Result<Value> {
    let listener = Process::start("listener")?;
    let before = resident(&listener.id().to_string())?;
    let connections = if is_quick { CONNECTIONS / 10 } else { CONNECTIONS };
    let mut child = Command::new(std::env::current_exe()?)
        .args(["idle", &listener.address().to_string(), &connections.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("the client has no output")?).read_line(&mut line)?;
    let after = resident(&listener.id().to_string())?;
    drop(child.stdin.take());
    child.wait()?;
    let said: Value = serde_json::from_str(line.trim())?;
    let number = |key: &str| said.get(key).and_then(Value::as_f64).unwrap_or(f64::NAN);
    let connections = number("connections");
    Ok(json!({
        "connections": connections,
        "client_octets_each": (number("resident") / connections).round(),
        "listener_octets_each": ((after - before) / connections).round(),
    }))
}

/// The same as text.
pub(super) fn text(idle: &Value) -> String {
    let number = |key: &str| idle.get(key).and_then(Value::as_f64).unwrap_or(f64::NAN);
    let kib = |key: &str| show::number(number(key) / 1024.0);
    let rows = vec![
        ["idle connections, a session and a link each", "client KiB each", "listener KiB each"]
            .map(str::to_owned)
            .to_vec(),
        vec![format!("{}", number("connections")), kib("client_octets_each"), kib("listener_octets_each")],
    ];
    show::table(&rows)
}

/// Is the client with the idle connections: prints what they take, and ends with its input.
///
/// # Errors
/// If connections fail.
pub fn hold(listener: SocketAddr, connections: u32) -> Result<()> {
    let connections = connections.min(raise_files()?.saturating_sub(OTHERS));
    clients::one_thread(async move {
        // One to begin with, so that code and runtime are there.
        let mut held = vec![one(listener).await?];
        let before = resident("self")?;
        let mut opening = JoinSet::new();
        for _ in 0..connections {
            if opening.len() == AT_ONCE
                && let Some(opened) = opening.join_next().await
            {
                held.push(opened??);
            }
            opening.spawn(one(listener));
        }
        while let Some(opened) = opening.join_next().await {
            held.push(opened??);
        }
        drop(opening);
        println!("{}", json!({ "connections": connections, "resident": resident("self")? - before }));
        std::io::stdout().flush()?;
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
        Ok(())
    })
}

async fn one(listener: SocketAddr) -> Result<impl Send> {
    let connection = ours::connect(listener).await?;
    let sender = ours::sender(&connection).await?;
    Ok((connection, sender))
}

/// Lets this process have as many files as it may. Gives their number.
///
/// # Errors
/// If the system refuses.
pub(super) fn raise_files() -> Result<u32> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    Ok(u32::try_from(most).unwrap_or(u32::MAX))
}

/// Octets of a process that are in memory.
fn resident(process: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no resident memory")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024.0)
}
