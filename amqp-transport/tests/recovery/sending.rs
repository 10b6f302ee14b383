//! What becomes of messages.

use crate::peer::{Peer, message};
use crate::wire::{Cut, Wire};
use crate::{client_of, nobody, within};
use amqp_codec::messaging::Message;
use amqp_transport::recovery::{ClientError, CloseError, RecoveringSendError, Resend, SendPolicy};
use amqp_transport::{Limits, Outcome, SenderOptions};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

fn policy(resend: Resend) -> SendPolicy {
    let mut policy = SendPolicy::default();
    policy.resend = resend;
    policy.max_messages = 100;
    policy
}

/// Cuts at every stage of a connection's life: within headers, SASL, open, begin, attach and credit, then within
/// transfers and their outcomes.
fn cuts_everywhere() -> Vec<Cut> {
    let early = (1..700).step_by(11).flat_map(|octets| [Cut::ToClient(octets), Cut::ToPeer(octets)]);
    let late = (1..40).flat_map(|n| [Cut::ToPeer(700 + 173 * n), Cut::ToClient(500 + 37 * n)]);
    early.chain(late).collect()
}

#[tokio::test]
async fn every_message_arrives_and_only_those_sent_again_arrive_twice_wherever_the_connection_is_cut() {
    within(async {
        const MESSAGES: u64 = 5_000;
        let peer = Peer::start().await;
        let wire = Wire::to(peer.address, cuts_everywhere()).await;
        let client = client_of([wire.address]).send_policy(policy(Resend::Unconfirmed)).start();
        let sender = client.sender(SenderOptions::new("q")).await.unwrap();
        let (mut id, mut under_way, mut resent) = (0, VecDeque::new(), 0);
        while id < MESSAGES || !wire.is_calm() || !under_way.is_empty() {
            if id < MESSAGES || !wire.is_calm() {
                under_way.push_back((id, sender.deliver(message(id)).await.unwrap()));
                id += 1;
            }
            if under_way.len() == 100 || id >= MESSAGES {
                let (id, confirmation) = under_way.pop_front().unwrap();
                let receipt = confirmation.await.unwrap();
                let count = peer.store.count(id);
                assert!(count >= 1, "message {id} is lost");
                assert!(count <= 1 || receipt.is_maybe_duplicated(), "message {id} came {count} times");
                assert!(count <= 1 + usize::try_from(receipt.resent()).unwrap());
                resent += usize::from(receipt.is_maybe_duplicated());
                receipt.accepted().unwrap();
            }
        }
        client.close(Duration::from_secs(10)).await.unwrap();
        // Nothing came but what was sent, and late duplicates too are only of messages sent again.
        assert_eq!(peer.store.ledger.lock().unwrap().len(), usize::try_from(id).unwrap());
        assert!(resent > 0, "no cut hit a message under way");
        assert!(client.reconnects() > 50, "{}", client.reconnects());
        let stats = client.stats();
        assert!(usize::try_from(stats.resent).unwrap() >= resent && stats.attempts > stats.reconnects);
        assert_eq!((stats.unconfirmed, stats.connection), (0, None));
    })
    .await;
}

#[tokio::test]
async fn what_is_never_to_be_sent_again_arrives_at_most_once_and_is_reported() {
    within(async {
        let peer = Peer::start().await;
        let cuts = (1..40).flat_map(|n| [Cut::ToPeer(900 + 97 * n), Cut::ToClient(500 + 7 * n)]);
        let wire = Wire::to(peer.address, cuts).await;
        let client = client_of([wire.address]).send_policy(policy(Resend::Never)).connect().await.unwrap();
        let sender = client.sender(SenderOptions::new("q")).await.unwrap();
        let mut confirmations = VecDeque::new();
        let (mut id, mut unknown) = (0, 0);
        while id < 4_000 || !wire.is_calm() || !confirmations.is_empty() {
            if id < 4_000 || !wire.is_calm() {
                confirmations.push_back((id, sender.deliver(message(id)).await.unwrap()));
                id += 1;
            }
            if confirmations.len() == 50 || id >= 4_000 {
                let (id, confirmation) = confirmations.pop_front().unwrap();
                match confirmation.await {
                    Ok(receipt) => {
                        assert!(!receipt.is_maybe_duplicated());
                        receipt.accepted().unwrap();
                        assert_eq!(peer.store.count(id), 1);
                    }
                    Err(RecoveringSendError::Unknown { times, cause }) => {
                        assert!(times == 1 && matches!(cause, ClientError::Interrupted(_)), "{cause}");
                        unknown += 1;
                    }
                    Err(error) => panic!("message {id}: {error}"),
                }
            }
        }
        client.close(Duration::from_secs(10)).await.unwrap();
        assert!(unknown > 0, "no cut hit a message under way");
        assert!(peer.store.ledger.lock().unwrap().values().all(|count| *count == 1));
    })
    .await;
}

