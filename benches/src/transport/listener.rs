//! This project's listener in a process of its own, for its memory: it accepts what it is sent.

use super::peer::end_with_input;
use super::{clients, idle};
use crate::Result;
use amqp_codec::messaging::Target;
use amqp_transport::{Credit, LinkRequest, ListenerOptions, Receiver, StaticCredentials};
use std::io::Write;
use std::sync::Arc;
use tokio::net::TcpListener;

/// Deliveries that it lets come.
const CREDIT: u32 = 1000;

/// Is the listener: prints where it listens, and ends with its input.
///
/// # Errors
/// If it cannot listen.
pub fn serve() -> Result<()> {
    idle::raise_files()?;
    end_with_input();
    clients::one_thread(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        std::io::stdout().flush()?;
        let options = ListenerOptions::new("bench-listener")
            .authenticator(Arc::new(StaticCredentials { anonymous: true, users: Vec::new() }));
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let options = options.clone();
            tokio::spawn(async move {
                let incoming = match options.accept(stream).await {
                    Ok(incoming) => incoming,
                    Err(error) => return eprintln!("listener: {error}"),
                };
                while let Some(request) = incoming.next_link().await {
                    answer(request);
                }
            });
        }
    })
}

fn answer(request: LinkRequest) {
    if let Ok(receiver) = request.accept_as_receiver(Target::default(), Credit::Auto(CREDIT)) {
        tokio::spawn(accept_all(receiver));
    }
}

async fn accept_all(receiver: Receiver) {
    while let Ok(delivery) = receiver.recv().await {
        if delivery.accept().is_err() {
            return;
        }
    }
}
