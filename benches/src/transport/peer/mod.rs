//! The peer of every client in the figures: a program of its own, with as little in it as will do, so that what is
//! measured is the client.
//!
//! Blocking sockets and a thread a connection over the codec alone. It grants credit by the hundred thousand, accepts
//! what one read brought with one disposition, looks at no payload, and serves deliveries that are encoded beforehand.
//! What kinds of connections there are is told by their first four octets: `AMQP`, or those of [`floor`].

mod connection;
pub(super) mod floor;
mod link;
mod scan;
mod session;

use crate::Result;
use connection::Connection;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Stack of a connection's thread, which needs little; there may be very many.
const STACK: usize = 128 * 1024;

/// How long the counts of a connection that has ended are waited for.
const COUNTS: Duration = Duration::from_secs(5);

/// What came in over one connection.
#[derive(Default)]
struct Counts {
    reads: u32,
    transfers: u32,
    dispositions: u32,
    /// Deliveries that the dispositions spoke of.
    settled: u32,
    flows: u32,
}

impl Counts {
    fn is_empty(&self) -> bool {
        self.transfers == 0 && self.dispositions == 0
    }

    fn json(&self) -> Value {
        json!({
            "reads": self.reads,
            "transfers": self.transfers,
            "dispositions": self.dispositions,
            "settled": self.settled,
            "flows": self.flows,
        })
    }
}

/// A server in a process of its own: this very program again, which prints where it listens, and ends with its input.
pub(super) struct Process {
    child: Child,
    address: SocketAddr,
    lines: Receiver<String>,
}

impl Process {
    /// Starts the subcommand of this name.
    pub(super) fn start(subcommand: &str) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(subcommand)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().ok_or("the server has no output")?;
        let (said, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(std::io::Result::ok) {
                if said.send(line).is_err() {
                    return;
                }
            }
        });
        let address = lines.recv_timeout(COUNTS)?.trim().parse()?;
        Ok(Self { child, address, lines })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The number of the process.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What the connection that has just ended brought.
    pub(super) fn counts(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.lines.recv_timeout(COUNTS)?)?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Ends the program with its input.
pub(super) fn end_with_input() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
}

/// Is the peer.
///
/// # Errors
/// If it cannot listen.
pub fn serve() -> Result<()> {
    end_with_input();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    loop {
        let (stream, _) = listener.accept()?;
        std::thread::Builder::new().stack_size(STACK).spawn(move || match converse(stream) {
            Ok(Some(counts)) if !counts.is_empty() => println!("{}", counts.json()),
            Ok(_) => {}
            Err(error) => eprintln!("peer: {error}"),
        })?;
    }
}

fn converse(mut stream: TcpStream) -> Result<Option<Counts>> {
    stream.set_nodelay(true)?;
    let mut first = [0; 8];
    if stream.peek(&mut first)? == first.len() && floor::answer(&mut stream, first)? {
        return Ok(None);
    }
    Connection::new(stream).run().map(Some)
}
