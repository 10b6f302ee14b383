//! Recognition, addresses, delays and outcomes of every profile.

use std::time::{Duration, SystemTime};

use super::address::{old_segment, segment};
use super::buckets::bucket;
use super::detect::Said;
use super::*;
use crate::config::ProfileChoice;

fn said(product: &str, version: &str) -> Said {
    Said {
        product: product.to_owned(),
        version: version.to_owned(),
        delayed_delivery: false,
        anonymous_relay: false,
        link_pair: false,
    }
}

fn profile(product: &str, version: &str) -> std::sync::Arc<dyn Profile> {
    said(product, version).profile(ProfileChoice::Auto)
}

fn request<'a>(
    config: &'a DelayConfig,
    delay: Duration,
    exchange: &'a str,
    key: &'a str,
) -> DelayRequest<'a> {
    DelayRequest { delay, due: SystemTime::UNIX_EPOCH + delay, exchange, routing_key: key, config }
}

#[test]
fn brokers_are_recognised_by_what_they_say() {
    for (product, version, expected) in [
        ("RabbitMQ", "4.3.6", "rabbitmq4"),
        ("RabbitMQ", "4.0.5-rc.1+12", "rabbitmq4"),
        ("RabbitMQ", "3.10.8", "rabbitmq3"),
        ("RabbitMQ", "3.13.7", "rabbitmq3"),
        ("RabbitMQ", "", "rabbitmq3"),
        ("rr-jobs embedded broker", "0.1.0", "embedded"),
        ("apache-activemq-artemis", "2.44.0", "generic"),
        ("", "", "generic"),
    ] {
        assert_eq!(profile(product, version).name(), expected, "{product} {version}");
    }
    let nameless = Said { link_pair: true, ..said("", "") };
    assert_eq!(nameless.profile(ProfileChoice::Auto).name(), "rabbitmq4");
    assert_eq!(nameless.profile(ProfileChoice::Generic).name(), "generic");
    assert_eq!(said("", "").profile(ProfileChoice::RabbitMq3).name(), "rabbitmq3");
}

#[test]
fn links_have_their_own_sessions_where_errors_spread() {
    for (version, expected) in [
        ("3.10.8", true),
        ("3.13.7", true),
        ("4.0.5", true),
        ("4.1.8", true),
        ("4.2.0", false),
        ("4.3.6", false),
    ] {
        assert_eq!(profile("RabbitMQ", version).session_per_link(), expected, "{version}");
    }
    assert!(!profile("", "").session_per_link());
}

#[test]
fn addresses_follow_the_release() {
    let new = profile("RabbitMQ", "4.3.6");
    assert_eq!(new.queue_source("a/b c+é"), "/queues/a%2Fb%20c%2B%C3%A9");
    assert_eq!(new.exchange_target("events", "events.#").as_deref(), Some("/exchanges/events/events.%23"));
    assert_eq!(new.exchange_target("fan", "").as_deref(), Some("/exchanges/fan"));
    let old = profile("RabbitMQ", "3.10.8");
    assert_eq!(old.queue_target("a/b c"), "/amq/queue/a%2Fb c");
    assert_eq!(old.exchange_target("events", "events.#").as_deref(), Some("/exchange/events/events.#"));
    assert_eq!(profile("rr-jobs embedded broker", "1").queue_target("a b"), "/queues/a%20b");
    assert_eq!(profile("other", "1").queue_target("a b"), "a b");
    assert_eq!(profile("other", "1").exchange_target("x", "y"), None);
    assert_eq!(segment("a-b._~1"), "a-b._~1");
    assert_eq!(old_segment("%"), "%");
}

#[test]
fn old_brokers_are_asked_before_something_is_published() {
    for (version, checks) in [
        ("3.10.8", false),
        ("3.11.19", false),
        ("3.11.20", true),
        ("3.12.1", false),
        ("3.12.2", true),
        ("3.13.7", true),
    ] {
        assert_eq!(profile("RabbitMQ", version).checks_targets(), checks, "{version}");
    }
}

