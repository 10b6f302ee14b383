//! Who settles when (§2.6.12): every policy of a sender with every policy of a receiver, in both directions.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use amqp_codec::messaging::{Message, Modified, Source, Target};
use amqp_codec::transport::{ErrorInfo, ReceiverSettleMode, SenderSettleMode, conditions};
use amqp_transport::{
    Address, ConnectOptions, Connection, Credit, Incoming, ListenerOptions, Outcome, Receiver,
    ReceiverOptions, Sender, SenderOptions, StaticCredentials,
};
use std::sync::Arc;
use std::time::Duration;

const SENDERS: [SenderSettleMode; 3] =
    [SenderSettleMode::Unsettled, SenderSettleMode::Settled, SenderSettleMode::Mixed];
const RECEIVERS: [ReceiverSettleMode; 2] = [ReceiverSettleMode::First, ReceiverSettleMode::Second];

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it takes too long")
}

async fn pair() -> (Connection, Incoming) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let anyone = StaticCredentials { anonymous: true, users: Vec::new() };
    let listener = ListenerOptions::new("server").authenticator(Arc::new(anyone));
    let address: Address = "amqp://localhost".parse().unwrap();
    let (client, incoming) =
        tokio::join!(ConnectOptions::new(address).connect_over(near), listener.accept(far));
    (client.unwrap(), incoming.unwrap())
}

/// A link with these policies; the client attaches it, as the sender or as the receiver.
async fn link(
    (client, incoming): &(Connection, Incoming),
    client_sends: bool,
    sender: SenderSettleMode,
    receiver: ReceiverSettleMode,
) -> (Sender, Receiver) {
    if client_sends {
        let options = SenderOptions::new("q").settle_mode(sender).receiver_settle_mode(receiver);
        let (sender, receiver) = tokio::join!(client.sender(options), async {
            let request = incoming.next_link().await.unwrap();
            request.accept_as_receiver(Target::new("q"), Credit::Auto(10)).unwrap()
        });
        (sender.unwrap(), receiver)
    } else {
        let options = ReceiverOptions::new("q").settle_mode(receiver).sender_settle_mode(sender);
        let (receiver, sender) = tokio::join!(client.receiver(options), async {
            incoming.next_link().await.unwrap().accept_as_sender(Source::new("q")).unwrap()
        });
        (sender, receiver.unwrap())
    }
}

fn outcomes() -> [Outcome; 5] {
    let error = ErrorInfo::new(conditions::INVALID_FIELD, "no");
    let modified = Modified { delivery_failed: true, ..Modified::default() };
    [
        Outcome::Accepted,
        Outcome::Released,
        Outcome::Rejected(None),
        Outcome::Rejected(Some(error)),
        Outcome::Modified(modified),
    ]
}

/// Waits until neither end holds anything unsettled.
async fn all_settled(sender: &Sender, receiver: &Receiver) {
    while sender.stats().unsettled + receiver.stats().unsettled > 0 {
        tokio::task::yield_now().await;
    }
}

// §2.8.2, §2.8.3
#[tokio::test]
async fn each_policy_of_a_sender_goes_with_each_policy_of_a_receiver() {
    within(async {
        let ends = pair().await;
        for client_sends in [true, false] {
            for (policy, mode) in SENDERS.into_iter().flat_map(|sender| RECEIVERS.map(|mode| (sender, mode)))
            {
                let (sender, receiver) = link(&ends, client_sends, policy, mode).await;
                let agreed = sender.remote_attach().unwrap();
                assert_eq!((agreed.snd_settle_mode, agreed.rcv_settle_mode), (policy, mode));
                for outcome in outcomes() {
                    let (told, ()) = tokio::join!(sender.send(Message::data("x")), async {
                        let delivery = receiver.recv().await.unwrap();
                        assert_eq!(delivery.is_settled(), policy == SenderSettleMode::Settled, "{policy:?}");
                        delivery.settle(outcome.clone()).unwrap();
                    });
                    // What left settled has no outcome.
                    let expected =
                        if policy == SenderSettleMode::Settled { Outcome::Unspecified } else { outcome };
                    assert_eq!(told.unwrap(), expected, "{policy:?} {mode:?}");
                    all_settled(&sender, &receiver).await;
                }
                sender.close().await.unwrap();
            }
        }
    })
    .await;
}

// §2.8.2
#[tokio::test]
async fn what_is_sent_settled_leaves_unsettled_only_where_the_policy_says_so() {
    within(async {
        let ends = pair().await;
        for client_sends in [true, false] {
            for (policy, mode) in SENDERS.into_iter().flat_map(|sender| RECEIVERS.map(|mode| (sender, mode)))
            {
                let (sender, receiver) = link(&ends, client_sends, policy, mode).await;
                sender.send_settled(Message::data("x")).await.unwrap();
                let delivery = receiver.recv().await.unwrap();
                assert_eq!(delivery.is_settled(), policy != SenderSettleMode::Unsettled, "{policy:?}");
                delivery.accept().unwrap();
                all_settled(&sender, &receiver).await;
                sender.close().await.unwrap();
            }
        }
    })
    .await;
}
