//! Client and listener of this crate against each other, over an in-memory stream.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use amqp_codec::messaging::{Message, Modified, Source, Target};
use amqp_codec::transport::{ErrorInfo, Role, conditions};
use amqp_transport::{
    Address, ConnectOptions, Connection, Credit, Incoming, Limits, LinkError, ListenerOptions, Outcome,
    Payload, Receiver, ReceiverOptions, Sender, SenderOptions, StaticCredentials,
};
use std::sync::Arc;
use std::time::Duration;

fn credentials() -> Arc<StaticCredentials> {
    Arc::new(StaticCredentials { anonymous: true, users: vec![("guest".into(), "guest".into())] })
}

/// A connection with these limits on both sides.
async fn pair_with(limits: Limits) -> (Connection, Incoming) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let listener = ListenerOptions::new("server").authenticator(credentials()).limits(limits.clone());
    let address: Address = "amqp://guest:guest@localhost".parse().unwrap();
    let client = ConnectOptions::new(address).container_id("client").limits(limits);
    let (client, incoming) = tokio::join!(client.connect_over(near), listener.accept(far));
    (client.unwrap(), incoming.unwrap())
}

async fn pair() -> (Connection, Incoming) {
    pair_with(Limits::default()).await
}

/// A link from the client to the listener.
async fn client_sends(client: &Connection, incoming: &Incoming, credit: Credit) -> (Sender, Receiver) {
    let session = client.session().await.unwrap();
    let (sender, receiver) = tokio::join!(session.sender(SenderOptions::new("q")), async {
        let request = incoming.next_link().await.unwrap();
        assert_eq!(request.role(), Role::Sender);
        request.accept_as_receiver(Target::new("q"), credit).unwrap()
    });
    (sender.unwrap(), receiver)
}

/// A link from the listener to the client.
async fn client_receives(client: &Connection, incoming: &Incoming, credit: Credit) -> (Receiver, Sender) {
    let session = client.session().await.unwrap();
    let (receiver, sender) =
        tokio::join!(session.receiver(ReceiverOptions::new("q").credit(credit)), async {
            incoming.next_link().await.unwrap().accept_as_sender(Source::new("q")).unwrap()
        });
    (receiver.unwrap(), sender)
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it takes too long")
}

// §3.4
#[tokio::test]
async fn each_outcome_reaches_the_sender() {
    within(async {
        let (client, incoming) = pair().await;
        let (sender, receiver) = client_sends(&client, &incoming, Credit::Auto(10)).await;
        let error = ErrorInfo::new(conditions::INVALID_FIELD, "no");
        let modified = Modified { delivery_failed: true, ..Modified::default() };
        for outcome in [
            Outcome::Accepted,
            Outcome::Released,
            Outcome::Rejected(Some(error)),
            Outcome::Rejected(None),
            Outcome::Modified(modified),
        ] {
            let (sent, ()) = tokio::join!(sender.send(Message::data("x")), async {
                receiver.recv().await.unwrap().settle(outcome.clone()).unwrap();
            });
            assert_eq!(sent.unwrap(), outcome);
        }
    })
    .await;
}

#[tokio::test]
async fn a_delivery_that_is_dropped_is_released() {
    within(async {
        let (client, incoming) = pair().await;
        let (sender, receiver) = client_sends(&client, &incoming, Credit::Auto(10)).await;
        let (sent, ()) = tokio::join!(sender.send(Message::data("x")), async {
            drop(receiver.recv().await.unwrap());
        });
        assert_eq!(sent.unwrap(), Outcome::Released);
    })
    .await;
}

#[tokio::test]
async fn messages_of_many_frames_arrive_whole_both_ways() {
    within(async {
        let mut limits = Limits::default();
        limits.max_frame_size = 512;
        limits.incoming_window = 2;
        let (client, incoming) = pair_with(limits).await;
        let body: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let (sender, receiver) = client_sends(&client, &incoming, Credit::Auto(2)).await;
        let (sent, ()) = tokio::join!(sender.send(Message::data(body.clone())), async {
            let delivery = receiver.recv().await.unwrap();
            assert_eq!(delivery.message().unwrap().body_bytes().unwrap(), body);
            delivery.accept().unwrap();
        });
        sent.unwrap().accepted().unwrap();
        let (receiver, sender) = client_receives(&client, &incoming, Credit::Auto(1)).await;
        sender.credit_available().await.unwrap();
        let number = sender.try_deliver(Message::data(body.clone())).unwrap();
        let delivery = receiver.recv().await.unwrap();
        assert_eq!(delivery.message().unwrap().body_bytes().unwrap(), body);
        delivery.accept().unwrap();
        assert_eq!(sender.next_outcome().await.unwrap(), (number, Outcome::Accepted));
    })
    .await;
}