#[test]
fn delays_are_rounded_up_to_buckets() {
    for (delay, expected) in [
        (0, 100),
        (1, 100),
        (100, 100),
        (101, 200),
        (1000, 1000),
        (1001, 2000),
        (20_001, 25_000),
        (61_000, 75_000),
        (90_000_000, 108_000_000),
    ] {
        assert_eq!(bucket(Duration::from_millis(delay), &[]), expected, "{delay}");
    }
    assert_eq!(bucket(Duration::MAX, &[]), 4_294_900_000);
    let own = [Duration::from_secs(60), Duration::from_secs(5)];
    assert_eq!(bucket(Duration::from_secs(1), &own), 5_000);
    assert_eq!(bucket(Duration::from_secs(6), &own), 60_000);
    assert_eq!(bucket(Duration::from_secs(600), &own), 60_000);
}

#[test]
fn rabbitmq_4_delays_in_queues_that_lose_nothing() {
    let config = DelayConfig::default();
    let plan = profile("RabbitMQ", "4.0.5").delay(&request(&config, Duration::from_millis(4200), "", "jobs"));
    let DelayPlan::Declare(queue) = plan else { panic!("{plan:?}") };
    assert_eq!(queue.name, "jobs.delay.5000");
    assert!(queue.durable && !queue.exclusive);
    let expected = [
        ("x-queue-type", Value::from("quorum")),
        ("x-message-ttl", Value::Ulong(5000)),
        ("x-dead-letter-exchange", Value::from("")),
        ("x-dead-letter-routing-key", Value::from("jobs")),
        ("x-dead-letter-strategy", Value::from("at-least-once")),
        ("x-overflow", Value::from("reject-publish")),
    ];
    assert_eq!(queue.arguments, expected.map(|(k, v)| (k.to_owned(), v)));
    let plan = profile("RabbitMQ", "4.0.5").delay(&request(&config, Duration::from_secs(1), "x", "k"));
    assert!(matches!(plan, DelayPlan::Declare(queue) if queue.name == "x.k.exchange-delay.1000"));
}

#[test]
fn brokers_without_delays_say_what_to_do() {
    let config = DelayConfig::default();
    let wanted = request(&config, Duration::from_secs(5), "", "jobs");
    let DelayPlan::Existing { queue, advice } = profile("RabbitMQ", "3.10.8").delay(&wanted) else {
        panic!()
    };
    assert_eq!(queue, "jobs.delay.5000");
    assert!(advice.contains("x-message-ttl=5000") && advice.contains("jobs.delay.5000"), "{advice}");
    assert!(matches!(profile("other", "1").delay(&wanted), DelayPlan::Impossible(_)));
    let off = DelayConfig { strategy: DelayStrategy::None, ..DelayConfig::default() };
    let refused = request(&off, Duration::from_secs(5), "", "jobs");
    for (product, version) in
        [("RabbitMQ", "4.3.6"), ("RabbitMQ", "3.10.8"), ("rr-jobs embedded broker", "1"), ("other", "1")]
    {
        assert!(matches!(profile(product, version).delay(&refused), DelayPlan::Impossible(_)), "{product}");
    }
}

#[test]
fn native_delays_are_epoch_milliseconds_as_long() {
    let config = DelayConfig::default();
    let wanted = request(&config, Duration::from_secs(5), "", "jobs");
    let expected = DelayPlan::Annotate(Symbol::from_static("x-opt-delivery-time"), Value::Long(5000));
    assert_eq!(profile("rr-jobs embedded broker", "1").delay(&wanted), expected);
    let offering = Said { delayed_delivery: true, ..said("apache-activemq-artemis", "2.44.0") };
    assert_eq!(offering.profile(ProfileChoice::Auto).delay(&wanted), expected);
}

