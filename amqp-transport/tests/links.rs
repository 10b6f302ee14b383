//! Links that are attached again, taken over, sent elsewhere, or whose node is made for them; over TCP.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use amqp_codec::messaging::{LifetimePolicy, Message, Source, Target, TerminusExpiryPolicy};
use amqp_codec::transport::{SenderSettleMode, conditions};
use amqp_transport::{
    Address, ConnectOptions, Connection, Credit, Fate, Filter, Incoming, LinkError, ListenerOptions, Outcome,
    ReceiverOptions, Redirect, SendError, SenderOptions, StaticCredentials,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("it takes too long")
}

fn listener() -> ListenerOptions {
    let users = StaticCredentials { anonymous: true, users: vec![("u".into(), "p".into())] };
    ListenerOptions::new("server").authenticator(Arc::new(users))
}

/// A connection of this container to the listener.
async fn connect(listener: &ListenerOptions, address: &str, container: &str) -> (Connection, Incoming) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(socket.local_addr().unwrap()).await.unwrap();
    let (far, _) = socket.accept().await.unwrap();
    let address: Address = address.parse().unwrap();
    let client = ConnectOptions::new(address).container_id(container);
    let (client, incoming) = tokio::join!(client.connect_over(near), listener.accept(far));
    (client.unwrap(), incoming.unwrap())
}

const ANYONE: &str = "amqp://localhost";

// §2.6.1
#[tokio::test]
async fn a_link_that_is_attached_again_on_another_connection_is_stolen_from_the_first() {
    within(async {
        let listener = listener();
        let (first, first_in) = connect(&listener, ANYONE, "app").await;
        let (second, second_in) = connect(&listener, ANYONE, "app").await;
        let options = || SenderOptions::new("q").name("orders");
        let accept = async |incoming: &Incoming| {
            let request = incoming.next_link().await.unwrap();
            request.accept_as_receiver(Target::new("q"), Credit::Auto(1)).unwrap()
        };
        let (loser, lost) = tokio::join!(first.sender(options()), accept(&first_in));
        let loser = loser.unwrap();
        // The other direction under the same name is another link.
        let (receiver, sender) =
            tokio::join!(first.receiver(ReceiverOptions::new("q").name("orders")), async {
                first_in.next_link().await.unwrap().accept_as_sender(Source::new("q")).unwrap()
            });
        let (winner, won) = tokio::join!(second.sender(options()), accept(&second_in));
        let stolen = loser.detached().await;
        assert!(stolen.is_stolen() && !stolen.is_retryable(), "{stolen}");
        assert_eq!(stolen.remote_error().unwrap().condition, conditions::STOLEN);
        assert_eq!(lost.detached().await, LinkError::Stolen);
        let (sent, ()) = tokio::join!(winner.as_ref().unwrap().send(Message::data("x")), async {
            won.recv().await.unwrap().accept().unwrap();
        });
        sent.unwrap().accepted().unwrap();
        sender.credit_available().await.unwrap();
        assert!(receiver.unwrap().is_attached());
    })
    .await;
}

// §2.6.1
#[tokio::test]
async fn nobody_steals_a_link_by_claiming_another_users_container() {
    within(async {
        let listener = listener();
        let (first, first_in) = connect(&listener, ANYONE, "app").await;
        let (second, second_in) = connect(&listener, "amqp://u:p@localhost", "app").await;
        let (third, third_in) = connect(&listener, ANYONE, "another app").await;
        let mut held = Vec::new();
        for (client, incoming) in [(&first, &first_in), (&second, &second_in), (&third, &third_in)] {
            let (sender, receiver) =
                tokio::join!(client.sender(SenderOptions::new("q").name("orders")), async {
                    let request = incoming.next_link().await.unwrap();
                    request.accept_as_receiver(Target::new("q"), Credit::Auto(1)).unwrap()
                });
            held.push((sender.unwrap(), receiver));
        }
        for (sender, receiver) in &held {
            let (sent, ()) = tokio::join!(sender.send(Message::data("x")), async {
                receiver.recv().await.unwrap().accept().unwrap();
            });
            sent.unwrap().accepted().unwrap();
        }
    })
    .await;
}

