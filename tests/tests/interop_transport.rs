//! The transport against real RabbitMQ: every way in and out of a queue, on each release.
//!
//! Where 3.10 differs (its AMQP 1.0 is a plugin that translates to AMQP 0-9-1), the claim says so in a comment.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use amqp_codec::messaging::{Body, Message, Modified, Properties};
use amqp_codec::transport::ErrorInfo;
use amqp_codec::types::Symbol;
use amqp_transport::{
    Address, ConnectError, ConnectOptions, Connection, ConnectionError, Credit, Delivery, LinkError, Outcome,
    Payload, Receiver, ReceiverOptions, Sasl, SenderOptions, Session, TlsOptions,
};
use bytes::Bytes;
use serde_json::json;
use tests::{Broker, Forwarder, Queue, eventually_async, on_every_rabbitmq, unique, within};

const SOON: Duration = Duration::from_secs(20);

on_every_rabbitmq!(async
    the_peer_says_who_it_is,
    a_sent_message_is_accepted_and_arrives_whole,
    every_section_of_a_message_survives,
    ten_thousand_pipelined_messages_are_confirmed_and_arrive_in_order,
    an_accepted_delivery_is_gone,
    a_released_delivery_comes_again,
    a_rejected_delivery_is_dead_lettered,
    a_modified_delivery_comes_again,
    a_dropped_delivery_comes_again,
    a_message_of_many_frames_goes_both_ways,
    a_hundred_links_share_a_session,
    too_many_sessions_are_an_error_and_not_the_end,
    credit_bounds_what_arrives,
    a_paused_receiver_gets_nothing_until_it_is_resumed,
    an_unroutable_message_is_told_where_the_broker_tells,
    a_wrong_password_is_an_authentication_error,
    a_missing_queue_is_not_found,
    a_session_begins_however_many_the_broker_has_just_ended,
    what_a_user_may_not_do_is_unauthorized,
    another_virtual_host_is_another_world,
    tls_with_the_right_authority_works,
    tls_with_another_authority_is_refused,
    tls_with_another_name_is_refused,
    tls_without_verification_works_when_asked_for,
    a_client_certificate_gets_in_without_a_password,
    anonymous_gets_in,
);

/// How long an answer may take that a broker gives at once.
const PATIENCE: Duration = Duration::from_secs(30);

// ---------------------------------------------------------------- small helpers

async fn connect(broker: &Broker) -> Connection {
    Connection::connect(&broker.url()).await.unwrap()
}

async fn session(broker: &Broker) -> Session {
    connect(broker).await.session().await.unwrap()
}

/// A durable message, so that every release stores it.
fn durable(body: impl Into<Bytes>) -> Message {
    let mut message = Message::data(body);
    message.header.get_or_insert_default().durable = true;
    message
}

async fn send(session: &Session, queue: &Queue, bodies: impl IntoIterator<Item = Bytes>) {
    let sender = session.sender(SenderOptions::new(queue.address())).await.unwrap();
    for body in bodies {
        assert!(matches!(sender.send(durable(body)).await.unwrap(), Outcome::Accepted));
    }
    sender.close().await.unwrap();
}

async fn receiver(session: &Session, queue: &Queue, credit: u32) -> Receiver {
    session.receiver(ReceiverOptions::new(queue.address()).credit(Credit::Auto(credit))).await.unwrap()
}

async fn next(receiver: &Receiver) -> Delivery {
    within(SOON, receiver.recv()).await.unwrap()
}

fn body(delivery: &Delivery) -> Bytes {
    delivery.message().unwrap().body_bytes().unwrap()
}

/// Octets that show a lost, doubled or swapped piece: no two of the first 64 Ki neighbours are alike.
fn pattern(length: usize) -> Bytes {
    let words = (0u32..).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes());
    words.take(length).collect::<Vec<u8>>().into()
}

/// The condition that the peer gave, whatever level it ended.
fn condition(error: &LinkError) -> String {
    error.remote_error().map(|error: &ErrorInfo| error.condition.to_string()).unwrap_or_default()
}