#[tokio::test]
async fn ten_thousand_messages_flow_in_order_with_little_credit() {
    within(async {
        let mut limits = Limits::default();
        limits.incoming_window = 7;
        let (client, incoming) = pair_with(limits).await;
        let (sender, receiver) = client_sends(&client, &incoming, Credit::Auto(13)).await;
        let sending = async {
            let mut confirmations = Vec::new();
            for n in 0..10_000_u32 {
                let payload = Payload::from(Message::value(n));
                confirmations.push(sender.deliver(payload).await.unwrap());
            }
            for confirmation in confirmations {
                confirmation.await.unwrap().accepted().unwrap();
            }
        };
        let receiving = async {
            for n in 0..10_000_u32 {
                let delivery = receiver.recv().await.unwrap();
                assert_eq!(delivery.message().unwrap(), Message::value(n));
                delivery.accept().unwrap();
            }
        };
        tokio::join!(sending, receiving);
    })
    .await;
}

#[tokio::test]
async fn a_refused_link_tells_the_reason_and_leaves_the_session_alive() {
    within(async {
        let (client, incoming) = pair().await;
        let session = client.session().await.unwrap();
        let (refused, ()) = tokio::join!(session.sender(SenderOptions::new("nowhere")), async {
            let request = incoming.next_link().await.unwrap();
            request.refuse(ErrorInfo::new(conditions::NOT_FOUND, "no queue 'nowhere'"));
        });
        match refused.unwrap_err() {
            LinkError::Refused(Some(error)) => assert_eq!(error.condition, conditions::NOT_FOUND),
            other => panic!("{other:?}"),
        }
        let (sender, receiver) = tokio::join!(session.sender(SenderOptions::new("q")), async {
            incoming.next_link().await.unwrap().accept_as_receiver(Target::new("q"), Credit::Auto(1)).unwrap()
        });
        let sender = sender.unwrap();
        let (sent, ()) = tokio::join!(sender.send(Message::data("x")), async {
            receiver.recv().await.unwrap().accept().unwrap();
        });
        sent.unwrap().accepted().unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_wrong_password_gets_nobody_in() {
    within(async {
        let (near, far) = tokio::io::duplex(4096);
        let listener = ListenerOptions::new("server").authenticator(credentials());
        let address: Address = "amqp://guest:wrong@localhost".parse().unwrap();
        let (client, incoming) =
            tokio::join!(ConnectOptions::new(address).connect_over(near), listener.accept(far));
        let error = client.unwrap_err();
        assert!(error.to_string().contains("refused the user name or password"), "{error}");
        assert!(!error.is_retryable());
        incoming.unwrap_err();
    })
    .await;
}

#[tokio::test]
async fn a_user_without_a_password_is_not_anonymous() {
    within(async {
        let (near, far) = tokio::io::duplex(4096);
        let listener = ListenerOptions::new("server").authenticator(credentials());
        let address: Address = "amqp://guest@localhost".parse().unwrap();
        let (client, incoming) =
            tokio::join!(ConnectOptions::new(address).connect_over(near), listener.accept(far));
        client.unwrap_err();
        incoming.unwrap_err();
    })
    .await;
}

#[tokio::test]
async fn pause_stops_deliveries_and_leaves_those_taken_settleable() {
    within(async {
        let (client, incoming) = pair().await;
        let (receiver, sender) = client_receives(&client, &incoming, Credit::Auto(1)).await;
        sender.credit_available().await.unwrap();
        let first = sender.try_deliver(Message::data("1")).unwrap();
        let delivery = receiver.recv().await.unwrap();
        receiver.pause().unwrap();
        delivery.accept().unwrap();
        assert_eq!(sender.next_outcome().await.unwrap(), (first, Outcome::Accepted));
        assert_eq!(sender.credit(), 0);
        receiver.resume().unwrap();
        sender.credit_available().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn drain_gives_unused_credit_back() {
    within(async {
        let (client, incoming) = pair().await;
        let (receiver, sender) = client_receives(&client, &incoming, Credit::Manual).await;
        receiver.set_credit(5).unwrap();
        sender.credit_available().await.unwrap();
        let _ = sender.try_deliver(Message::data("1")).unwrap();
        let draining = receiver.drain();
        let answering = async {
            while !sender.is_draining() {
                tokio::task::yield_now().await;
            }
            sender.drained();
        };
        let (drained, ()) = tokio::join!(draining, answering);
        drained.unwrap();
        assert_eq!(sender.credit(), 0);
        receiver.recv().await.unwrap().accept().unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_link_can_be_drained_dry() {
    within(async {
        let (client, incoming) = pair().await;
        let (receiver, sender) = client_receives(&client, &incoming, Credit::Manual).await;
        receiver.set_credit(2).unwrap();
        for _ in 0..2 {
            sender.credit_available().await.unwrap();
            let _ = sender.try_deliver(Message::data("1")).unwrap();
        }
        receiver.drain().await.unwrap();
        for _ in 0..2 {
            receiver.recv().await.unwrap().accept().unwrap();
        }
        receiver.set_credit(1).unwrap();
        sender.credit_available().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn an_orderly_close_is_answered() {
    within(async {
        let (client, incoming) = pair().await;
        let (sender, receiver) = client_sends(&client, &incoming, Credit::Auto(1)).await;
        client.close().await.unwrap();
        assert!(sender.send(Message::data("x")).await.is_err());
        receiver.recv().await.unwrap_err();
        assert!(incoming.next_link().await.is_none());
    })
    .await;
}

#[tokio::test]
async fn a_closed_link_gives_back_what_was_not_taken() {
    within(async {
        let (client, incoming) = pair().await;
        let (receiver, sender) = client_receives(&client, &incoming, Credit::Auto(2)).await;
        sender.credit_available().await.unwrap();
        let number = sender.try_deliver(Message::data("1")).unwrap();
        while receiver.queued() == 0 {
            tokio::task::yield_now().await;
        }
        receiver.close().await.unwrap();
        assert_eq!(sender.next_outcome().await.unwrap(), (number, Outcome::Released));
        sender.next_outcome().await.unwrap_err();
    })
    .await;
}

#[tokio::test]
async fn handles_and_channels_are_used_again() {
    within(async {
        let mut limits = Limits::default();
        limits.channel_max = 1;
        limits.handle_max = 1;
        let (client, incoming) = pair_with(limits).await;
        let accepting = tokio::spawn(async move {
            let mut links = Vec::new();
            while let Some(request) = incoming.next_link().await {
                links.push(request.accept_as_receiver(Target::new("q"), Credit::Auto(1)).unwrap());
            }
            links.len()
        });
        for _ in 0..20 {
            let session = client.session().await.unwrap();
            let one = session.sender(SenderOptions::new("q")).await.unwrap();
            let _two = session.sender(SenderOptions::new("q")).await.unwrap();
            assert!(matches!(
                session.sender(SenderOptions::new("q")).await.unwrap_err(),
                LinkError::TooMany(2)
            ));
            one.close().await.unwrap();
            session.sender(SenderOptions::new("q")).await.unwrap().close().await.unwrap();
            session.end().await;
        }
        client.close().await.unwrap();
        assert_eq!(accepting.await.unwrap(), 60);
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_never_reads_is_not_read_from_for_ever() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    within(async {
        let (mut near, far) = tokio::io::duplex(64 * 1024);
        let listener = ListenerOptions::new("server").authenticator(credentials());
        let accepting = tokio::spawn(async move { listener.accept(far).await });
        let mut hello = amqp_codec::BytesMut::from(&b"AMQP\x00\x01\x00\x00"[..]);
        let open = amqp_codec::transport::Open::new("peer");
        let open = amqp_codec::transport::Performative::Open(Box::new(open));
        amqp_codec::frame::encode_frame(&mut hello, 0, &open);
        near.write_all(&hello).await.unwrap();
        let _incoming = accepting.await.unwrap().unwrap();
        let mut greeting = [0; 8];
        near.read_exact(&mut greeting).await.unwrap();
        // Sessions begun and ended, each with two answers that nobody reads.
        let mut chatter = amqp_codec::BytesMut::new();
        let begin = amqp_codec::transport::Begin::new(0_u32, 1_u32, 1_u32);
        let begin = amqp_codec::transport::Performative::Begin(Box::new(begin));
        let end = amqp_codec::transport::Performative::End(amqp_codec::transport::End::default());
        for _ in 0..1000 {
            amqp_codec::frame::encode_frame(&mut chatter, 0, &begin);
            amqp_codec::frame::encode_frame(&mut chatter, 0, &end);
        }
        let mut written = 0_usize;
        let patience = Duration::from_secs(2);
        while let Ok(Ok(octets)) = tokio::time::timeout(patience, near.write(&chatter)).await {
            written += octets;
            assert!(written < 40_000_000, "{written} octets were taken without an answer being read");
            if octets < chatter.len() {
                let rest = tokio::time::timeout(patience, near.write_all(&chatter[octets..])).await;
                if !matches!(rest, Ok(Ok(()))) {
                    break;
                }
            }
        }
    })
    .await;
}

// Read buffers serve again once nobody holds a part of them.
#[tokio::test]
async fn deliveries_that_are_held_keep_their_octets_while_others_come_and_go() {
    within(async {
        let (client, incoming) = pair().await;
        let (sender, receiver) = client_sends(&client, &incoming, Credit::Auto(200)).await;
        let body = |number: usize| {
            let sizes = [65_536, 100, 1024, 20_000, 3000, 65_536, 0, 140_000];
            let octet = u8::try_from(number).unwrap();
            vec![octet; sizes[number % sizes.len()]]
        };
        let mut held = Vec::new();
        let receive = async {
            for number in 0..200 {
                let delivery = receiver.recv().await.unwrap();
                held.push((number, delivery.message().unwrap(), delivery));
                if number % 3 == 0 {
                    let (_, message, delivery) = held.swap_remove(held.len() / 2);
                    drop(message);
                    delivery.accept().unwrap();
                }
            }
        };
        let send = async {
            for number in 0..200 {
                drop(sender.deliver(Message::data(body(number))).await.unwrap());
            }
        };
        tokio::join!(send, receive);
        for (number, message, _) in &held {
            assert!(message.body_bytes().unwrap() == body(*number), "delivery {number}");
        }
    })
    .await;
}
