//! Sends messages to a node and receives them again.
//!
//! ```text
//! cargo run -p amqp-transport --example hello -- amqp://guest:guest@127.0.0.1:5672 /queues/greetings 1000
//! ```
//!
//! Addresses: `/queues/NAME` on RabbitMQ 4, `/amq/queue/NAME` on RabbitMQ 3, `NAME` elsewhere. The queue must exist.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use amqp_codec::messaging::{Header, Message};
use amqp_transport::{Connection, Credit, ReceiverOptions, SenderOptions};
use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

const USAGE: &str = "usage: hello URL ADDRESS [COUNT]";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["--help"] => {
            println!("{USAGE}");
            Ok(())
        }
        [url, address] => greet(url, address, "1000").await,
        [url, address, count] => greet(url, address, count).await,
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hello: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Sends so many messages to the node and receives them again.
async fn greet(url: &str, address: &str, count: &str) -> Result<(), Box<dyn Error>> {
    let count: u32 = count.parse()?;
    let connection = Connection::connect(url).await?;
    println!("connected to {}", connection.peer().property("product").unwrap_or("an unknown product"));

    let sender = connection.sender(SenderOptions::new(address)).await?;
    let started = Instant::now();
    let mut confirmations = Vec::new();
    for n in 0..count {
        let header = Header { durable: true, ..Header::default() };
        let message = Message::data(format!("hello {n}")).with_header(header);
        confirmations.push(sender.deliver(message).await?);
    }
    for confirmation in confirmations {
        confirmation.await?.accepted()?;
    }
    println!("{count} sent and confirmed in {:?}", started.elapsed());

    let started = Instant::now();
    let receiver = connection.receiver(ReceiverOptions::new(address).credit(Credit::Auto(500))).await?;
    for n in 0..count {
        let delivery = receiver.recv().await?;
        let body = delivery.message()?.body_bytes().unwrap_or_default();
        if body != format!("hello {n}") {
            println!("another message was there before: {body:?}");
        }
        delivery.accept()?;
    }
    println!("{count} received and accepted in {:?}", started.elapsed());
    receiver.close().await?;
    connection.close().await?;
    Ok(())
}