// ---------------------------------------------------------------- open

async fn the_peer_says_who_it_is(broker: Broker) {
    let connection = connect(&broker).await;
    let peer = connection.peer();
    assert_eq!(peer.properties.get("product").and_then(|value| value.as_str()), Some("RabbitMQ"));
    let version = peer.properties.get("version").and_then(|value| value.as_str()).unwrap();
    assert!(version.starts_with(broker.release()), "{version}");
    connection.close().await.unwrap();
    assert!(connection.is_closed());
}

// ---------------------------------------------------------------- send and receive

async fn a_sent_message_is_accepted_and_arrives_whole(broker: Broker) {
    let queue = broker.queue();
    let session = session(&broker).await;
    send(&session, &queue, [Bytes::from_static(b"hello")]).await;
    let receiver = receiver(&session, &queue, 10).await;
    let delivery = next(&receiver).await;
    assert_eq!(body(&delivery), "hello");
    delivery.accept().unwrap();
    receiver.close().await.unwrap();
    session.connection().close().await.unwrap();
    assert_eq!(queue.take(), None);
}

async fn every_section_of_a_message_survives(broker: Broker) {
    let queue = broker.queue();
    let session = session(&broker).await;
    let mut message = durable("payload")
        .with_application_property("text", "wörter")
        .with_application_property("number", -7_i64)
        .with_application_property("truth", true);
    message.properties = Some(Properties {
        message_id: Some("id-1".into()),
        correlation_id: Some("other".into()),
        content_type: Some(Symbol::from_static("application/octet-stream")),
        subject: Some("about".into()),
        ..Properties::default()
    });
    let sender = session.sender(SenderOptions::new(queue.address())).await.unwrap();
    sender.send(&message).await.unwrap().accepted().unwrap();

    let receiver = receiver(&session, &queue, 1).await;
    let delivery = next(&receiver).await;
    let arrived = delivery.message().unwrap();
    assert_eq!(arrived.body, Body::Data(Bytes::from_static(b"payload").into()));
    assert!(arrived.header.clone().unwrap().durable);
    for name in ["text", "number", "truth"] {
        assert_eq!(arrived.application_property(name), message.application_property(name), "{name}");
    }
    let (sent, got) = (message.properties.unwrap(), arrived.properties.unwrap());
    assert_eq!(got.message_id, sent.message_id);
    assert_eq!(got.correlation_id, sent.correlation_id);
    assert_eq!(got.content_type, sent.content_type);
    assert_eq!(got.subject, sent.subject);
    delivery.accept().unwrap();
}

async fn ten_thousand_pipelined_messages_are_confirmed_and_arrive_in_order(broker: Broker) {
    const COUNT: u32 = 10_000;
    let queue = broker.queue();
    let session = session(&broker).await;
    let sender = session.sender(SenderOptions::new(queue.address())).await.unwrap();
    let mut confirmations = Vec::new();
    for number in 0..COUNT {
        confirmations.push(sender.deliver(durable(number.to_be_bytes().to_vec())).await.unwrap());
    }
    for confirmation in confirmations {
        within(SOON, confirmation).await.unwrap().accepted().unwrap();
    }
    let receiver = receiver(&session, &queue, 500).await;
    for number in 0..COUNT {
        let delivery = next(&receiver).await;
        assert_eq!(body(&delivery), number.to_be_bytes().as_slice());
        delivery.accept().unwrap();
    }
    session.connection().close().await.unwrap();
    assert_eq!(queue.take(), None);
}

// ---------------------------------------------------------------- outcomes

async fn an_accepted_delivery_is_gone(broker: Broker) {
    let queue = broker.queue();
    let session = session(&broker).await;
    send(&session, &queue, (0..3).map(|n: u32| n.to_string().into())).await;
    let receiver = receiver(&session, &queue, 10).await;
    for _ in 0..3 {
        next(&receiver).await.accept().unwrap();
    }
    session.connection().close().await.unwrap();
    assert_eq!(queue.take(), None);
}

