//! AMQP from code that is not asynchronous, and need not become so.
//!
//! ```text
//! cargo run -p amqp-transport --example from_sync_code -- amqp://guest:guest@127.0.0.1:5672 /queues/greetings
//! ```
//!
//! A connection needs its task to run: it answers heartbeats, among others. On a current-thread runtime that task runs only
//! within `block_on`, which is right for a connection that lives no longer than one such call. A connection that is kept
//! wants a runtime with a thread of its own.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use amqp_codec::messaging::Message;
use amqp_transport::{Connection, Delivery, Receiver, ReceiverOptions, Sender, SenderOptions};
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const USAGE: &str = "usage: from_sync_code URL ADDRESS";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["--help"] => {
            println!("{USAGE}");
            Ok(())
        }
        [url, node] => run(url, node),
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("from_sync_code: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(url: &str, node: &str) -> Result<()> {
    send_one(url, node, "the first")?;
    let queue = Queue::open(url, node)?;
    queue.send("the second")?;
    while let Some(body) = queue.receive(Duration::from_secs(1))? {
        println!("received {}", String::from_utf8_lossy(&body));
    }
    queue.close()
}

/// One call, one connection: no thread beside the caller's.
fn send_one(url: &str, node: &str, body: &str) -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let connection = Connection::connect(url).await?;
        let sender = connection.sender(SenderOptions::new(node)).await?;
        sender.send(Message::data(body.to_owned())).await?.accepted()?;
        connection.close().await?;
        Ok(())
    })
}

/// A connection that is kept: its runtime has one thread.
struct Queue {
    runtime: Runtime,
    connection: Connection,
    sender: Sender,
    receiver: Receiver,
}

impl Queue {
    fn open(url: &str, node: &str) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (connection, sender, receiver) = runtime.block_on(async {
            let connection = Connection::connect(url).await?;
            let sender = connection.sender(SenderOptions::new(node)).await?;
            let receiver = connection.receiver(ReceiverOptions::new(node)).await?;
            Ok::<_, Box<dyn Error>>((connection, sender, receiver))
        })?;
        Ok(Self { runtime, connection, sender, receiver })
    }

    /// Returns once the message is stored.
    fn send(&self, body: &str) -> Result<()> {
        let outcome = self.runtime.block_on(self.sender.send(Message::data(body.to_owned())))?;
        Ok(outcome.accepted()?)
    }

    /// The body of the next message, which is accepted; `None` if there is none for so long.
    fn receive(&self, patience: Duration) -> Result<Option<Vec<u8>>> {
        // Giving a receive up loses nothing: a delivery is either returned or still waits.
        let received =
            self.runtime.block_on(async { tokio::time::timeout(patience, self.receiver.recv()).await });
        let Ok(delivery) = received else { return Ok(None) };
        let delivery: Delivery = delivery?;
        let body = delivery.message()?.body_bytes().unwrap_or_default().to_vec();
        delivery.accept()?;
        Ok(Some(body))
    }

    fn close(self) -> Result<()> {
        Ok(self.runtime.block_on(self.connection.close())?)
    }
}
