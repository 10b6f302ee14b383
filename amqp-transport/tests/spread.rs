//! Links that the connection spreads over sessions, within what the peer allows.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use amqp_codec::messaging::{Message, Source, Target};
use amqp_codec::transport::{ErrorInfo, Role, conditions};
use amqp_transport::{
    Address, ConnectOptions, Connection, Credit, Limits, LinkError, ListenerOptions, Receiver,
    ReceiverOptions, Sender, SenderOptions, SessionError, SessionId, StaticCredentials,
};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it takes too long")
}

/// What the peer does about a link to `missing`.
#[derive(Clone, Copy)]
enum Refusal {
    Detach,
    EndTheSession,
}

/// What the peer saw.
#[derive(Default)]
struct Seen {
    links: HashMap<SessionId, usize>,
    attached: usize,
    names: HashSet<String>,
}

/// A connection to a peer with these limits that accepts every link but those to `missing`.
async fn connect(limits: Limits, refusal: Refusal) -> (Connection, Arc<Mutex<Seen>>) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let everyone = Arc::new(StaticCredentials { anonymous: true, users: Vec::new() });
    let listener = ListenerOptions::new("server").authenticator(everyone).limits(limits);
    let address: Address = "amqp://localhost".parse().unwrap();
    let (client, incoming) =
        tokio::join!(ConnectOptions::new(address).connect_over(near), listener.accept(far));
    let (client, incoming) = (client.unwrap(), incoming.unwrap());
    let seen = Arc::new(Mutex::new(Seen::default()));
    let sees = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Some(request) = incoming.next_link().await {
            let attach = request.attach().unwrap().clone();
            let address = attach.target.as_ref().and_then(|target| match target {
                amqp_codec::messaging::TargetArchetype::Target(target) => target.address.clone(),
                _ => None,
            });
            if address.is_some_and(|address| address == "missing") {
                let error = ErrorInfo::new(conditions::NOT_FOUND, "there is no such node");
                match refusal {
                    Refusal::Detach => request.refuse(error),
                    Refusal::EndTheSession => request.end_session(error),
                }
                continue;
            }
            {
                let mut seen = sees.lock().unwrap();
                *seen.links.entry(request.session_id()).or_default() += 1;
                seen.attached += 1;
                seen.names.insert(attach.name.to_string());
            }
            match request.role() {
                Role::Sender => {
                    let receiver = request.accept_as_receiver(Target::new("q"), Credit::Auto(10));
                    tokio::spawn(accept_all(receiver.unwrap()));
                }
                Role::Receiver => {
                    let sender = request.accept_as_sender(Source::new("q")).unwrap();
                    tokio::spawn(async move { sender.detached().await });
                }
            }
        }
    });
    (client, seen)
}

async fn accept_all(receiver: Receiver) {
    while let Ok(delivery) = receiver.recv().await {
        // The link may end first.
        let _ = delivery.accept();
    }
}

fn limits(sessions: u16, links: u32) -> Limits {
    let mut limits = Limits::default();
    limits.channel_max = sessions - 1;
    limits.handle_max = links - 1;
    limits
}

async fn works(sender: &Sender) {
    sender.send(Message::data("x")).await.unwrap().accepted().unwrap();
}

#[tokio::test]
async fn a_thousand_links_fit_where_a_session_takes_eight() {
    within(async {
        let (client, _) = connect(limits(256, 8), Refusal::Detach).await;
        let mut senders = Vec::new();
        for n in 0..1000 {
            senders.push(client.sender(SenderOptions::new(format!("q{n}"))).await.unwrap());
        }
        for sender in &senders {
            works(sender).await;
        }
    })
    .await;
}

#[tokio::test]
async fn links_asked_for_at_once_stay_within_what_the_peer_allows() {
    within(async {
        let (client, seen) = connect(limits(8, 8), Refusal::Detach).await;
        let attaching: Vec<_> = (0..56)
            .map(|n| {
                let client = client.clone();
                tokio::spawn(async move { client.sender(SenderOptions::new(format!("q{n}"))).await })
            })
            .collect();
        let mut senders = Vec::new();
        for task in attaching {
            senders.push(task.await.unwrap().unwrap());
        }
        for sender in &senders {
            works(sender).await;
        }
        // No session was asked for more than it takes: the peer would have closed the connection.
        assert!(!client.is_closed());
        assert_eq!(seen.lock().unwrap().names.len(), 56);
    })
    .await;
}

#[tokio::test]
async fn a_link_has_a_session_to_itself_while_channels_last() {
    within(async {
        let (client, seen) = connect(limits(16, 100), Refusal::Detach).await;
        let mut senders = Vec::new();
        for n in 0..12 {
            senders.push(client.sender(SenderOptions::new(format!("q{n}"))).await.unwrap());
        }
        assert!(seen.lock().unwrap().links.values().all(|links| *links == 1));
        // And there are channels left for sessions begun by hand.
        let mut by_hand = Vec::new();
        for _ in 0..4 {
            by_hand.push(client.session().await.unwrap());
        }
        senders.push(client.sender(SenderOptions::new("q12")).await.unwrap());
        works(senders.last().unwrap()).await;
    })
    .await;
}