#[tokio::test]
async fn messages_handed_over_before_there_is_a_connection_are_sent_in_order() {
    within(async {
        let address = nobody();
        let client = client_of([address]).start();
        let asked = tokio::spawn({
            let client = client.clone();
            async move { client.sender(SenderOptions::new("q")).await }
        });
        crate::until(&client, |state| matches!(state, amqp_transport::recovery::ClientState::Waiting { .. }))
            .await;
        let peer = Peer::at(address, Arc::default(), Limits::default()).await;
        let sender = asked.await.unwrap().unwrap();
        let (address, store) = peer.stop().await;
        let mut confirmations = Vec::new();
        for id in 0..50 {
            confirmations.push(sender.deliver(message(id)).await.unwrap());
        }
        assert_eq!(sender.unconfirmed(), 50);
        let _peer = Peer::at(address, Arc::clone(&store), Limits::default()).await;
        for confirmation in confirmations {
            confirmation.await.unwrap().accepted().unwrap();
        }
        assert!(store.ledger.lock().unwrap().values().all(|count| *count == 1));
    })
    .await;
}

#[tokio::test]
async fn a_full_buffer_makes_senders_wait_for_outcomes() {
    within(async {
        let peer = Peer::start().await;
        *peer.store.is_mute.lock().unwrap() = true;
        let mut policy = SendPolicy::default();
        policy.max_messages = 10;
        let client = client_of([peer.address]).send_policy(policy).connect().await.unwrap();
        let sender = client.sender(SenderOptions::new("q")).await.unwrap();
        let mut confirmations = Vec::new();
        for id in 0..10 {
            confirmations.push(sender.deliver(message(id)).await.unwrap());
        }
        peer.store.until(|store| store.ledger.lock().unwrap().len() == 1).await;
        {
            // The eleventh has to wait, and is not sent once nobody waits for its turn any more.
            let eleventh = sender.deliver(message(10));
            tokio::pin!(eleventh);
            assert!(futures_poll_once(eleventh.as_mut()).await.is_none());
        }
        peer.store.answer();
        for confirmation in confirmations {
            confirmation.await.unwrap().accepted().unwrap();
        }
        sender.send(message(11)).await.unwrap().accepted().unwrap();
        assert_eq!(peer.store.count(10), 0);
        assert_eq!(sender.unconfirmed(), 0);
    })
    .await;
}

