//! Sends and receives messages over as many connections as it takes: restart the broker meanwhile.
//!
//! ```text
//! cargo run -p amqp-transport --example reconnect -- /queues/greetings 100000 amqp://guest:guest@127.0.0.1:5672
//! ```
//!
//! More addresses may follow; they are tried in turn. The queue must exist.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use amqp_codec::messaging::{Header, Message};
use amqp_transport::recovery::{Client, ClientState};
use amqp_transport::{Credit, ReceiverOptions, SenderOptions};
use std::collections::HashSet;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "usage: reconnect ADDRESS COUNT URL...";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["--help"] => {
            println!("{USAGE}");
            Ok(())
        }
        [node, count, ref urls @ ..] if !urls.is_empty() => run(node, count, urls).await,
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("reconnect: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Sends so many messages and receives every one of them.
async fn run(node: &str, count: &str, urls: &[&str]) -> Result<(), Box<dyn Error>> {
    let count: usize = count.parse()?;
    // Fails only for reasons that do not pass by themselves, such as a wrong password.
    let client = Client::builder(urls)?.connect().await?;
    let mut state = client.state();
    tokio::spawn(async move {
        while state.changed().await.is_ok() {
            match &*state.borrow_and_update() {
                ClientState::Connected { address } => println!("connected to {address}"),
                ClientState::Waiting { delay, reason } => println!("next try in {delay:?}: {reason}"),
                other => println!("{other:?}"),
            }
        }
    });
    let sender = client.sender(SenderOptions::new(node)).await?;
    let sending = tokio::spawn(async move {
        let mut confirmations = Vec::new();
        for number in 0..count {
            let header = Header { durable: true, ..Header::default() };
            let message = Message::data(number.to_string()).with_header(header);
            // Waits while too many are without an outcome.
            confirmations.push(sender.deliver(message).await.map_err(|error| error.to_string())?);
        }
        let mut resent = 0;
        for confirmation in confirmations {
            let receipt = confirmation.await.map_err(|error| error.to_string())?;
            resent += usize::from(receipt.is_maybe_duplicated());
            receipt.accepted().map_err(|error| error.to_string())?;
        }
        sender.close().await.map_err(|error| error.to_string())?;
        Ok::<_, String>(resent)
    });
    let receiver = client.receiver(ReceiverOptions::new(node).credit(Credit::Auto(200))).await?;
    // Whoever sends again has to count with duplicates.
    let mut seen = HashSet::new();
    while seen.len() < count {
        let delivery = receiver.recv().await?;
        let body = delivery.message()?.body_bytes().unwrap_or_default();
        // A verdict that comes too late is an error: the message comes again.
        if delivery.accept().is_ok() {
            seen.insert(body);
        }
    }
    let resent = sending.await??;
    client.close(Duration::from_secs(10)).await?;
    println!("{} messages received, {resent} of them were sent more than once", seen.len());
    Ok(())
}
