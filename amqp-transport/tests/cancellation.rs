//! What becomes of futures that are dropped: as their documentation says.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use amqp_codec::messaging::{Message, Source, Target};
use amqp_transport::{
    Address, ConnectOptions, Connection, Credit, Incoming, ListenerOptions, Outcome, Receiver,
    ReceiverOptions, Sender, SenderOptions, StaticCredentials,
};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it takes too long")
}

/// Polls once and drops: true if the future was not ready.
async fn give_up<F: Future>(future: F) -> bool {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

async fn pair() -> (Connection, Incoming) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let everyone = Arc::new(StaticCredentials { anonymous: true, users: Vec::new() });
    let listener = ListenerOptions::new("server").authenticator(everyone);
    let address: Address = "amqp://localhost".parse().unwrap();
    let client = ConnectOptions::new(address);
    let (client, incoming) = tokio::join!(client.connect_over(near), listener.accept(far));
    (client.unwrap(), incoming.unwrap())
}

async fn client_sends(client: &Connection, incoming: &Incoming, credit: Credit) -> (Sender, Receiver) {
    let (sender, receiver) = tokio::join!(client.sender(SenderOptions::new("q")), async {
        let request = incoming.next_link().await.unwrap();
        request.accept_as_receiver(Target::new("q"), credit).unwrap()
    });
    (sender.unwrap(), receiver)
}

/// Waits until the peer has seen all that was sent to it.
async fn settle_down(client: &Connection, incoming: &Incoming) {
    let (sender, receiver) = client_sends(client, incoming, Credit::Auto(1)).await;
    let (sent, ()) = tokio::join!(sender.send(Message::data("x")), async {
        receiver.recv().await.unwrap().accept().unwrap();
    });
    sent.unwrap().accepted().unwrap();
}

#[tokio::test]
async fn a_session_whose_begin_is_given_up_is_ended_again() {
    within(async {
        let (client, incoming) = pair().await;
        for _ in 0..1000 {
            assert!(give_up(client.session()).await);
            tokio::task::yield_now().await;
        }
        settle_down(&client, &incoming).await;
        assert_eq!(client.stats().sessions, 0);
        assert!(!client.is_closed());
    })
    .await;
}

#[tokio::test]
async fn a_link_whose_attach_is_given_up_is_detached_again() {
    within(async {
        let (client, incoming) = pair().await;
        let session = client.session().await.unwrap();
        assert!(give_up(session.sender(SenderOptions::new("q"))).await);
        assert!(give_up(session.receiver(ReceiverOptions::new("q"))).await);
        let mut seen = Vec::new();
        let (last, ()) = tokio::join!(session.sender(SenderOptions::new("last")), async {
            loop {
                // The peer may see those that were given up, or not: if it does they end whatever it answers.
                let request = incoming.next_link().await.unwrap();
                let target = request.attach().and_then(|attach| attach.target.as_ref()?.address().cloned());
                if target.is_some_and(|target| &*target == "last") {
                    let receiver = request.accept_as_receiver(Target::new("last"), Credit::Manual).unwrap();
                    seen.push(tokio::spawn(async move { receiver.detached().await }));
                    return;
                }
                if let Ok(sender) = request.accept_as_sender(Source::new("q")) {
                    seen.push(tokio::spawn(async move { sender.detached().await }));
                }
            }
        });
        within(last.unwrap().close()).await.unwrap();
        for link in seen {
            link.await.unwrap();
        }
        assert_eq!(session.stats().links, 0);
        settle_down(&client, &incoming).await;
    })
    .await;
}

#[tokio::test]
async fn a_send_that_is_given_up_without_credit_sends_nothing() {
    within(async {
        let (client, incoming) = pair().await;
        let (sender, receiver) = client_sends(&client, &incoming, Credit::Manual).await;
        assert!(give_up(sender.send(Message::data("never"))).await);
        assert!(give_up(sender.deliver(Message::data("never"))).await);
        assert!(give_up(sender.send_settled(Message::data("never"))).await);
        receiver.set_credit(5).unwrap();
        let confirmation = sender.deliver(Message::data("first")).await.unwrap();
        let delivery = receiver.recv().await.unwrap();
        assert_eq!(delivery.message().unwrap().body_bytes().unwrap(), "first");
        delivery.accept().unwrap();
        confirmation.await.unwrap().accepted().unwrap();
        assert!(receiver.try_recv().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_confirmation_that_is_given_up_takes_its_message_nowhere() {
    within(async {
        let (client, incoming) = pair().await;
        let (sender, receiver) = client_sends(&client, &incoming, Credit::Auto(10)).await;
        for _ in 0..100 {
            drop(sender.deliver(Message::data("x")).await.unwrap());
            receiver.recv().await.unwrap().accept().unwrap();
        }
        // And what was given up does not answer for others.
        let confirmation = sender.deliver(Message::data("y")).await.unwrap();
        receiver.recv().await.unwrap().release().unwrap();
        assert_eq!(confirmation.await.unwrap(), Outcome::Released);
    })
    .await;
}

#[tokio::test]
async fn a_receive_that_is_given_up_loses_nothing() {
    within(async {
        let (client, incoming) = pair().await;
        let (sender, receiver) = client_sends(&client, &incoming, Credit::Auto(10)).await;
        for n in 0..100 {
            assert!(give_up(receiver.recv()).await);
            let confirmation = sender.deliver(Message::value(n)).await.unwrap();
            let delivery = receiver.recv().await.unwrap();
            assert_eq!(delivery.message().unwrap(), Message::value(n));
            delivery.accept().unwrap();
            confirmation.await.unwrap().accepted().unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn outcomes_and_requests_that_are_not_taken_wait() {
    within(async {
        let (client, incoming) = pair().await;
        assert!(give_up(incoming.next_link()).await);
        let (sender, receiver) = client_sends(&client, &incoming, Credit::Auto(10)).await;
        assert!(give_up(sender.next_outcome()).await);
        sender.credit_available().await.unwrap();
        let number = sender.try_deliver(Message::data("x")).unwrap();
        receiver.recv().await.unwrap().accept().unwrap();
        assert_eq!(sender.next_outcome().await.unwrap(), (number, Outcome::Accepted));
    })
    .await;
}

#[tokio::test]
async fn a_close_that_is_given_up_goes_on() {
    within(async {
        let (client, incoming) = pair().await;
        let (sender, receiver) = client_sends(&client, &incoming, Credit::Auto(10)).await;
        assert!(give_up(sender.close()).await);
        receiver.detached().await;
        assert!(give_up(client.close()).await);
        incoming.connection().closed().await;
    })
    .await;
}
