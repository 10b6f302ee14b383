//! Claims-based security, both sides: a listener whose node `orders` wants a token, and a client that puts one.
//!
//! ```text
//! cargo run -p amqp-transport --example cbs -- 127.0.0.1:0
//! ```
//!
//! The client's half is what Azure Service Bus and Event Hubs want; the key is in their connection string.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use amqp_codec::messaging::{Message, Target};
use amqp_codec::transport::{ErrorInfo, Role, conditions};
use amqp_transport::cbs::{Cbs, CbsServer, NODE, PutToken, SasKey};
use amqp_transport::management::Refusal;
use amqp_transport::{
    Address, ConnectOptions, Credit, LinkRequest, ListenerOptions, Receiver, Sasl, SenderOptions,
    StaticCredentials,
};
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;
use tokio::net::{TcpListener, TcpStream};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const AUDIENCE: &str = "sb://example.servicebus.windows.net/orders";

const USAGE: &str = "usage: cbs HOST:PORT";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["--help"] => {
            println!("{USAGE}");
            Ok(())
        }
        [address] => run(address).await,
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cbs: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Listens there, and connects to it.
async fn run(address: &str) -> Result<()> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.map_err(|error| error.to_string())?;
        serve(stream).await.map_err(|error| error.to_string())
    });
    let connection = ConnectOptions::new(format!("amqp://{address}").parse::<Address>()?)
        .sasl(Sasl::Anonymous)
        .connect()
        .await?;

    let Err(refused) = connection.sender(SenderOptions::new("orders")).await else {
        return Err("expected a refusal: no token was put".into());
    };
    println!("without a token: {refused}");

    let key = SasKey::new("RootManageSharedAccessKey", "c2VjcmV0LWtleQ==");
    // Renewed before it expires, for as long as it is held.
    let authorization = Cbs::new(&connection, key).authorize(AUDIENCE).await?;
    println!("put a token for {AUDIENCE}");
    let sender = connection.sender(SenderOptions::new("orders")).await?;
    sender.send(Message::data("an order")).await?.accepted()?;
    println!("an order was accepted");
    drop(authorization);
    connection.close().await?;
    Ok(serving.await??)
}

/// The listener's half, for one connection.
async fn serve(stream: TcpStream) -> Result<()> {
    let anyone = StaticCredentials { anonymous: true, users: Vec::new() };
    let incoming = ListenerOptions::new("example").authenticator(Arc::new(anyone)).accept(stream).await?;
    let is_authorized = Arc::new(AtomicBool::new(false));
    let mut cbs = CbsServer::new({
        let is_authorized = Arc::clone(&is_authorized);
        move |put: PutToken| {
            let checked = check(&put);
            is_authorized.store(checked.is_ok() && put.audience == AUDIENCE, Ordering::SeqCst);
            std::future::ready(checked)
        }
    });
    while let Some(request) = incoming.next_link().await {
        if is_to_cbs(&request) {
            cbs.serve(request)?;
        } else if is_authorized.load(Ordering::SeqCst) {
            tokio::spawn(take(request));
        } else {
            let why = format!("expected a token for {AUDIENCE} at {NODE}");
            request.refuse(ErrorInfo::new(conditions::UNAUTHORIZED_ACCESS, why));
        }
    }
    Ok(())
}

/// A token must be signed with the key and not have expired.
fn check(put: &PutToken) -> std::result::Result<(), Refusal> {
    let key = SasKey::new("RootManageSharedAccessKey", "c2VjcmV0LWtleQ==");
    let checked = key.check(&put.token, &put.audience, SystemTime::now());
    checked.map(|_until| ()).map_err(|error| Refusal {
        status: 401,
        condition: None,
        description: error.to_string(),
    })
}

fn is_to_cbs(request: &LinkRequest) -> bool {
    let Some(attach) = request.attach() else { return false };
    let address = match request.role() {
        Role::Sender => attach.target.as_ref().and_then(|target| target.address().map(|address| &**address)),
        Role::Receiver => attach.source.as_ref().and_then(|source| source.address.as_deref()),
    };
    address == Some(NODE)
}

/// Takes orders until the client leaves.
async fn take(request: LinkRequest) -> std::result::Result<(), Box<dyn Error + Send + Sync>> {
    let orders: Receiver = request.accept_as_receiver(Target::new("orders"), Credit::Auto(10))?;
    while let Ok(delivery) = orders.recv().await {
        delivery.accept()?;
    }
    Ok(())
}