// §2.6.1
#[tokio::test]
async fn a_link_that_is_attached_again_on_the_same_session_is_stolen_too() {
    within(async {
        let (client, incoming) = connect(&listener(), ANYONE, "app").await;
        let session = client.session().await.unwrap();
        let attach = async || {
            let (sender, receiver) =
                tokio::join!(session.sender(SenderOptions::new("q").name("orders")), async {
                    let request = incoming.next_link().await.unwrap();
                    request.accept_as_receiver(Target::new("q"), Credit::Auto(1)).unwrap()
                });
            (sender.unwrap(), receiver)
        };
        let (loser, _lost) = attach().await;
        let (winner, won) = attach().await;
        assert!(loser.detached().await.is_stolen());
        let (sent, ()) = tokio::join!(winner.send(Message::data("x")), async {
            won.recv().await.unwrap().accept().unwrap();
        });
        sent.unwrap().accepted().unwrap();
    })
    .await;
}

// §2.6.6
#[tokio::test]
async fn a_detached_link_is_attached_again_under_its_name() {
    within(async {
        let (client, incoming) = connect(&listener(), ANYONE, "app").await;
        let session = client.session().await.unwrap();
        for n in 0..300_u32 {
            let (sender, receiver) =
                tokio::join!(session.sender(SenderOptions::new("q").name("orders")), async {
                    let request = incoming.next_link().await.unwrap();
                    request.accept_as_receiver(Target::new("q"), Credit::Auto(1)).unwrap()
                });
            let sender = sender.unwrap();
            let (sent, ()) = tokio::join!(sender.send(Message::value(n)), async {
                receiver.recv().await.unwrap().accept().unwrap();
            });
            sent.unwrap().accepted().unwrap();
            sender.detach().await.unwrap();
            assert_eq!(receiver.detached().await, LinkError::DetachedByPeer(None));
        }
    })
    .await;
}

// §2.8.18
#[tokio::test]
async fn a_link_that_is_sent_elsewhere_says_where() {
    within(async {
        let (client, incoming) = connect(&listener(), ANYONE, "app").await;
        let mut elsewhere = Redirect::default();
        elsewhere.network_host = Some("10.0.0.7".to_owned());
        (elsewhere.port, elsewhere.address) = (Some(5673), Some("q2".to_owned()));
        let (refused, ()) = tokio::join!(client.sender(SenderOptions::new("q")), async {
            incoming.next_link().await.unwrap().refuse(elsewhere.link_error());
        });
        let error = refused.unwrap_err();
        assert_eq!(error.redirect().as_ref(), Some(&elsewhere));
        assert!(!error.is_retryable(), "not at the same place");
    })
    .await;
}

// §2.8.16
#[tokio::test]
async fn a_connection_that_is_sent_elsewhere_says_where() {
    within(async {
        let (client, incoming) = connect(&listener(), ANYONE, "app").await;
        let mut elsewhere = Redirect::default();
        (elsewhere.hostname, elsewhere.port) = (Some("b.example".to_owned()), Some(5671));
        incoming.connection().close_with(elsewhere.connection_error()).await.unwrap();
        let error = client.closed().await;
        assert_eq!(error.redirect(), Some(elsewhere.clone()));
        assert_eq!(elsewhere.host(), Some("b.example"));
    })
    .await;
}

// §3.5.3
#[tokio::test]
async fn a_dynamic_node_gets_its_properties_and_tells_its_address() {
    within(async {
        let (client, incoming) = connect(&listener(), ANYONE, "app").await;
        let options = ReceiverOptions::dynamic()
            .lifetime(LifetimePolicy::DeleteOnClose)
            .filter(Filter::selector("a = 1"))
            .filter(Filter::sql("a = 2"))
            .expiry(TerminusExpiryPolicy::ConnectionClose, Duration::from_secs(9))
            .desired_capability("wanted");
        let (receiver, _sender) = tokio::join!(client.receiver(options), async {
            let request = incoming.next_link().await.unwrap();
            let attach = request.attach().unwrap();
            assert_eq!(attach.desired_capabilities[0].as_str(), "wanted");
            let mut source = attach.source.clone().unwrap();
            assert!(source.dynamic && source.address.is_none());
            let properties = source.dynamic_node_properties.as_ref().unwrap();
            assert_eq!(properties.get("lifetime-policy"), Some(&LifetimePolicy::DeleteOnClose.into()));
            assert_eq!(source.expiry_policy, TerminusExpiryPolicy::ConnectionClose);
            assert_eq!(source.timeout, 9);
            source.address = Some("made-7".into());
            source.filter.as_mut().unwrap().remove("sql-filter");
            request.accept_as_sender(source).unwrap()
        });
        let receiver = receiver.unwrap();
        assert_eq!(receiver.address(), Some("made-7"));
        assert!(receiver.has_filter("apache.org:selector-filter:string"));
        assert!(!receiver.has_filter("sql-filter"), "the peer does not know it");
    })
    .await;
}