#[test]
fn dead_letters_keep_their_reason_where_the_broker_can() {
    let quorum = QueueFacts { kind: Some("quorum".to_owned()), ..QueueFacts::default() };
    let classic = QueueFacts { kind: Some("classic".to_owned()), ..QueueFacts::default() };
    let outcome = profile("RabbitMQ", "4.3.6").dead_letter("boom", &quorum);
    let Outcome::Modified(modified) = outcome else { panic!("{outcome:?}") };
    assert!(modified.undeliverable_here);
    assert_eq!(modified.message_annotations.unwrap().get("x-opt-rr-reason"), Some(&Value::from("boom")));
    for (product, version, queue) in [
        ("RabbitMQ", "4.3.6", &classic),
        ("RabbitMQ", "3.10.8", &quorum),
        ("rr-jobs embedded broker", "1", &quorum),
        ("other", "1", &QueueFacts::default()),
    ] {
        let outcome = profile(product, version).dead_letter("boom", queue);
        let Outcome::Rejected(Some(error)) = outcome else { panic!("{outcome:?}") };
        assert_eq!(error.description.as_deref(), Some("boom"));
    }
}

#[test]
fn a_failed_job_is_counted_where_somebody_wants_it_counted() {
    let queue = |kind: &str, delivery_limit, has_dead_letters| QueueFacts {
        kind: Some(kind.to_owned()),
        delivery_limit,
        has_dead_letters,
    };
    for (product, version, facts, counted, warned) in [
        ("RabbitMQ", "4.3.6", queue("quorum", Some(3), true), true, false),
        ("RabbitMQ", "4.3.6", queue("quorum", Some(3), false), true, true),
        ("RabbitMQ", "4.3.6", queue("quorum", Some(-1), false), true, false),
        ("RabbitMQ", "4.3.6", queue("quorum", None, true), true, false),
        ("RabbitMQ", "4.3.6", queue("quorum", None, false), false, true),
        ("RabbitMQ", "4.3.6", queue("classic", None, false), false, false),
        ("RabbitMQ", "4.3.6", QueueFacts::default(), false, false),
        // There every return counts.
        ("RabbitMQ", "4.2.9", queue("quorum", Some(3), true), false, false),
        ("RabbitMQ", "4.0.5", queue("quorum", None, false), false, true),
        ("RabbitMQ", "3.10.8", queue("quorum", Some(3), true), false, false),
        ("rr-jobs embedded broker", "1", QueueFacts::default(), true, false),
        ("other", "1", QueueFacts::default(), false, false),
    ] {
        let profile = profile(product, version);
        let is_counted = match profile.failed(&facts) {
            Outcome::Modified(modified) => modified.delivery_failed && !modified.undeliverable_here,
            outcome => {
                assert!(matches!(outcome, Outcome::Released), "{outcome:?}");
                false
            }
        };
        assert_eq!(is_counted, counted, "{product} {version} {facts:?}");
        assert_eq!(profile.warning(&facts).is_some(), warned, "{product} {version} {facts:?}");
    }
    let warning = profile("RabbitMQ", "4.0.5").warning(&queue("quorum", None, false)).unwrap();
    assert!(warning.contains("20 times") && warning.contains("x-delivery-limit"), "{warning}");
}

#[test]
fn declared_queues_state_their_limits() {
    let config = PipelineConfig::new("jobs").dead_letter("jobs.failed");
    let queue = profile("RabbitMQ", "4.3.6").queue_declaration("jobs", &config);
    let get = |name: &str| queue.arguments.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
    assert_eq!(get("x-queue-type"), Some(Value::from("quorum")));
    assert_eq!(get("x-delivery-limit"), Some(Value::Long(-1)));
    assert_eq!(get("x-dead-letter-routing-key"), Some(Value::from("jobs.failed")));
    let mut config = PipelineConfig::new("jobs");
    config.exclusive = true;
    let queue = profile("RabbitMQ", "4.3.6").queue_declaration("jobs", &config);
    assert_eq!(queue.arguments, [("x-queue-type".to_owned(), Value::from("classic"))]);
    assert!(queue.exclusive);
}
