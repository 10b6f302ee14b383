//! Requests and their replies, without links.

use super::*;
use crate::limits::{Limits, QueueOptions};

fn store() -> Store {
    Store::new(&Limits::default(), QueueOptions::default(), true)
}

fn ask(store: &Store, method: &str, path: &str, body: Value) -> (String, Value) {
    let reply = respond(store, &HttpRequest::new(method, path, Body::Value(body)));
    (reply.status.to_string(), reply.body)
}

fn map(entries: &[(&str, Value)]) -> Value {
    let mut map = Map::new();
    for (key, value) in entries {
        map.insert(*key, value.clone());
    }
    Value::Map(map)
}

fn declared_with(arguments: &[(&str, Value)]) -> Value {
    map(&[("durable", Value::Bool(true)), ("arguments", map(arguments))])
}

fn entry(body: &Value, key: &str) -> Value {
    body.as_map().and_then(|map| map.get(key)).cloned().unwrap_or(Value::Null)
}

#[test]
fn a_queue_is_declared_described_and_deleted() {
    let store = store();
    assert_eq!(ask(&store, "GET", "/queues/jobs", Value::Null).0, "404");
    let (status, body) =
        ask(&store, "PUT", "/queues/jobs", declared_with(&[("x-queue-type", "quorum".into())]));
    assert_eq!(status, "201");
    assert_eq!(entry(&body, "name"), Value::from("jobs"));
    assert_eq!(entry(&body, "type"), Value::from("quorum"));
    let (status, body) = ask(&store, "GET", "/queues/jobs", Value::Null);
    assert_eq!(status, "200");
    assert_eq!(entry(&body, "message_count"), Value::Ulong(0));
    assert_eq!(entry(&body, "consumer_count"), Value::Uint(0));
    assert_eq!(entry(&body, "messages_delayed"), Value::Ulong(0));
    assert_eq!(entry(&body, "messages_unacknowledged"), Value::Ulong(0));
    let (status, body) = ask(&store, "DELETE", "/queues/jobs", Value::Null);
    assert_eq!((status.as_str(), entry(&body, "message_count")), ("200", Value::Ulong(0)));
    assert_eq!(ask(&store, "DELETE", "/queues/jobs", Value::Null).0, "200");
    assert_eq!(ask(&store, "GET", "/queues/jobs", Value::Null).0, "404");
}

#[test]
fn declaring_again_is_the_same_or_a_conflict() {
    let store = store();
    let five = declared_with(&[("x-delivery-limit", Value::Int(5))]);
    assert_eq!(ask(&store, "PUT", "/queues/jobs", five.clone()).0, "201");
    assert_eq!(ask(&store, "PUT", "/queues/jobs", five).0, "200");
    assert_eq!(
        ask(&store, "PUT", "/queues/jobs", declared_with(&[("x-delivery-limit", Value::Int(6))])).0,
        "409"
    );
}

#[test]
fn a_queue_made_on_demand_takes_on_its_first_declaration() {
    let store = store();
    store.open(&"jobs".into()).unwrap();
    assert_eq!(
        ask(&store, "PUT", "/queues/jobs", declared_with(&[("x-delivery-limit", Value::Int(5))])).0,
        "200"
    );
    let queue = store.find("jobs").expect("queue");
    assert_eq!(queue.lock().queue.options().delivery_limit, Some(5));
}

#[test]
fn arguments_mean_what_they_mean_on_rabbitmq() {
    let store = store();
    let arguments = declared_with(&[
        ("x-message-ttl", Value::Uint(5_000)),
        ("x-dead-letter-exchange", "".into()),
        ("x-dead-letter-routing-key", "jobs".into()),
        ("x-delivery-limit", Value::Long(-1)),
        ("x-max-length", Value::Ulong(10)),
        ("x-overflow", "reject-publish".into()),
    ]);
    assert_eq!(ask(&store, "PUT", "/queues/jobs.delay", arguments).0, "201");
    let queue = store.find("jobs.delay").expect("queue");
    let state = queue.lock();
    let options = state.queue.options();
    assert_eq!(options.message_ttl, Some(std::time::Duration::from_secs(5)));
    assert_eq!(options.dead_letter, crate::limits::DeadLetter::Queue("jobs".into()));
    assert_eq!(options.delivery_limit, None);
    assert_eq!(options.max_length, 10);
}

#[test]
fn what_cannot_be_done_is_a_bad_request() {
    let store = store();
    for arguments in [
        ("x-queue-type", Value::from("stream")),
        ("x-dead-letter-exchange", Value::from("amq.topic")),
        ("x-dead-letter-routing-key", Value::from("jobs")),
        ("x-overflow", Value::from("drop-head")),
        ("x-expires", Value::Uint(1)),
        ("x-message-ttl", Value::from("soon")),
    ] {
        let (status, body) =
            ask(&store, "PUT", "/queues/jobs", declared_with(std::slice::from_ref(&arguments)));
        assert_eq!(status, "400", "{arguments:?}");
        assert!(body.as_str().is_some_and(|text| text.contains(arguments.0)), "{body:?}");
    }
    assert_eq!(ask(&store, "PUT", "/queues/jobs", map(&[("exclusive", Value::Bool(true))])).0, "400");
    assert_eq!(ask(&store, "PUT", "/queues/jobs", Value::from("durable")).0, "400");
    assert_eq!(ask(&store, "PUT", "/queues/%zz", Value::Null).0, "400");
    assert_eq!(ask(&store, "PUT", "/queues/amq.jobs", Value::Null).0, "403");
    assert!(store.find("jobs").is_none());
}

#[test]
fn there_are_no_exchanges_and_it_says_so() {
    let store = store();
    assert_eq!(ask(&store, "PUT", "/exchanges/e", map(&[("type", "topic".into())])).0, "400");
    assert_eq!(ask(&store, "DELETE", "/exchanges/e", Value::Null).0, "404");
    assert_eq!(ask(&store, "POST", "/bindings", Value::Null).0, "400");
    assert_eq!(ask(&store, "GET", "/nothing", Value::Null).0, "404");
    assert_eq!(ask(&store, "PATCH", "/queues/jobs", Value::Null).0, "404");
}

#[test]
fn names_are_percent_decoded() {
    let store = store();
    assert_eq!(ask(&store, "PUT", "/queues/a%2Fb?x=y", Value::Null).0, "201");
    assert!(store.find("a/b").is_some());
}
