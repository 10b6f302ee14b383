//! Declares, inspects and deletes a queue by requests to the node `/management`.
//!
//! ```text
//! cargo run -p amqp-transport --example management -- amqp://guest:guest@127.0.0.1:5672 greetings
//! ```
//!
//! Works with RabbitMQ 4 and the embedded broker. The name of the queue is percent-encoded; the queue must not exist.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use amqp_codec::messaging::{Header, Message};
use amqp_codec::types::{Map, Value};
use amqp_transport::management::{HttpManagement, RequestError};
use amqp_transport::{Connection, SenderOptions};
use std::error::Error;
use std::process::ExitCode;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const USAGE: &str = "usage: management URL QUEUE";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["--help"] => {
            println!("{USAGE}");
            Ok(())
        }
        [url, queue] => run(url, queue).await,
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("management: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(url: &str, queue: &str) -> Result<()> {
    let connection = Connection::connect(url).await?;
    let management = HttpManagement::new(&connection);
    let path = format!("/queues/{queue}");

    let reply = match management.request("GET", &path, Value::Null).await {
        Ok(reply) => reply,
        Err(error @ RequestError::NotSent(_)) => {
            let product = connection.peer().property("product").unwrap_or("this peer").to_owned();
            return Err(format!("{product} has no node /management: {error}").into());
        }
        Err(error) => return Err(error.into()),
    };
    // A refusal is an answer: here, that there is no such queue.
    if reply.status != 404 {
        return Err(format!("expected no queue {queue}, the answer was {}", reply.status).into());
    }

    let wish: Map = [("durable", true)].into_iter().collect();
    management.request("PUT", &path, Value::Map(wish)).await?.success()?;
    println!("declared {queue}");

    let sender = connection.sender(SenderOptions::new(&path)).await?;
    let header = Header { durable: true, ..Header::default() };
    sender.send(Message::data("hello").with_header(header)).await?.accepted()?;
    sender.close().await?;

    let found = management.request("GET", &path, Value::Null).await?.success()?;
    let found = found.as_map().ok_or("the description of a queue is no map")?;
    for (name, value) in found {
        println!("  {name:?}: {value:?}");
    }
    management.request("DELETE", &path, Value::Null).await?.success()?;
    println!("deleted {queue}");
    connection.close().await?;
    Ok(())
}
