//! The listener, in a process of its own: accepts what it is sent, and sends to whoever receives.

use crate::Result;
use amqp_codec::Encode;
use amqp_codec::messaging::{Message, Source, Target};
use amqp_codec::transport::Role;
use amqp_transport::{
    Credit, LinkRequest, ListenerOptions, Payload, Receiver, Sender, StaticCredentials, TryDeliverError,
};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tokio::net::TcpListener;

/// Deliveries that it lets come.
const CREDIT: u32 = 4000;

/// The process; it ends when this is dropped.
pub(super) struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    /// Starts this very program again.
    pub(super) fn start() -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("listener")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        Ok(Self { child, address: line.trim().parse()? })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It ends at the end of its input.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Is the listener: prints where it listens, and ends with its input.
///
/// # Errors
/// If it cannot listen.
pub fn serve() -> Result<()> {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    super::block_on(async {
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
    let address = request.attach().and_then(|attach| attach.source.as_ref()?.address.clone());
    if request.role() == Role::Sender {
        if let Ok(receiver) = request.accept_as_receiver(Target::default(), Credit::Auto(CREDIT)) {
            tokio::spawn(accept_all(receiver));
        }
    } else if let Ok(sender) =
        request.accept_as_sender(Source { address: address.clone(), ..Source::default() })
    {
        let octets = address.and_then(|address| address.parse().ok()).unwrap_or(100);
        tokio::spawn(send_for_ever(sender, Message::data(vec![b'x'; octets]).to_bytes().into()));
    }
}

async fn accept_all(receiver: Receiver) {
    while let Ok(delivery) = receiver.recv().await {
        if delivery.accept().is_err() {
            return;
        }
    }
}

async fn send_for_ever(sender: Sender, payload: Payload) {
    loop {
        match sender.try_deliver(payload.clone()) {
            Ok(_) => {}
            Err(TryDeliverError::NoCredit(_)) => {
                if sender.credit_available().await.is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
        while sender.try_next_outcome().is_some() {}
    }
}
