//! The management node over its pair of links.

mod support;

use amqp_codec::messaging::{Body, Message, Properties, Source, Target};
use amqp_codec::transport::{SenderSettleMode, conditions};
use amqp_codec::types::{Map, Value};
use amqp_transport::{Credit, Receiver, ReceiverOptions, Sender, SenderOptions, Session};
use support::{Pair, next, text};

const MANAGEMENT: &str = "/management";

/// A client of the management node.
struct Client {
    requests: Sender,
    replies: Receiver,
}

#[expect(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]
impl Client {
    async fn attach(pair: &Pair, name: &str) -> Self {
        let (replies, requests) =
            tokio::join!(attach_replies(&pair.session, name), attach_requests(&pair.session, name));
        Self { requests, replies }
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> (String, Map) {
        let request = Message {
            properties: Some(Properties {
                message_id: Some(path.into()),
                subject: Some(method.into()),
                to: Some(path.into()),
                reply_to: Some("$me".into()),
                ..Properties::default()
            }),
            body: Body::Value(body),
            ..Message::default()
        };
        self.requests.send_settled(request).await.unwrap();
        let reply = next(&self.replies).await.message().unwrap();
        let properties = reply.properties.expect("properties");
        assert_eq!(properties.correlation_id, Some(path.into()));
        let map = match reply.body {
            Body::Value(Value::Map(map)) => map,
            _ => Map::new(),
        };
        (properties.subject.expect("a status").to_string(), map)
    }
}

#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
async fn attach_replies(session: &Session, name: &str) -> Receiver {
    let receiver = ReceiverOptions::new(MANAGEMENT)
        .name(name)
        .target(Target { address: Some(MANAGEMENT.into()), ..Target::default() })
        .sender_settle_mode(SenderSettleMode::Settled)
        .credit(Credit::Auto(10))
        .property("paired", true);
    session.receiver(receiver).await.unwrap()
}

#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
async fn attach_requests(session: &Session, name: &str) -> Sender {
    let sender = SenderOptions::new(MANAGEMENT)
        .name(name)
        .source(Source { address: Some(MANAGEMENT.into()), ..Source::default() })
        .settle_mode(SenderSettleMode::Settled)
        .property("paired", true);
    session.sender(sender).await.unwrap()
}

#[tokio::test]
async fn queues_are_declared_counted_purged_and_deleted() {
    let pair = Pair::start().await;
    let client = Client::attach(&pair, "management-link-pair").await;
    assert_eq!(client.ask("GET", "/queues/q", Value::Null).await.0, "404");
    assert_eq!(client.ask("PUT", "/queues/q", Value::Map(Map::new())).await.0, "201");
    for _ in 0..3 {
        pair.send("/queues/q", text("x")).await;
    }
    pair.send("/queues/q", support::annotated("y", "x-opt-delivery-delay", Value::Long(60_000))).await;
    let receiver = pair.receiver("/queues/q", 1).await;
    let held = next(&receiver).await;
    let (status, map) = client.ask("GET", "/queues/q", Value::Null).await;
    assert_eq!(status, "200");
    assert_eq!(map.get("message_count"), Some(&Value::Ulong(2)));
    assert_eq!(map.get("messages_delayed"), Some(&Value::Ulong(1)));
    assert_eq!(map.get("messages_unacknowledged"), Some(&Value::Ulong(1)));
    assert_eq!(map.get("consumer_count"), Some(&Value::Uint(1)));
    let (status, map) = client.ask("DELETE", "/queues/q/messages", Value::Null).await;
    assert_eq!((status.as_str(), map.get("message_count")), ("200", Some(&Value::Ulong(3))));
    held.accept().unwrap();
    pair.wait("q", |stats| stats.accepted == 1).await;
    receiver.close().await.unwrap();
    assert_eq!(client.ask("DELETE", "/queues/q", Value::Null).await.0, "200");
    assert_eq!(pair.broker.queues(), Vec::<String>::new());
    pair.stop().await;
}

#[tokio::test]
async fn several_pairs_live_side_by_side() {
    let pair = Pair::start().await;
    let first = Client::attach(&pair, "one").await;
    let second = Client::attach(&pair, "two").await;
    assert_eq!(first.ask("PUT", "/queues/q", Value::Null).await.0, "201");
    assert_eq!(second.ask("PUT", "/queues/q", Value::Null).await.0, "200");
    pair.stop().await;
}

#[tokio::test]
async fn pairs_of_one_name_live_on_different_sessions() {
    let pair = Pair::start().await;
    let other = pair.connection.session().await.unwrap();
    // Each half waits while a half of the other pair comes.
    let first_requests = attach_requests(&pair.session, "same").await;
    let second_replies = attach_replies(&other, "same").await;
    let second_requests = attach_requests(&other, "same").await;
    let first_replies = attach_replies(&pair.session, "same").await;
    let first = Client { requests: first_requests, replies: first_replies };
    let second = Client { requests: second_requests, replies: second_replies };
    assert_eq!(first.ask("PUT", "/queues/q", Value::Null).await.0, "201");
    assert_eq!(second.ask("PUT", "/queues/q", Value::Null).await.0, "200");
    assert_eq!(first.ask("GET", "/queues/q", Value::Null).await.0, "200");
    pair.stop().await;
}

#[tokio::test]
async fn a_name_is_free_again_after_its_pair_has_gone() {
    let pair = Pair::start().await;
    for _ in 0..3 {
        let client = Client::attach(&pair, "same").await;
        assert_eq!(client.ask("PUT", "/queues/q", Value::Null).await.0.len(), 3);
        client.requests.close().await.unwrap();
        // The broker closes the other half by itself.
        client.replies.detached().await;
    }
    pair.stop().await;
}

#[tokio::test]
async fn a_half_that_has_gone_is_not_paired() {
    let pair = Pair::start().await;
    for _ in 0..3 {
        let half = SenderOptions::new(MANAGEMENT).name("same").property("paired", true);
        pair.session.sender(half).await.unwrap().close().await.unwrap();
    }
    let client = Client::attach(&pair, "same").await;
    assert_eq!(client.ask("PUT", "/queues/q", Value::Null).await.0, "201");
    pair.stop().await;
}

#[tokio::test]
async fn an_unpaired_link_is_refused() {
    let pair = Pair::start().await;
    let error = pair.session.sender(SenderOptions::new(MANAGEMENT)).await.expect_err("refused");
    assert_eq!(error.remote_error().map(|error| error.condition.clone()), Some(conditions::INVALID_FIELD));
    pair.stop().await;
}

#[tokio::test]
async fn requests_have_credit_only_when_the_pair_is_complete() {
    let pair = Pair::start().await;
    let requests = attach_requests(&pair.session, "half").await;
    // What the broker sent before its answer to this has arrived with it.
    pair.send("q", text("x")).await;
    assert_eq!(requests.credit(), 0);
    let client = Client { requests, replies: attach_replies(&pair.session, "half").await };
    for _ in 0..20 {
        assert_eq!(client.ask("GET", "/queues/q", Value::Null).await.0, "200");
    }
    pair.stop().await;
}

#[tokio::test]
async fn the_half_that_completes_a_pair_is_welcome_when_too_many_wait() {
    let pair = Pair::start().await;
    let mut waiting = Vec::new();
    for number in 0..64 {
        waiting.push(attach_requests(&pair.session, &format!("half {number}")).await);
    }
    let one_more = SenderOptions::new(MANAGEMENT).name("one more").property("paired", true);
    let error = pair.session.sender(one_more).await.expect_err("refused");
    let condition = error.remote_error().map(|error| error.condition.clone());
    assert_eq!(condition, Some(conditions::RESOURCE_LIMIT_EXCEEDED));
    let requests = waiting.remove(63);
    let client = Client { requests, replies: attach_replies(&pair.session, "half 63").await };
    assert_eq!(client.ask("PUT", "/queues/q", Value::Null).await.0, "201");
    pair.stop().await;
}