#[tokio::test]
async fn when_every_handle_is_in_use_it_is_an_error_and_room_comes_back_with_a_close() {
    within(async {
        let (client, _) = connect(limits(2, 2), Refusal::Detach).await;
        let mut senders = Vec::new();
        for n in 0..4 {
            senders.push(client.sender(SenderOptions::new(format!("q{n}"))).await.unwrap());
        }
        let full = client.sender(SenderOptions::new("q4")).await.unwrap_err();
        assert_eq!(full, LinkError::Session(SessionError::TooMany(2)));
        senders.pop().unwrap().close().await.unwrap();
        works(&client.sender(SenderOptions::new("q4")).await.unwrap()).await;
    })
    .await;
}

#[tokio::test]
async fn a_session_ends_with_its_last_link() {
    within(async {
        // Far more links than channels, one after the other: each has to give its channel back.
        let (client, _) = connect(limits(2, 1), Refusal::Detach).await;
        for n in 0..100 {
            let sender = client.sender(SenderOptions::new(format!("q{n}"))).await.unwrap();
            works(&sender).await;
        }
        let sessions = [client.session().await.unwrap(), client.session().await.unwrap()];
        drop(sessions);
    })
    .await;
}

#[tokio::test]
async fn a_refused_link_takes_no_neighbour_down_although_the_peer_ends_its_session() {
    within(async {
        let (client, _) = connect(limits(4, 20), Refusal::EndTheSession).await;
        let mut senders = Vec::new();
        for n in 0..30 {
            senders.push(client.sender(SenderOptions::new(format!("q{n}"))).await.unwrap());
            let refused = client.sender(SenderOptions::new("missing")).await.unwrap_err();
            assert_eq!(refused.remote_error().unwrap().condition, conditions::NOT_FOUND);
        }
        for sender in &senders {
            works(sender).await;
        }
        let receiver = client.receiver(ReceiverOptions::new("q")).await.unwrap();
        assert!(receiver.is_attached());
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_only_detaches_what_it_refuses_sees_each_link_once() {
    within(async {
        let (client, seen) = connect(limits(4, 20), Refusal::Detach).await;
        client.sender(SenderOptions::new("missing")).await.unwrap_err();
        let mut senders = Vec::new();
        for n in 0..30 {
            senders.push(client.sender(SenderOptions::new(format!("q{n}"))).await.unwrap());
        }
        assert_eq!(seen.lock().unwrap().attached, 30);
        client.sender(SenderOptions::new("missing")).await.unwrap_err();
        for sender in &senders {
            works(sender).await;
        }
    })
    .await;
}

/// Carries octets between a client and a listener; what the listener says is kept back while `holds`.
async fn carry(client: DuplexStream, listener: DuplexStream, holds: watch::Receiver<bool>) {
    let (mut client_says, mut to_client) = tokio::io::split(client);
    let (mut listener_says, mut to_listener) = tokio::io::split(listener);
    let answers = async {
        let mut octets = [0; 4096];
        while let Ok(read @ 1..) = listener_says.read(&mut octets).await {
            let mut holds = holds.clone();
            if holds.wait_for(|holds| !holds).await.is_err()
                || to_client.write_all(&octets[..read]).await.is_err()
            {
                return;
            }
        }
    };
    let _ = tokio::join!(answers, tokio::io::copy(&mut client_says, &mut to_listener));
}

// §2.4.5
#[tokio::test]
async fn a_link_on_a_session_of_its_own_takes_one_round_trip() {
    within(async {
        let (near, client_end) = tokio::io::duplex(64 * 1024);
        let (far, listener_end) = tokio::io::duplex(64 * 1024);
        let (hold, holds) = watch::channel(false);
        tokio::spawn(carry(client_end, listener_end, holds));
        let everyone = Arc::new(StaticCredentials { anonymous: true, users: Vec::new() });
        let listener = ListenerOptions::new("server").authenticator(everyone);
        let address: Address = "amqp://localhost".parse().unwrap();
        let (client, incoming) =
            tokio::join!(ConnectOptions::new(address).connect_over(near), listener.accept(far));
        let (client, incoming) = (client.unwrap(), incoming.unwrap());
        hold.send_replace(true);
        let (sender, _receiver) = tokio::join!(client.sender(SenderOptions::new("q")), async {
            // The attach is here although the begin was not answered, as far as the client knows.
            let request = incoming.next_link().await.unwrap();
            hold.send_replace(false);
            request.accept_as_receiver(Target::new("q"), Credit::Auto(1)).unwrap()
        });
        sender.unwrap().close().await.unwrap();
    })
    .await;
}
