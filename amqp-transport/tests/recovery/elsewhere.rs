//! Links that a peer sends elsewhere.

use crate::peer::{Peer, id_of, message};
use crate::{client_of, nobody, within};
use amqp_transport::recovery::{ClientError, Patience};
use amqp_transport::{Limits, LinkError, ReceiverOptions, SenderOptions};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

// §2.8.18
#[tokio::test]
async fn a_link_goes_to_the_peer_that_it_is_sent_to_only_where_it_may() {
    within(async {
        for may_follow in [true, false] {
            let (first, second) = (Peer::start().await, Peer::start().await);
            first.redirects("q", Some(second.address), Some("moved"));
            let port = second.address.port();
            let client = client_of([first.address])
                .follow_redirects(move |host, to| may_follow && host == "127.0.0.1" && to == port)
                .connect()
                .await
                .unwrap();
            match client.sender(SenderOptions::new("q")).await {
                Ok(sender) => {
                    assert!(may_follow);
                    sender.send(message(1)).await.unwrap().accepted().unwrap();
                    assert_eq!((first.store.count(1), second.store.count(1)), (0, 1));
                    sender.close().await.unwrap();
                    // The connection was the link's own.
                    second.connections().pop().unwrap().closed().await;
                }
                Err(error) => {
                    assert!(!may_follow, "{error}");
                    let ClientError::Link { attempts: 1, last: LinkError::Refused(Some(_)) } = error else {
                        panic!("{error}")
                    };
                    assert!(second.connections().is_empty());
                }
            }
            let connection = client.connected().await.unwrap();
            assert!(!connection.is_closed());
            assert_eq!(client.reconnects(), 0);
        }
    })
    .await;
}

// §2.8.18
#[tokio::test]
async fn a_link_goes_to_the_node_that_it_is_sent_to_on_the_same_connection() {
    within(async {
        let peer = Peer::start().await;
        peer.redirects("old", None, Some("new"));
        let client = client_of([peer.address]).follow_redirects(|_, _| true).connect().await.unwrap();
        let receiver = client.receiver(ReceiverOptions::new("old")).await.unwrap();
        peer.store.put([7]);
        let delivery = receiver.recv().await.unwrap();
        assert_eq!(id_of(&delivery.message().unwrap()), 7);
        delivery.accept().unwrap();
        assert_eq!((peer.connections().len(), *peer.store.asked.lock().unwrap()), (1, 2));
    })
    .await;
}

#[tokio::test]
async fn a_link_that_lost_the_peer_that_it_was_sent_to_begins_anew() {
    within(async {
        let (first, second) = (Peer::start().await, Peer::start().await);
        first.redirects("q", Some(second.address), None);
        let client = client_of([first.address]).follow_redirects(|_, _| true).connect().await.unwrap();
        let sender = client.sender(SenderOptions::new("q")).await.unwrap();
        sender.send(message(1)).await.unwrap().accepted().unwrap();
        assert_eq!(second.store.count(1), 1);
        first.store.elsewhere.lock().unwrap().clear();
        second.stop().await;
        sender.send(message(2)).await.unwrap().accepted().unwrap();
        assert_eq!((first.store.count(2), client.reconnects()), (1, 0));
    })
    .await;
}

#[tokio::test]
async fn a_link_that_is_sent_where_nobody_listens_waits_a_little() {
    within(async {
        let first = Peer::start().await;
        let second = nobody();
        first.redirects("q", Some(second), None);
        let client = client_of([first.address]).follow_redirects(|_, _| true).connect().await.unwrap();
        let store = Arc::clone(&first.store);
        let (sender, peer) = tokio::join!(client.sender(SenderOptions::new("q")), async {
            store.until(|store| *store.asked.lock().unwrap() >= 3).await;
            Peer::at(second, Arc::default(), Limits::default()).await
        });
        sender.unwrap().send(message(1)).await.unwrap().accepted().unwrap();
        assert_eq!(peer.store.count(1), 1);
    })
    .await;
}

#[tokio::test]
async fn a_link_that_is_sent_round_in_circles_gives_up() {
    within(async {
        let (first, second) = (Peer::start().await, Peer::start().await);
        first.redirects("q", Some(second.address), None);
        second.redirects("q", Some(first.address), None);
        let mut patience = Patience::default();
        patience.lasting_refusals = 2;
        let client = client_of([first.address])
            .patience(patience)
            .follow_redirects(|_, _| true)
            .connect()
            .await
            .unwrap();
        let error = client.sender(SenderOptions::new("q")).await.unwrap_err();
        assert!(matches!(error, ClientError::Link { attempts: 2, last: LinkError::Refused(_) }), "{error}");
        // Twice: asked for once, and sent on three times.
        assert_eq!((*first.store.asked.lock().unwrap(), *second.store.asked.lock().unwrap()), (4, 4));
        // Other links are well.
        client.sender(SenderOptions::new("other")).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_link_that_was_sent_elsewhere_ends_with_its_client() {
    within(async {
        let (first, second) = (Peer::start().await, Peer::start().await);
        first.redirects("q", Some(second.address), None);
        let client = client_of([first.address]).follow_redirects(|_, _| true).connect().await.unwrap();
        let receiver = client.receiver(ReceiverOptions::new("q")).await.unwrap();
        client.close(Duration::from_secs(5)).await.unwrap();
        assert!(matches!(receiver.recv().await, Err(ClientError::Closed)));
        second.connections().pop().unwrap().closed().await;
    })
    .await;
}

#[tokio::test]
async fn messages_of_a_link_on_its_way_elsewhere_do_not_wait_beyond_the_end_of_their_client() {
    within(async {
        let (first, second) = (Peer::start().await, Peer::start().await);
        let prepared = AtomicUsize::new(0);
        let client = client_of([first.address])
            .follow_redirects(|_, _| true)
            .prepare(move |_| {
                // The one after the client's own two never comes to its end.
                let is_last = prepared.fetch_add(1, Ordering::Relaxed) == 2;
                async move {
                    if is_last {
                        std::future::pending::<()>().await;
                    }
                    Ok::<_, Infallible>(())
                }
            })
            .connect()
            .await
            .unwrap();
        let sender = client.sender(SenderOptions::new("q")).await.unwrap();
        *first.store.is_mute.lock().unwrap() = true;
        let confirmation = sender.deliver(message(1)).await.unwrap();
        first.redirects("q", Some(second.address), None);
        let (address, store) = first.stop().await;
        let _first = Peer::at(address, store, Limits::default()).await;
        while second.connections().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let error = client.close(Duration::ZERO).await.unwrap_err();
        assert_eq!(error.unconfirmed, 1);
        assert!(confirmation.await.is_err());
        second.connections().pop().unwrap().closed().await;
    })
    .await;
}

#[tokio::test]
async fn the_connection_of_a_link_that_left_something_behind_is_closed_all_the_same() {
    within(async {
        let (first, second) = (Peer::start().await, Peer::start().await);
        first.redirects("q", Some(second.address), None);
        let client = client_of([first.address]).follow_redirects(|_, _| true).connect().await.unwrap();
        let receiver = client.receiver(ReceiverOptions::new("q")).await.unwrap();
        second.store.put([7]);
        let held = receiver.recv().await.unwrap();
        receiver.close().await.unwrap();
        second.connections().pop().unwrap().closed().await;
        drop(held);
    })
    .await;
}