async fn a_released_delivery_comes_again(broker: Broker) {
    let queue = broker.queue();
    let session = session(&broker).await;
    send(&session, &queue, ["again".into()]).await;
    let receiver = receiver(&session, &queue, 1).await;
    next(&receiver).await.release().unwrap();
    let second = next(&receiver).await;
    assert_eq!(body(&second), "again");
    second.accept().unwrap();
    session.connection().close().await.unwrap();
    assert_eq!(queue.take(), None);
}

async fn a_rejected_delivery_is_dead_lettered(broker: Broker) {
    let dead = broker.queue();
    let queue = broker.queue_with(
        "classic",
        json!({ "x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead.name() }),
    );
    let session = session(&broker).await;
    send(&session, &queue, ["poison".into()]).await;
    let receiver = receiver(&session, &queue, 1).await;
    next(&receiver).await.reject(None).unwrap();
    dead.await_ready(1);
    session.connection().close().await.unwrap();
    assert_eq!(queue.take(), None);
    assert_eq!(dead.take().unwrap()["payload"], "poison");
}

/// 4.x redelivers with a higher delivery count (quorum queues count); the plugin of 3.10 ends the session and so redelivers too.
async fn a_modified_delivery_comes_again(broker: Broker) {
    let queue = broker.queue_with("quorum", json!({}));
    let first = session(&broker).await;
    send(&first, &queue, ["changed".into()]).await;
    let failed = Modified { delivery_failed: true, ..Modified::default() };
    let from_first = receiver(&first, &queue, 1).await;
    next(&from_first).await.modify(failed).unwrap();
    let session = if broker.is_3() {
        within(SOON, first.ended()).await;
        session(&broker).await
    } else {
        drop(from_first);
        first
    };
    let receiver = receiver(&session, &queue, 1).await;
    let second = next(&receiver).await;
    assert_eq!(body(&second), "changed");
    if !broker.is_3() {
        let header = second.message().unwrap().header.unwrap();
        assert_eq!(header.delivery_count, 1);
    }
    second.accept().unwrap();
    session.connection().close().await.unwrap();
    assert_eq!(queue.take(), None);
}

async fn a_dropped_delivery_comes_again(broker: Broker) {
    let queue = broker.queue();
    let session = session(&broker).await;
    send(&session, &queue, ["kept".into()]).await;
    let receiver = receiver(&session, &queue, 1).await;
    drop(next(&receiver).await);
    let second = next(&receiver).await;
    assert_eq!(body(&second), "kept");
    second.accept().unwrap();
}

// ---------------------------------------------------------------- size and number

async fn a_message_of_many_frames_goes_both_ways(broker: Broker) {
    let queue = broker.queue();
    let address: Address = broker.url().parse().unwrap();
    let mut limits = amqp_transport::Limits::default();
    limits.max_frame_size = 8192; // what the broker sends us comes in pieces of this size
    let connection = ConnectOptions::new(address).limits(limits).connect().await.unwrap();
    let session = connection.session().await.unwrap();
    let payload = pattern(5_000_000);
    send(&session, &queue, [payload.clone(), Bytes::new(), payload.slice(1..200_000)]).await;
    let receiver = receiver(&session, &queue, 2).await;
    for expected in [payload.clone(), Bytes::new(), payload.slice(1..200_000)] {
        let delivery = next(&receiver).await;
        assert!(
            body(&delivery) == expected,
            "{} of {} octets arrived",
            body(&delivery).len(),
            expected.len()
        );
        delivery.accept().unwrap();
    }
    connection.close().await.unwrap();
    assert_eq!(queue.take(), None);
}

async fn a_hundred_links_share_a_session(broker: Broker) {
    let queue = broker.queue();
    let session = session(&broker).await;
    let mut senders = Vec::new();
    for _ in 0..50 {
        senders.push(session.sender(SenderOptions::new(queue.address())).await.unwrap());
    }
    for (number, sender) in senders.iter().enumerate() {
        sender.send(durable(number.to_string())).await.unwrap().accepted().unwrap();
    }
    let mut receivers = Vec::new();
    for _ in 0..50 {
        receivers.push(receiver(&session, &queue, 1).await);
    }
    let mut arrived = BTreeSet::new();
    eventually_async("every message at one of fifty receivers", SOON, || {
        for receiver in &receivers {
            while let Some(delivery) = receiver.try_recv() {
                arrived.insert(body(&delivery));
                delivery.accept().unwrap();
            }
        }
        if arrived.len() == 50 { Ok(()) } else { Err(arrived.len()) }
    })
    .await;
    session.connection().close().await.unwrap();
    assert_eq!(queue.take(), None);
}

/// The number of sessions is bounded by the channel-max of both sides; one more is our error, sent to nobody.
async fn too_many_sessions_are_an_error_and_not_the_end(broker: Broker) {
    let queue = broker.queue();
    let connection = connect(&broker).await;
    let allowed = usize::from(connection.peer().channel_max) + 1;
    let mut sessions = Vec::new();
    let mut refusal = None;
    for _ in 0..300 {
        match connection.session().await {
            Ok(session) => sessions.push(session),
            Err(error) => {
                refusal = Some(error);
                break;
            }
        }
    }
    assert_eq!(sessions.len(), allowed.min(300), "{refusal:?}");
    assert_eq!(refusal.is_some(), allowed < 300);
    assert!(!connection.is_closed());
    sessions.pop().unwrap().end().await;
    let another = connection.session().await.unwrap();
    send(&another, &queue, ["still alive".into()]).await;
    assert_eq!(queue.take().unwrap()["payload"], "still alive");
    connection.close().await.unwrap();
}

// ---------------------------------------------------------------- credit

async fn credit_bounds_what_arrives(broker: Broker) {
    let queue = broker.queue();
    let session = session(&broker).await;
    send(&session, &queue, (0..20).map(|n: u32| n.to_string().into())).await;
    let options = ReceiverOptions::new(queue.address()).credit(Credit::Manual);
    let receiver = session.receiver(options).await.unwrap();
    receiver.set_credit(5).unwrap();
    let held = [
        next(&receiver).await,
        next(&receiver).await,
        next(&receiver).await,
        next(&receiver).await,
        next(&receiver).await,
    ];
    // The other fifteen are still in the queue: they can be had by others at once.
    queue.await_ready(15);
    assert!(receiver.try_recv().is_none());
    for delivery in held {
        delivery.accept().unwrap();
    }
    receiver.set_credit(15).unwrap();
    for _ in 0..15 {
        next(&receiver).await.accept().unwrap();
    }
    session.connection().close().await.unwrap();
    assert_eq!(queue.take(), None);
}

async fn a_paused_receiver_gets_nothing_until_it_is_resumed(broker: Broker) {
    let queue = broker.queue();
    let session = session(&broker).await;
    let receiver = receiver(&session, &queue, 10).await;
    send(&session, &queue, ["first".into()]).await;
    next(&receiver).await.accept().unwrap();
    receiver.pause().unwrap();
    // The broker handles the flow and what comes after it on the same session in order: an answered attach means that it has seen it.
    session.sender(SenderOptions::new(queue.address())).await.unwrap().close().await.unwrap();
    queue.put("second");
    queue.await_ready(1);
    assert!(receiver.try_recv().is_none());
    receiver.resume().unwrap();
    let second = next(&receiver).await;
    assert_eq!(body(&second), "second");
    second.accept().unwrap();
}

/// On 3.10 draining a classic queue ends the session in the broker, so that it is asked of 4.x only; a pause (above) works on all.
mod drain {
    use super::a_drained_receiver_gets_what_there_is;

    tests::on_every_rabbitmq!(@async on_rabbitmq_4_0 "4.0" a_drained_receiver_gets_what_there_is);
    tests::on_every_rabbitmq!(@async on_rabbitmq_4_3 "4.3" a_drained_receiver_gets_what_there_is);
}

async fn a_drained_receiver_gets_what_there_is(broker: Broker) {
    let queue = broker.queue();
    let session = session(&broker).await;
    send(&session, &queue, (0..3).map(|n: u32| n.to_string().into())).await;
    let options = ReceiverOptions::new(queue.address()).credit(Credit::Manual);
    let receiver = session.receiver(options).await.unwrap();
    receiver.set_credit(10).unwrap();
    within(SOON, receiver.drain()).await.unwrap();
    let mut count = 0;
    while let Some(delivery) = receiver.try_recv() {
        delivery.accept().unwrap();
        count += 1;
    }
    assert_eq!(count, 3);
    queue.put("after the drain");
    queue.await_ready(1);
    receiver.set_credit(1).unwrap();
    let delivery = next(&receiver).await;
    assert_eq!(body(&delivery), "after the drain");
    delivery.accept().unwrap();
}

// ---------------------------------------------------------------- errors

/// RabbitMQ 3.10 answers accepted and drops the message; 4.x answers released.
async fn an_unroutable_message_is_told_where_the_broker_tells(broker: Broker) {
    let exchange = broker.exchange(&unique("x"), "direct");
    let session = session(&broker).await;
    let address = if broker.is_3() {
        format!("/exchange/{}/nowhere", exchange.name())
    } else {
        format!("/exchanges/{}/nowhere", exchange.name())
    };
    let sender = session.sender(SenderOptions::new(address)).await.unwrap();
    let outcome = sender.send(Payload::from(&durable("lost"))).await.unwrap();
    if broker.is_3() {
        assert!(matches!(outcome, Outcome::Accepted), "{outcome}");
    } else {
        assert!(matches!(outcome, Outcome::Released), "{outcome}");
        assert!(outcome.accepted().is_err());
    }
}

async fn a_wrong_password_is_an_authentication_error(broker: Broker) {
    let error = Connection::connect(&broker.url_as("tester", "sw0rdf1sh")).await.unwrap_err();
    assert!(matches!(error, ConnectError::Connection(ConnectionError::Sasl { .. })), "{error:?}");
    assert!(!error.is_retryable());
    assert!(!format!("{error} {error:?}").contains("sw0rdf1sh"));
}

async fn a_missing_queue_is_not_found(broker: Broker) {
    let missing = broker.address_of(&unique("missing"));
    // 3.10 does not look whether a target exists: what is sent there is accepted and lost.
    if !broker.is_3() {
        let error = session(&broker).await.sender(SenderOptions::new(missing.clone())).await.unwrap_err();
        assert_eq!(condition(&error), "amqp:not-found", "{error:?}");
    }
    let connection = connect(&broker).await;
    let session = connection.session().await.unwrap();
    let error = session.receiver(ReceiverOptions::new(missing)).await.unwrap_err();
    assert_eq!(condition(&error), "amqp:not-found", "{error:?}");
    // Whatever it ended, the connection lives on.
    let queue = broker.queue();
    send(&connection.session().await.unwrap(), &queue, ["alive".into()]).await;
}

/// RabbitMQ 4.0 now and then passes over a begin that comes right behind the end of the same channel's session.
async fn a_session_begins_however_many_the_broker_has_just_ended(broker: Broker) {
    let missing = broker.address_of(&unique("missing"));
    let connection = connect(&broker).await;
    for round in 0..500 {
        let begun = tokio::time::timeout(PATIENCE, connection.session()).await;
        let session = begun.unwrap_or_else(|_| panic!("round {round}: no answer")).unwrap();
        let error = session.receiver(ReceiverOptions::new(missing.clone())).await.unwrap_err();
        assert_eq!(condition(&error), "amqp:not-found", "{error:?}");
    }
}

async fn what_a_user_may_not_do_is_unauthorized(broker: Broker) {
    let queue = broker.queue();
    let connection = Connection::connect(&broker.url_as("reader", "secret")).await.unwrap();
    let session = connection.session().await.unwrap();
    let told = match session.sender(SenderOptions::new(queue.address())).await {
        Err(error) => condition(&error),
        // 3.10 and 4.0 look at the permission when the first message comes.
        Ok(sender) => match within(SOON, sender.send(durable("no"))).await {
            Ok(outcome) => panic!("sent: {outcome}"),
            Err(_) => condition(&within(SOON, sender.detached()).await),
        },
    };
    assert_eq!(told, "amqp:unauthorized-access");
    assert_eq!(queue.take(), None);
}

async fn another_virtual_host_is_another_world(broker: Broker) {
    let queue = broker.queue();
    let address: Address = broker.url().parse().unwrap();
    let connection = ConnectOptions::new(address).hostname("vhost:other").connect().await.unwrap();
    let session = connection.session().await.unwrap();
    let error = session.receiver(ReceiverOptions::new(queue.address())).await.unwrap_err();
    assert_eq!(condition(&error), "amqp:not-found", "{error:?}");
}

// ---------------------------------------------------------------- TLS

fn tls(broker: &Broker, host: &str, options: TlsOptions) -> ConnectOptions {
    let url = format!("amqps://guest:guest@{host}:{}/", broker.tls_port());
    ConnectOptions::new(url.parse().unwrap()).tls(options)
}

fn authority(broker: &Broker, file: &str) -> TlsOptions {
    TlsOptions::new().root_ca_pem(fs::read(broker.tls_file(file)).unwrap())
}

async fn tls_with_the_right_authority_works(broker: Broker) {
    let queue = broker.queue();
    for host in ["localhost", "127.0.0.1"] {
        let connection = tls(&broker, host, authority(&broker, "ca.pem")).connect().await.unwrap();
        let session = connection.session().await.unwrap();
        let payload = pattern(300_000);
        send(&session, &queue, [payload.clone()]).await;
        let receiver = receiver(&session, &queue, 1).await;
        let delivery = next(&receiver).await;
        assert!(body(&delivery) == payload);
        delivery.accept().unwrap();
        connection.close().await.unwrap();
    }
}

async fn tls_with_another_authority_is_refused(broker: Broker) {
    let error = tls(&broker, "localhost", authority(&broker, "stranger-ca.pem")).connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Handshake { .. }), "{error:?}");
    let error = tls(&broker, "localhost", TlsOptions::new()).connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Handshake { .. }), "the system's authorities: {error:?}");
}

