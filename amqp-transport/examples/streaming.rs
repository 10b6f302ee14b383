//! Sends a file as one message and receives it into another file, in parts: neither side ever holds all of it.
//!
//! ```text
//! cargo run -p amqp-transport --example streaming -- amqp://guest:guest@127.0.0.1:5672 /queues/files FROM TO
//! ```
//!
//! Addresses: `/queues/NAME` on RabbitMQ 4, `/amq/queue/NAME` on RabbitMQ 3, `NAME` elsewhere. The queue must exist and be
//! empty. How large a message may be is the broker's choice: often 16 MiB.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use amqp_codec::messaging::{Header, Message, Properties};
use amqp_transport::{
    Address, ConnectOptions, Connection, Credit, Limits, Payload, ReceiverOptions, SenderOptions,
};
use std::error::Error;
use std::process::ExitCode;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Octets read at once.
const PART: usize = 64 * 1024;

const USAGE: &str = "usage: streaming URL ADDRESS FROM TO";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["--help"] => {
            println!("{USAGE}");
            Ok(())
        }
        [url, node, from, to] => run(url, node, from, to).await,
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("streaming: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(url: &str, node: &str, from: &str, to: &str) -> Result<()> {
    let address: Address = url.parse()?;
    let mut limits = Limits::default();
    // What waits to be sent, and what has come and is not read yet.
    (limits.max_queued_bytes, limits.max_stream_bytes) = (4 * PART, 4 * PART);
    let connection = ConnectOptions::new(address).limits(limits).connect().await?;

    let sent = send(&connection, node, from).await?;
    println!("{sent} octets sent");
    let received = receive(&connection, node, File::create(to).await?).await?;
    println!("{received} octets received");
    connection.close().await?;
    Ok(())
}

/// Sends a file as the body of one message.
async fn send(connection: &Connection, node: &str, name: &str) -> Result<usize> {
    let mut from = File::open(name).await?;
    let size = u32::try_from(from.metadata().await?.len())?;
    let sender = connection.sender(SenderOptions::new(node)).await?;
    let properties = Properties { subject: Some(name.into()), ..Properties::default() };
    let head = Message::default()
        .with_header(Header { durable: true, ..Header::default() })
        .with_properties(properties);
    let mut writer = sender.stream(Payload::head(&head)).await?;
    // Where the size is not known, `write_data` makes a section of each part.
    writer.begin_data(size).await?;
    let mut sent = 0;
    loop {
        let mut part = Vec::with_capacity(PART);
        // An error drops the writer, and the message is taken back.
        let read = from.read_buf(&mut part).await?;
        if read == 0 {
            break;
        }
        // Waits as long as the buffer is full.
        writer.write(part).await?;
        sent += read;
    }
    if usize::try_from(size) != Ok(sent) {
        return Err(format!("expected {size} octets in {name}, there were {sent}").into());
    }
    writer.finish().await?.accepted()?;
    sender.close().await?;
    Ok(sent)
}

/// Writes the body of the next message as it comes.
async fn receive(connection: &Connection, node: &str, mut to: impl AsyncWrite + Unpin) -> Result<usize> {
    // A session of its own: while nobody reads, nothing else on it moves.
    let receiver = connection.stream_receiver(ReceiverOptions::new(node).credit(Credit::Auto(1))).await?;
    let mut message = receiver.recv().await?;
    let subject = message.head().await?.properties.as_ref().and_then(|properties| properties.subject.clone());
    println!("{} is coming", subject.as_deref().unwrap_or("a message without a subject"));
    let mut received = 0;
    while let Some(octets) = message.read_data().await? {
        to.write_all(&octets).await?;
        received += octets.len();
    }
    to.flush().await?;
    // Before this, an error would give the message back.
    message.accept()?;
    receiver.close().await?;
    Ok(received)
}
