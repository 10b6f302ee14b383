//! A server of messages: it takes connections and links, prints what it gets and gives everybody greetings.
//!
//! ```text
//! cargo run -p amqp-transport --example listener -- 127.0.0.1:5672
//! ```
//!
//! Any AMQP 1.0 client can talk to it, with the user `guest` and the password `guest`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use amqp_codec::messaging::{Message, Source, Target};
use amqp_codec::transport::{ErrorInfo, Role, conditions};
use amqp_transport::{
    Credit, Incoming, LinkRequest, Listener, ListenerOptions, Receiver, Sender, SettleError,
    StaticCredentials,
};
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

const USAGE: &str = "usage: listener HOST:PORT";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["--help"] => {
            println!("{USAGE}");
            Ok(())
        }
        [address] => serve(address).await,
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("listener: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Takes connections for ever.
async fn serve(address: &str) -> Result<(), Box<dyn Error>> {
    let users = vec![("guest".to_owned(), "guest".to_owned())];
    let options = ListenerOptions::new("example")
        .property("product", "listener example")
        .authenticator(Arc::new(StaticCredentials { anonymous: false, users }));
    // It takes no more connections than ListenerLimits says, and waits for no handshake before it takes the next.
    let mut listener = Listener::bind(address, options).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (incoming, from) = listener.accept().await;
        tokio::spawn(async move {
            if let Err(error) = welcome(incoming).await {
                println!("{from}: {error}");
            }
        });
    }
}

async fn welcome(incoming: Incoming) -> Result<(), Box<dyn Error>> {
    println!("{} is here", incoming.connection().peer().container_id);
    while let Some(request) = incoming.next_link().await {
        answer(request)?;
    }
    println!("{} left: {}", incoming.connection().peer().container_id, incoming.connection().closed().await);
    Ok(())
}

/// Accepts links to and from the node `/greetings`, and refuses all others.
fn answer(request: LinkRequest) -> Result<(), Box<dyn Error>> {
    let Some(attach) = request.attach() else { return Ok(()) };
    let source = attach.source.as_ref().and_then(|source| source.address.clone());
    let target = attach.target.as_ref().and_then(|target| target.address().cloned());
    match (request.role(), source.as_deref(), target.as_deref()) {
        (Role::Sender, _, Some("/greetings")) => {
            let receiver = request.accept_as_receiver(Target::new("/greetings"), Credit::Auto(100))?;
            tokio::spawn(take(receiver));
        }
        (Role::Receiver, Some("/greetings"), _) => {
            let sender = request.accept_as_sender(Source::new("/greetings"))?;
            tokio::spawn(give(sender));
        }
        _ => request.refuse(ErrorInfo::new(conditions::NOT_FOUND, "there is only /greetings here")),
    }
    Ok(())
}

/// Prints each message; only what can be read is accepted.
async fn take(receiver: Receiver) -> Result<(), SettleError> {
    while let Ok(delivery) = receiver.recv().await {
        match delivery.message() {
            Ok(message) => {
                println!("got {:?}", message.body);
                delivery.accept()?;
            }
            Err(error) => {
                let why = ErrorInfo::new(conditions::DECODE_ERROR, error.to_string());
                delivery.reject(Some(why))?;
            }
        }
    }
    Ok(())
}

/// Gives a greeting for each credit.
async fn give(sender: Sender) {
    let mut count = 0_u64;
    loop {
        count += 1;
        match sender.send(Message::data(format!("greeting {count}"))).await {
            Ok(outcome) => println!("greeting {count} was {outcome}"),
            Err(error) => return println!("no more greetings: {error}"),
        }
    }
}