async fn tls_with_another_name_is_refused(broker: Broker) {
    let elsewhere = Forwarder::to(broker.tls_port()).address();
    let url = format!("amqps://guest:guest@{elsewhere}/");
    let options = ConnectOptions::new(url.parse().unwrap());
    let error = options.clone().tls(authority(&broker, "ca.pem")).connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Handshake { .. }), "{error:?}");
    assert!(error.to_string().contains("127.0.0.2"), "{error}");
    let named = authority(&broker, "ca.pem").server_name("localhost".to_owned());
    options.tls(named).connect().await.unwrap().close().await.unwrap();
}

async fn tls_without_verification_works_when_asked_for(broker: Broker) {
    let options = TlsOptions::new().insecure_skip_verify(true);
    tls(&broker, "localhost", options).connect().await.unwrap().close().await.unwrap();
}

async fn a_client_certificate_gets_in_without_a_password(broker: Broker) {
    let read = |file| fs::read(broker.tls_file(file)).unwrap();
    let shown = authority(&broker, "ca.pem").identity_pem(read("client.pem"), read("client.key"));
    let connection = tls(&broker, "localhost", shown).sasl(Sasl::External).connect().await.unwrap();
    connection.session().await.unwrap();
    connection.close().await.unwrap();
    let hidden = authority(&broker, "ca.pem");
    let error = tls(&broker, "localhost", hidden).sasl(Sasl::External).connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Connection(ConnectionError::Sasl { .. })), "{error:?}");
}

async fn anonymous_gets_in(broker: Broker) {
    let address: Address = broker.url().parse().unwrap();
    let connection = ConnectOptions::new(address).sasl(Sasl::Anonymous).connect().await.unwrap();
    connection.session().await.unwrap();
    connection.close().await.unwrap();
}