// Anonymous Terminus 2.2
#[tokio::test]
async fn the_anonymous_terminus_is_not_tried_where_it_is_not_offered() {
    within(async {
        let (client, _incoming) = connect(&listener(), ANYONE, "app").await;
        let error = client.sender(SenderOptions::anonymous_terminus()).await.unwrap_err();
        assert_eq!(error, LinkError::NotOffered("ANONYMOUS-RELAY"));
        let offering = listener().offered_capability("ANONYMOUS-RELAY");
        let (client, incoming) = connect(&offering, ANYONE, "app").await;
        let (sender, _receiver) = tokio::join!(client.sender(SenderOptions::anonymous_terminus()), async {
            let request = incoming.next_link().await.unwrap();
            request.accept_as_receiver(Target::default(), Credit::Auto(1)).unwrap()
        });
        assert_eq!(sender.unwrap().address(), None);
    })
    .await;
}

// §2.6.13
#[tokio::test]
async fn a_sender_is_resumed_on_a_new_connection_and_nothing_is_lost_or_doubled() {
    within(async {
        let listener = listener();
        let (client, incoming) = connect(&listener, ANYONE, "app").await;
        let options = || SenderOptions::new("q").name("orders").resumable();
        let (sender, receiver) = tokio::join!(client.sender(options()), async {
            let request = incoming.next_link().await.unwrap();
            assert!(!request.is_resumed());
            request.accept_as_resumable_receiver(Target::new("q"), Credit::Auto(10)).unwrap()
        });
        let sender = sender.unwrap();
        let mut awaited = Vec::new();
        for n in 0..4_u32 {
            awaited.push(sender.deliver(Message::value(n)).await.unwrap());
        }
        // One is settled; two are worked on when the connection is lost, and one of them was done.
        receiver.recv().await.unwrap().accept().unwrap();
        awaited.remove(0).await.unwrap().accepted().unwrap();
        let done = receiver.recv().await.unwrap();
        let undone = receiver.recv().await.unwrap();
        while receiver.queued() == 0 {
            tokio::task::yield_now().await;
        }
        incoming.connection().close().await.unwrap();
        for confirmation in awaited {
            assert!(matches!(confirmation.await.unwrap_err(), SendError::Unknown(_)));
        }
        let suspended = sender.suspend().await.unwrap();
        let mut held = receiver.suspend().await.unwrap();
        assert!(held.decide(done.delivery_tag(), Outcome::Accepted));
        assert!(!held.decide(b"another", Outcome::Accepted));
        done.accept().unwrap_err();
        drop(undone);
        assert_eq!((suspended.unsettled().len(), held.unsettled().count()), (3, 3));

        let (client, incoming) = connect(&listener, ANYONE, "app").await;
        let session = client.session().await.unwrap();
        let (resumed, receiver) = tokio::join!(session.resume_sender(suspended, options()), async {
            let request = incoming.next_link().await.unwrap();
            assert!(request.is_resumed());
            assert_eq!(request.attach().unwrap().unsettled.as_ref().unwrap().len(), 3);
            request.resume_as_receiver(held, Target::new("q"), Credit::Auto(10)).unwrap()
        });
        let resumed = resumed.unwrap();
        let fates: Vec<_> = resumed.deliveries.iter().map(|delivery| delivery.fate.clone()).collect();
        assert_eq!(fates, [Fate::Settled(Outcome::Accepted), Fate::Resumed, Fate::Resumed]);
        for n in [2_u32, 3] {
            let delivery = receiver.recv().await.unwrap();
            assert_eq!(delivery.message().unwrap(), Message::value(n));
            delivery.accept().unwrap();
        }
        assert!(receiver.unresolved().is_empty());
        for delivery in resumed.deliveries {
            delivery.outcome.await.unwrap().accepted().unwrap();
        }
        let (sent, ()) = tokio::join!(resumed.sender.send(Message::value(9_u32)), async {
            receiver.recv().await.unwrap().accept().unwrap();
        });
        sent.unwrap().accepted().unwrap();
    })
    .await;
}

