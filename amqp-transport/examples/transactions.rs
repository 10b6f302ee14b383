//! Messages posted and taken within transactions: all of them or none.
//!
//! ```text
//! cargo run -p amqp-transport --example transactions -- amqp://guest:guest@127.0.0.1:5672 /queues/orders
//! ```
//!
//! Works with the embedded broker, ActiveMQ and Qpid, where an address is `NAME`. RabbitMQ has no transactions over AMQP
//! 1.0. The queue must exist and be empty.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use amqp_codec::messaging::Message;
use amqp_transport::transaction::Controller;
use amqp_transport::{Connection, Credit, Outcome, Receiver, ReceiverOptions, Sender, SenderOptions};
use std::error::Error;
use std::process::ExitCode;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const USAGE: &str = "usage: transactions URL ADDRESS";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["--help"] => {
            println!("{USAGE}");
            Ok(())
        }
        [url, node] => run(url, node).await,
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("transactions: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(url: &str, node: &str) -> Result<()> {
    let connection = Connection::connect(url).await?;
    // Links and controller share a session: few brokers let a transaction span several.
    let session = connection.session().await?;
    let controller = match session.controller().await {
        Ok(controller) => controller,
        Err(error) => {
            let product = connection.peer().property("product").unwrap_or("this peer").to_owned();
            return Err(format!("{product} has no transactions: {error}").into());
        }
    };
    let sender = session.sender(SenderOptions::new(node)).await?;
    let receiver = session.receiver(ReceiverOptions::new(node).credit(Credit::Auto(10))).await?;
    post(&controller, &sender).await?;
    take(&controller, &receiver).await?;
    connection.close().await?;
    Ok(())
}

async fn post(controller: &Controller, sender: &Sender) -> Result<()> {
    let transaction = controller.declare().await?;
    for body in ["one", "two"] {
        transaction.send(sender, Message::data(body)).await?.accepted()?;
    }
    transaction.commit().await?;
    println!("posted one and two, committed");

    let transaction = controller.declare().await?;
    transaction.send(sender, Message::data("three")).await?.accepted()?;
    // As it would be by an error on the way.
    drop(transaction);
    println!("posted three, rolled back");
    Ok(())
}

async fn take(controller: &Controller, receiver: &Receiver) -> Result<()> {
    // What is rolled back comes again.
    for commits in [false, true] {
        let transaction = controller.declare().await?;
        let mut taken = Vec::new();
        for _ in 0..2 {
            let delivery = receiver.recv().await?;
            let body = delivery.message()?.body_bytes().unwrap_or_default();
            taken.push(String::from_utf8_lossy(&body).into_owned());
            transaction.settle(delivery, Outcome::Accepted)?;
        }
        taken.sort();
        if taken != ["one", "two"] {
            return Err(format!("expected the messages one and two, got {taken:?}").into());
        }
        if commits {
            transaction.commit().await?;
            println!("took one and two, committed");
        } else {
            transaction.rollback().await?;
            println!("took one and two, rolled back");
        }
    }
    receiver.drain().await?;
    if receiver.queued() > 0 {
        return Err("expected an empty queue after the last commit".into());
    }
    println!("nothing is left");
    Ok(())
}