/// The future's output, if it is there at once.
async fn futures_poll_once<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
    std::future::poll_fn(|cx| match std::pin::Pin::new(&mut future).poll(cx) {
        std::task::Poll::Ready(output) => std::task::Poll::Ready(Some(output)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}

#[tokio::test]
async fn the_buffer_is_bounded_in_octets_and_one_larger_message_goes_alone() {
    within(async {
        let peer = Peer::start().await;
        let mut policy = SendPolicy::default();
        policy.max_octets = 64;
        let client = client_of([nobody(), peer.address]).send_policy(policy).connect().await.unwrap();
        let sender = client.sender(SenderOptions::new("q")).await.unwrap();
        let (_, store) = peer.stop().await;
        let size = amqp_transport::Payload::from(message(1)).bytes().len();
        let mut confirmations = Vec::new();
        for id in 1..=u64::try_from(64 / size).unwrap() {
            confirmations.push(sender.deliver(message(id)).await.unwrap());
        }
        let one_more = sender.deliver(message(255));
        tokio::pin!(one_more);
        assert!(futures_poll_once(one_more.as_mut()).await.is_none());
        assert!(store.ledger.lock().unwrap().is_empty());
        drop(confirmations);
    })
    .await;
    within(async {
        let mut policy = SendPolicy::default();
        policy.max_octets = 1;
        let peer = Peer::start().await;
        let client = client_of([peer.address]).send_policy(policy).connect().await.unwrap();
        let sender = client.sender(SenderOptions::new("q")).await.unwrap();
        for id in 0..10 {
            sender.send(message(id)).await.unwrap().accepted().unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn a_message_larger_than_the_peer_takes_is_an_error_and_holds_nothing_up() {
    within(async {
        let mut limits = Limits::default();
        limits.max_message_size = 1000;
        let peer = Peer::with(limits).await;
        let client = client_of([peer.address]).connect().await.unwrap();
        let sender = client.sender(SenderOptions::new("q")).await.unwrap();
        let error = sender.send(Message::data(vec![0; 2000])).await.unwrap_err();
        assert!(matches!(error, RecoveringSendError::TooLarge { limit: 1000, .. }) && !error.is_retryable());
        sender.send(message(1)).await.unwrap().accepted().unwrap();
        assert_eq!(sender.unconfirmed(), 0);
    })
    .await;
}

#[tokio::test]
async fn closing_sends_what_is_buffered_over_a_new_connection_if_need_be() {
    within(async {
        let peer = Peer::start().await;
        let client = client_of([peer.address]).connect().await.unwrap();
        let sender = client.sender(SenderOptions::new("q")).await.unwrap();
        let (address, store) = peer.stop().await;
        for id in 0..500 {
            drop(sender.deliver(message(id)).await.unwrap());
        }
        let closing = tokio::spawn({
            let client = client.clone();
            async move { client.close(Duration::from_secs(30)).await }
        });
        let _peer = Peer::at(address, Arc::clone(&store), Limits::default()).await;
        closing.await.unwrap().unwrap();
        assert_eq!(store.ledger.lock().unwrap().len(), 500);
        let refused = sender.send(message(500)).await.unwrap_err();
        assert!(matches!(refused, RecoveringSendError::NotSent(ClientError::Closed)), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn closing_in_vain_says_how_many_are_left_and_those_who_wait_are_told() {
    within(async {
        let peer = Peer::start().await;
        *peer.store.is_mute.lock().unwrap() = true;
        let client = client_of([peer.address]).connect().await.unwrap();
        let sender = client.sender(SenderOptions::new("q")).await.unwrap();
        let sent = sender.deliver(message(0)).await.unwrap();
        peer.store.until(|store| store.count(0) == 1).await;
        let (_, store) = peer.stop().await;
        let waiting = sender.deliver(message(1)).await.unwrap();
        assert_eq!(client.close(Duration::from_millis(50)).await, Err(CloseError { unconfirmed: 2 }));
        assert!(matches!(sent.await, Err(RecoveringSendError::Unknown { times: 1, .. })));
        assert!(matches!(waiting.await, Err(RecoveringSendError::NotSent(ClientError::Closed))));
        assert_eq!(store.count(1), 0);
    })
    .await;
}

#[tokio::test]
async fn one_sender_can_be_closed_alone() {
    within(async {
        let peer = Peer::start().await;
        let client = client_of([peer.address]).connect().await.unwrap();
        let first = client.sender(SenderOptions::new("q")).await.unwrap();
        let second = client.sender(SenderOptions::new("q")).await.unwrap();
        let confirmation = first.deliver(message(0)).await.unwrap();
        first.close().await.unwrap();
        confirmation.await.unwrap().accepted().unwrap();
        assert!(first.send(message(1)).await.is_err());
        assert_eq!(second.send(message(2)).await.unwrap().into_outcome(), Outcome::Accepted);
    })
    .await;
}

#[tokio::test]
async fn messages_that_are_dropped_with_their_sender_are_counted() {
    within(async {
        let peer = Peer::start().await;
        *peer.store.is_mute.lock().unwrap() = true;
        let client = client_of([peer.address]).connect().await.unwrap();
        let sender = client.sender(SenderOptions::new("q")).await.unwrap();
        let mut confirmations = Vec::new();
        for id in 0..3 {
            confirmations.push(sender.deliver(message(id)).await.unwrap());
        }
        drop(sender);
        assert_eq!(client.stats().given_up, 0, "somebody waits for them");
        drop(confirmations);
        assert_eq!(client.stats().given_up, 3);
    })
    .await;
}