// §2.6.13
#[tokio::test]
async fn a_receiver_is_resumed_on_the_same_session_with_a_message_sent_halfway() {
    within(async {
        let (client, incoming) = connect(&listener(), ANYONE, "app").await;
        let session = client.session().await.unwrap();
        let options = || ReceiverOptions::new("q").name("orders").resumable();
        let (receiver, sender) = tokio::join!(session.receiver(options()), async {
            let request = incoming.next_link().await.unwrap();
            request.accept_as_resumable_sender(Source::new("q")).unwrap()
        });
        let receiver = receiver.unwrap();
        sender.credit_available().await.unwrap();
        let large = Message::data(vec![7; 3_000_000]);
        let _unknown = sender.deliver(large.clone()).await.unwrap();
        let held = receiver.suspend().await.unwrap();
        let suspended = sender.suspend().await.unwrap();
        assert_eq!(suspended.unsettled().len(), 1);
        let (receiver, resumed) = tokio::join!(session.resume_receiver(held, options()), async {
            let request = incoming.next_link().await.unwrap();
            request.resume_as_sender(suspended, Source::new("q")).unwrap()
        });
        let receiver = receiver.unwrap();
        let delivery = receiver.recv().await.unwrap();
        assert_eq!(delivery.message().unwrap(), large);
        delivery.accept().unwrap();
        for delivery in resumed.deliveries {
            delivery.outcome.await.unwrap().accepted().unwrap();
        }
    })
    .await;
}

// §2.6.13
#[tokio::test]
async fn a_refused_resumption_gives_everything_back() {
    within(async {
        let listener = listener();
        let (client, incoming) = connect(&listener, ANYONE, "app").await;
        let session = client.session().await.unwrap();
        let (sender, _receiver) = tokio::join!(session.sender(SenderOptions::new("q").resumable()), async {
            let request = incoming.next_link().await.unwrap();
            request.accept_as_receiver(Target::new("q"), Credit::Auto(1)).unwrap()
        });
        let sender = sender.unwrap();
        let _unknown = sender.deliver(Message::data("x")).await.unwrap();
        let suspended = sender.suspend().await.unwrap();
        let (refused, ()) = tokio::join!(session.resume_sender(suspended, SenderOptions::new("q")), async {
            let request = incoming.next_link().await.unwrap();
            request.refuse(amqp_codec::transport::ErrorInfo::new(conditions::NOT_IMPLEMENTED, "no"));
        });
        let error = refused.unwrap_err();
        assert_eq!(error.error.remote_error().unwrap().condition, conditions::NOT_IMPLEMENTED);
        assert_eq!(error.suspended.unsettled().len(), 1);
        let (plain, _receiver) = tokio::join!(session.sender(SenderOptions::new("q")), async {
            let request = incoming.next_link().await.unwrap();
            request.accept_as_receiver(Target::new("q"), Credit::Auto(1)).unwrap()
        });
        assert!(plain.unwrap().suspend().await.is_none(), "it was not made to be resumed");
    })
    .await;
}

#[tokio::test]
async fn what_is_sent_settled_is_told_to_nobody_although_the_link_settles_nothing() {
    within(async {
        let (client, incoming) = connect(&listener(), ANYONE, "app").await;
        let options = SenderOptions::new("q").settle_mode(SenderSettleMode::Unsettled);
        let (sender, receiver) = tokio::join!(client.sender(options), async {
            let request = incoming.next_link().await.unwrap();
            request.accept_as_receiver(Target::new("q"), Credit::Auto(10)).unwrap()
        });
        let sender = sender.unwrap();
        sender.send_settled(Message::data("x")).await.unwrap();
        receiver.recv().await.unwrap().accept().unwrap();
        let (sent, ()) = tokio::join!(sender.send(Message::data("y")), async {
            receiver.recv().await.unwrap().accept().unwrap();
        });
        sent.unwrap().accepted().unwrap();
        assert_eq!(sender.try_next_outcome(), None, "nobody would ever take it");
    })
    .await;
}

// §2.6.3
#[tokio::test]
async fn a_link_is_not_accepted_the_wrong_way_round() {
    within(async {
        let (client, incoming) = connect(&listener(), ANYONE, "app").await;
        let (refused, error) = tokio::join!(client.receiver(ReceiverOptions::new("q")), async {
            let request = incoming.next_link().await.unwrap();
            request.accept_as_receiver(Target::new("q"), Credit::Auto(1)).unwrap_err()
        });
        assert_eq!(error, LinkError::OtherDirection);
        let LinkError::Refused(Some(error)) = refused.unwrap_err() else { unreachable!() };
        assert_eq!(error.condition, conditions::NOT_ALLOWED);
        let (refused, error) = tokio::join!(client.sender(SenderOptions::new("q")), async {
            incoming.next_link().await.unwrap().accept_as_sender(Source::new("q")).unwrap_err()
        });
        assert_eq!(error, LinkError::OtherDirection);
        assert!(matches!(refused.unwrap_err(), LinkError::Refused(Some(_))));
    })
    .await;
}
