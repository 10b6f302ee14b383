//! Getting a connection, and links on it, again and again.

use crate::peer::{Peer, message};
use crate::wire::Wire;
use crate::{client_of, nobody, until, within};
use amqp_codec::transport::{ErrorInfo, conditions};
use amqp_codec::types::Symbol;
use amqp_transport::recovery::{Attachment, Client, ClientError, ClientState, Patience, Trouble};
use amqp_transport::{
    ConnectError, ConnectionError, Limits, LinkError, ReceiverOptions, Sasl, SenderOptions,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;

#[tokio::test]
async fn a_peer_that_refuses_at_first_is_connected_to_once_it_listens() {
    within(async {
        let address = nobody();
        let client = client_of([address]).start();
        let waiting = until(&client, |state| matches!(state, ClientState::Waiting { .. })).await;
        let ClientState::Waiting { reason: Trouble::Connect(ConnectError::Tcp { kind, .. }), .. } = waiting
        else {
            panic!("{waiting:?}")
        };
        assert_eq!(kind, std::io::ErrorKind::ConnectionRefused);
        let _peer = Peer::at(address, Arc::default(), Limits::default()).await;
        until(&client, |state| matches!(state, ClientState::Connected { .. })).await;
        assert_eq!(client.reconnects(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_restarts_on_its_port_is_found_again_with_every_link() {
    within(async {
        let mut peer = Peer::start().await;
        let client = client_of([peer.address]).connect().await.unwrap();
        let sender = client.sender(SenderOptions::new("q")).await.unwrap();
        let receiver = client.receiver(ReceiverOptions::new("q")).await.unwrap();
        for id in 0..5 {
            sender.send(message(id)).await.unwrap().accepted().unwrap();
            peer.store.put([id]);
            let (address, store) = peer.stop().await;
            peer = Peer::at(address, store, Limits::default()).await;
            receiver.recv().await.unwrap().accept().unwrap();
        }
        assert_eq!(client.reconnects(), 5);
    })
    .await;
}

#[tokio::test]
async fn addresses_are_tried_in_turn_and_the_shown_one_has_no_credentials() {
    within(async {
        let (first, second) = (Peer::start().await, Peer::start().await);
        let client = client_of([nobody(), first.address, second.address]).connect().await.unwrap();
        let ClientState::Connected { address } = client.state().borrow().clone() else { panic!() };
        assert_eq!(address, format!("amqp://{}", first.address));
        let sender = client.sender(SenderOptions::new("q")).await.unwrap();
        first.stop().await;
        sender.send(message(1)).await.unwrap().accepted().unwrap();
        assert_eq!(second.store.count(1), 1);
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_never_answers_does_not_stop_the_search() {
    within(async {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = Peer::start().await;
        let client = client_of([silent.local_addr().unwrap(), peer.address])
            .configure(|options| {
                let mut limits = Limits::default();
                limits.handshake = Duration::from_millis(100);
                options.limits(limits)
            })
            .connect()
            .await
            .unwrap();
        let sender = client.sender(SenderOptions::new("q")).await.unwrap();
        sender.send(message(1)).await.unwrap().accepted().unwrap();
    })
    .await;
}

#[tokio::test]
async fn refused_credentials_end_with_a_clear_error() {
    within(async {
        let peer = Peer::start().await;
        let wire = Wire::to(peer.address, []).await;
        let error = Client::builder([format!("amqp://guest:wrong@{}", wire.address)])
            .unwrap()
            .back_off(crate::quickly())
            .connect()
            .await
            .unwrap_err();
        assert_eq!(wire.connections(), 3);
        assert!(matches!(
            &error,
            ClientError::GaveUp {
                attempts: 3,
                last: Trouble::Connect(ConnectError::Connection(ConnectionError::Sasl { .. }))
            }
        ));
        assert_eq!(
            error.to_string(),
            "gave up after 3 attempts to connect: the peer refused the user name or password"
        );
        assert!(!error.is_retryable());
    })
    .await;
}

#[tokio::test]
async fn an_end_of_patience_is_told_to_all_who_wait() {
    within(async {
        let mut patience = Patience::default();
        patience.attempts = Some(4);
        let client = client_of([nobody()]).patience(patience).start();
        let error = client.sender(SenderOptions::new("q")).await.unwrap_err();
        assert!(matches!(error, ClientError::GaveUp { attempts: 4, .. }) && error.is_retryable(), "{error}");
        assert!(
            client.connected().await.is_err() && client.receiver(ReceiverOptions::new("q")).await.is_err()
        );
        let state = until(&client, |state| matches!(state, ClientState::Closed { .. })).await;
        assert!(matches!(state, ClientState::Closed { reason: ClientError::GaveUp { .. } }));
        client.close(Duration::ZERO).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn credentials_are_asked_for_at_each_attempt() {
    within(async {
        let peer = Peer::start().await;
        let asked = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&asked);
        let client = Client::builder([format!("amqp://{}", peer.address)])
            .unwrap()
            .back_off(crate::quickly())
            .credentials(move |_| {
                let times = counts.fetch_add(1, Ordering::SeqCst);
                async move {
                    match times {
                        0 => Err("the vault is sealed"),
                        1 => Ok(Sasl::Plain { user: "guest".to_owned(), password: "stale".to_owned() }),
                        _ => Ok(Sasl::Plain { user: "guest".to_owned(), password: "guest".to_owned() }),
                    }
                }
            })
            .connect()
            .await
            .unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 3);
        let sender = client.sender(SenderOptions::new("q")).await.unwrap();
        let (address, store) = peer.stop().await;
        let _peer = Peer::at(address, store, Limits::default()).await;
        sender.send(message(1)).await.unwrap().accepted().unwrap();
        assert!(asked.load(Ordering::SeqCst) > 3);
    })
    .await;
}

#[tokio::test]
async fn a_link_to_a_node_that_was_never_there_is_refused_at_once() {
    within(async {
        let peer = Peer::start().await;
        peer.store.missing.lock().unwrap().push("q".to_owned());
        let client = client_of([peer.address]).connect().await.unwrap();
        let error = client.sender(SenderOptions::new("q")).await.unwrap_err();
        assert!(matches!(&error, ClientError::Link { attempts: 1, last: LinkError::Refused(_) }), "{error}");
        assert!(!error.is_retryable());
        // The client goes on, and so do other links.
        let sender = client.sender(SenderOptions::new("other")).await.unwrap();
        sender.send(message(1)).await.unwrap().accepted().unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_node_that_comes_back_a_little_later_is_waited_for() {
    within(async {
        let peer = Peer::start().await;
        let client = client_of([peer.address]).connect().await.unwrap();
        let sender = client.sender(SenderOptions::new("q")).await.unwrap();
        let (address, store) = peer.stop().await;
        store.missing.lock().unwrap().push("q".to_owned());
        let _peer = Peer::at(address, Arc::clone(&store), Limits::default()).await;
        let confirmation = sender.deliver(message(1)).await.unwrap();
        store.until(|store| *store.asked.lock().unwrap() >= 4).await;
        store.missing.lock().unwrap().clear();
        confirmation.await.unwrap().accepted().unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_node_that_does_not_come_back_ends_its_link_alone() {
    within(async {
        let peer = Peer::start().await;
        let client = client_of([peer.address]).connect().await.unwrap();
        let sender = client.sender(SenderOptions::new("q")).await.unwrap();
        let receiver = client.receiver(ReceiverOptions::new("q")).await.unwrap();
        let other = client.sender(SenderOptions::new("other")).await.unwrap();
        let (address, store) = peer.stop().await;
        store.missing.lock().unwrap().push("q".to_owned());
        let _peer = Peer::at(address, Arc::clone(&store), Limits::default()).await;
        let error = receiver.recv().await.unwrap_err();
        assert!(matches!(&error, ClientError::Link { attempts: 8, .. }), "{error}");
        assert!(sender.send(message(1)).await.is_err());
        assert!(matches!(*sender.attachment().borrow(), Attachment::Ended(ClientError::Link { .. })));
        other.send(message(2)).await.unwrap().accepted().unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_link_that_the_peer_detaches_is_attached_again() {
    within(async {
        let peer = Peer::start().await;
        let client = client_of([peer.address]).connect().await.unwrap();
        let sender = client.sender(SenderOptions::new("q")).await.unwrap();
        sender.send(message(1)).await.unwrap().accepted().unwrap();
        let asked = *peer.store.asked.lock().unwrap();
        let connection = client.connected().await.unwrap();
        peer.store.detach_senders().await;
        sender.send(message(2)).await.unwrap().accepted().unwrap();
        assert!(!connection.is_closed());
        assert_eq!(*peer.store.asked.lock().unwrap(), asked + 1);
    })
    .await;
}

// §2.6.1
#[tokio::test]
async fn a_link_that_was_attached_again_elsewhere_is_not_fought_over() {
    within(async {
        let peer = Peer::start().await;
        let container = || client_of([peer.address]).configure(|options| options.container_id("app"));
        let link = || SenderOptions::new("q").name("mine");
        let (first, second) = (container().connect().await.unwrap(), container().connect().await.unwrap());
        let loser = first.sender(link()).await.unwrap();
        let winner = second.sender(link()).await.unwrap();
        let mut attachment = loser.attachment();
        let ended = attachment.wait_for(|now| matches!(now, Attachment::Ended(_))).await.unwrap().clone();
        let Attachment::Ended(ClientError::Link { last, .. }) = ended else { unreachable!("{ended:?}") };
        assert!(last.is_stolen(), "{last}");
        assert_eq!(*peer.store.asked.lock().unwrap(), 2);
        winner.send(message(1)).await.unwrap().accepted().unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_redirect_is_followed_only_where_it_may_be() {
    within(async {
        for may_follow in [true, false] {
            let (first, second) = (Peer::start().await, Peer::start().await);
            let port = second.address.port();
            let client = client_of([first.address])
                .follow_redirects(move |host, to| may_follow && host == "127.0.0.1" && to == port)
                .connect()
                .await
                .unwrap();
            let sender = client.sender(SenderOptions::new("q")).await.unwrap();
            let before = client.connected().await.unwrap();
            let mut error = ErrorInfo::new(conditions::CONNECTION_REDIRECT, "go there");
            let info = error.info.get_or_insert_default();
            info.insert(Symbol::from_static("network-host"), "127.0.0.1");
            info.insert(Symbol::from_static("port"), port);
            for connection in first.connections() {
                connection.close_with(error.clone()).await.ok();
            }
            before.closed().await;
            sender.send(message(1)).await.unwrap().accepted().unwrap();
            assert_eq!(second.store.count(1), usize::from(may_follow));
            assert_eq!(first.store.count(1), usize::from(!may_follow));
        }
    })
    .await;
}

/// Counts for as long as it is kept.
struct Kept(Arc<AtomicUsize>);

impl Kept {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn each_connection_is_made_ready_before_links_are_attached_on_it() {
    within(async {
        let peer = Peer::start().await;
        let wire = Wire::to(peer.address, []).await;
        let (times, kept) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (counts, keeps) = (Arc::clone(&times), Arc::clone(&kept));
        let client = client_of([wire.address])
            .prepare(move |connection| {
                let (time, keeps) = (counts.fetch_add(1, Ordering::SeqCst), Arc::clone(&keeps));
                async move {
                    if time == 0 {
                        return Err("the vault is sealed".to_owned());
                    }
                    let ready = connection.sender(SenderOptions::new("ready")).await.unwrap();
                    let id = 100 + u64::try_from(time).unwrap();
                    ready.send(message(id)).await.unwrap().accepted().unwrap();
                    Ok(Kept::new(&keeps))
                }
            })
            .start();
        let waiting = until(&client, |state| matches!(state, ClientState::Waiting { .. })).await;
        let ClientState::Waiting { reason: Trouble::Unprepared(why), .. } = waiting else {
            panic!("{waiting:?}")
        };
        assert_eq!(&*why, "the vault is sealed");
        let sender = client.sender(SenderOptions::new("q")).await.unwrap();
        assert_eq!((wire.connections(), *peer.store.asked.lock().unwrap()), (2, 2));
        for id in 1..=3 {
            let before = client.connected().await.unwrap();
            wire.cut();
            before.closed().await;
            sender.send(message(id)).await.unwrap().accepted().unwrap();
            let time = times.load(Ordering::SeqCst);
            assert_eq!(
                peer.store.count(99 + u64::try_from(time).unwrap()),
                1,
                "made ready before it was sent"
            );
            assert_eq!(kept.load(Ordering::SeqCst), 1);
        }
        assert_eq!(times.load(Ordering::SeqCst), 5);
        drop((client, sender));
        while kept.load(Ordering::SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_is_lost_before_it_is_ready_is_followed_by_the_next() {
    within(async {
        let peer = Peer::start().await;
        let wire = Wire::to(peer.address, []).await;
        let times = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&times);
        let client = client_of([wire.address])
            .prepare(move |_| {
                let is_first = counts.fetch_add(1, Ordering::SeqCst) == 0;
                async move {
                    if is_first {
                        std::future::pending::<()>().await;
                    }
                    Ok::<_, ConnectError>(())
                }
            })
            .start();
        while times.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        wire.cut();
        client.connected().await.unwrap();
        assert_eq!((times.load(Ordering::SeqCst), client.reconnects()), (2, 0));
    })
    .await;
}

#[tokio::test]
async fn a_client_that_is_dropped_closes_its_connection() {
    within(async {
        let peer = Peer::start().await;
        let client = client_of([peer.address]).connect().await.unwrap();
        let sender = client.sender(SenderOptions::new("q")).await.unwrap();
        let state = client.state();
        let theirs = peer.connections().pop().unwrap();
        drop(client);
        // A link keeps its client.
        sender.send(message(1)).await.unwrap().accepted().unwrap();
        drop(sender);
        assert_eq!(theirs.closed().await, ConnectionError::ClosedByPeer(None));
        let mut state = state;
        let closed =
            state.wait_for(|state| matches!(state, ClientState::Closed { .. })).await.unwrap().clone();
        assert!(matches!(closed, ClientState::Closed { reason: ClientError::Closed }));
    })
    .await;
}
