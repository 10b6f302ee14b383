//! What becomes of deliveries.

use crate::peer::{Peer, id_of, message};
use crate::wire::{Cut, Wire};
use crate::{client_of, until, within};
use amqp_codec::transport::SenderSettleMode;
use amqp_transport::recovery::{Attachment, ClientError, ClientState};
use amqp_transport::{Credit, Limits, ReceiverOptions, SenderOptions, SettleError};
use std::collections::BTreeSet;
use std::sync::Arc;

#[tokio::test]
async fn every_message_is_received_and_accepted_wherever_the_connection_is_cut() {
    within(async {
        const MESSAGES: u64 = 3_000;
        let peer = Peer::start().await;
        peer.store.put(0..MESSAGES);
        let early = (1..700).step_by(29).flat_map(|octets| [Cut::ToClient(octets), Cut::ToPeer(octets)]);
        let late = (1..40).flat_map(|n| [Cut::ToClient(700 + 173 * n), Cut::ToPeer(500 + 17 * n)]);
        let wire = Wire::to(peer.address, early.chain(late)).await;
        let client = client_of([wire.address]).start();
        let options = ReceiverOptions::new("q").credit(Credit::Auto(20));
        let receiver = client.receiver(options).await.unwrap();
        let mut received = BTreeSet::new();
        while received.len() < usize::try_from(MESSAGES).unwrap() {
            let delivery = receiver.recv().await.unwrap();
            let id = id_of(&delivery.message().unwrap());
            // An error says that the message comes again.
            if delivery.accept().is_ok() {
                received.insert(id);
            }
        }
        // A verdict may be lost with its connection: then the peer gives the message again, until it knows.
        let accepted = |store: &crate::peer::Store| {
            store.accepted.lock().unwrap().iter().copied().collect::<BTreeSet<_>>().len()
        };
        let all = peer.store.until(|store| accepted(store) == usize::try_from(MESSAGES).unwrap());
        tokio::pin!(all);
        loop {
            tokio::select! {
                () = &mut all => break,
                delivery = receiver.recv() => drop(delivery.unwrap().accept()),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn deliveries_of_a_lost_connection_are_revoked_and_settling_them_is_an_error() {
    within(async {
        let peer = Peer::start().await;
        peer.store.put(0..3);
        let wire = Wire::to(peer.address, []).await;
        let client = client_of([wire.address]).connect().await.unwrap();
        let receiver = client.receiver(ReceiverOptions::new("q").credit(Credit::Auto(2))).await.unwrap();
        let (first, second) = (receiver.recv().await.unwrap(), receiver.recv().await.unwrap());
        assert!(!first.is_revoked() && !second.is_revoked());
        let before = client.connected().await.unwrap();
        wire.cut();
        before.closed().await;
        assert!(first.is_revoked() && second.is_revoked());
        assert!(matches!(first.accept(), Err(SettleError::Link(_))));
        // They come again, and all credit is there again although nothing of it was given back.
        let mut ids = BTreeSet::new();
        for _ in 0..3 {
            let delivery = receiver.recv().await.unwrap();
            ids.insert(id_of(&delivery.message().unwrap()));
            delivery.accept().unwrap();
        }
        assert_eq!(ids, BTreeSet::from([0, 1, 2]));
        assert!(matches!(second.release(), Err(SettleError::Link(_))));
        peer.store.until(|store| store.accepted.lock().unwrap().len() == 3).await;
    })
    .await;
}

#[tokio::test]
async fn credit_given_by_hand_is_given_again_as_far_as_it_is_left() {
    within(async {
        let peer = Peer::start().await;
        peer.store.put(0..10);
        let wire = Wire::to(peer.address, []).await;
        let client = client_of([wire.address]).connect().await.unwrap();
        let receiver = client.receiver(ReceiverOptions::new("q").credit(Credit::Manual)).await.unwrap();
        receiver.set_credit(5);
        for _ in 0..2 {
            receiver.recv().await.unwrap().accept().unwrap();
        }
        peer.store.until(|store| store.accepted.lock().unwrap().len() == 2).await;
        let before = client.connected().await.unwrap();
        wire.cut();
        before.closed().await;
        for _ in 0..3 {
            receiver.recv().await.unwrap().accept().unwrap();
        }
        peer.store.until(|store| store.accepted.lock().unwrap().len() == 5).await;
        assert_eq!(peer.store.queue.lock().unwrap().len(), 5);
    })
    .await;
}

#[tokio::test]
async fn a_paused_receiver_comes_back_when_it_is_resumed() {
    within(async {
        let peer = Peer::start().await;
        let wire = Wire::to(peer.address, []).await;
        let client = client_of([wire.address]).connect().await.unwrap();
        let receiver = client.receiver(ReceiverOptions::new("q")).await.unwrap();
        receiver.pause();
        let before = client.connected().await.unwrap();
        wire.cut();
        before.closed().await;
        client.connected().await.unwrap();
        peer.store.put([7]);
        assert_eq!(*peer.store.asked.lock().unwrap(), 1);
        receiver.resume();
        assert_eq!(id_of(&receiver.recv().await.unwrap().message().unwrap()), 7);
    })
    .await;
}

#[tokio::test]
async fn a_receive_that_is_given_up_loses_nothing() {
    within(async {
        let peer = Peer::start().await;
        let client = client_of([peer.address]).connect().await.unwrap();
        let receiver = client.receiver(ReceiverOptions::new("q")).await.unwrap();
        for _ in 0..100 {
            tokio::select! {
                biased;
                delivery = receiver.recv() => panic!("there is nothing, but {delivery:?} came"),
                () = tokio::task::yield_now() => {}
            }
        }
        let (address, store) = peer.stop().await;
        store.put(0..100);
        let _peer = Peer::at(address, Arc::clone(&store), Limits::default()).await;
        let mut ids = Vec::new();
        while ids.len() < 100 {
            tokio::select! {
                biased;
                delivery = receiver.recv() => {
                    let delivery = delivery.unwrap();
                    ids.push(id_of(&delivery.message().unwrap()));
                    delivery.accept().unwrap();
                }
                () = tokio::task::yield_now() => {}
            }
        }
        assert_eq!(ids, (0..100).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn what_came_settled_before_a_connection_was_lost_is_still_received() {
    within(async {
        let peer = Peer::start().await;
        let client = client_of([peer.address]).connect().await.unwrap();
        let options = ReceiverOptions::new("q").sender_settle_mode(SenderSettleMode::Settled);
        let receiver = client.receiver(options).await.unwrap();
        let connection = client.connected().await.unwrap();
        peer.store.put(0..10);
        peer.store.until(|store| store.queue.lock().unwrap().is_empty()).await;
        peer.stop().await;
        connection.closed().await;
        until(&client, |state| matches!(state, ClientState::Waiting { .. })).await;
        for id in 0..10 {
            assert_eq!(id_of(&receiver.recv().await.unwrap().message().unwrap()), id);
        }
    })
    .await;
}

#[tokio::test]
async fn no_more_is_asked_for_before_what_came_settled_was_taken() {
    within(async {
        let peer = Peer::start().await;
        let client = client_of([peer.address]).connect().await.unwrap();
        let options =
            ReceiverOptions::new("q").credit(Credit::Auto(10)).sender_settle_mode(SenderSettleMode::Settled);
        let receiver = client.receiver(options).await.unwrap();
        let connection = client.connected().await.unwrap();
        peer.store.put(0..30);
        peer.store.until(|store| store.queue.lock().unwrap().len() == 20).await;
        let (address, store) = peer.stop().await;
        connection.closed().await;
        until(&client, |state| matches!(state, ClientState::Waiting { .. })).await;
        let _peer = Peer::at(address, Arc::clone(&store), Limits::default()).await;
        // A link that is asked for later is there, and this one is not.
        let sender = client.sender(SenderOptions::new("other")).await.unwrap();
        for id in 100..110 {
            sender.send(message(id)).await.unwrap().accepted().unwrap();
        }
        assert!(matches!(*receiver.attachment().borrow(), Attachment::Pending));
        assert_eq!(*store.asked.lock().unwrap(), 2);
        for id in 0..30 {
            assert_eq!(id_of(&receiver.recv().await.unwrap().message().unwrap()), id);
        }
        assert_eq!(*store.asked.lock().unwrap(), 3);
    })
    .await;
}

#[tokio::test]
async fn a_closed_receiver_says_so() {
    within(async {
        let peer = Peer::start().await;
        let client = client_of([peer.address]).connect().await.unwrap();
        let receiver = client.receiver(ReceiverOptions::new("q")).await.unwrap();
        receiver.close().await.unwrap();
        assert!(matches!(receiver.recv().await, Err(ClientError::Closed)));
        let other = client.receiver(ReceiverOptions::new("q")).await.unwrap();
        client.close(std::time::Duration::from_secs(5)).await.unwrap();
        assert!(matches!(other.recv().await, Err(ClientError::Closed)));
    })
    .await;
}
