//! What the driver promises, one function a claim. Each runs against any broker, by address.

pub(crate) mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use amqp_codec::messaging::{ApplicationProperties, Body, Message};
use amqp_codec::types::Value;
use bytes::Bytes;
use jobs_driver::config::{Declare, DelayStrategy, Format, PipelineConfig};
use jobs_driver::{Driver, DriverError, Event, Headers, Job, NackOptions, PushError, SettleError, Verdict};

use support::{Broker, DEADLINE, Forwarder, Kind, next, unique, until, within};

/// A delay that is long enough to be noticed, and a bucket of its own.
const DELAY: Duration = Duration::from_millis(700);

fn job() -> Job {
    Job::new("p", "App\\Job", Bytes::from_static(b"\x00\xff\x80 payload"))
        .with_header("k", "v1")
        .with_header("k", "v2")
}

fn headers(name: &str, value: &str) -> Headers {
    Headers::from([(name.to_owned(), vec![value.to_owned()])])
}

async fn one_pipeline(broker: &Broker) -> (String, Driver) {
    let queue = broker.queue().await;
    let driver = broker.driver([("p", PipelineConfig::new(&queue))]).await;
    (queue, driver)
}

async fn end(driver: Driver) {
    within("shutdown", driver.shutdown(Duration::from_secs(5))).await;
}

pub(crate) async fn a_pushed_job_arrives_as_it_was_and_is_gone_after_ack(broker: &Broker) {
    let (queue, driver) = one_pipeline(broker).await;
    let job = job().with_priority(3);
    driver.push(job.clone()).await.unwrap();
    let active = next(&driver).await;
    assert_eq!(*active.job(), job);
    assert_eq!(
        (active.pipeline(), active.queue(), active.driver(), active.attempt()),
        ("p", queue.as_str(), "amqp1", 1)
    );
    active.ack().await.unwrap();
    end(driver).await;
    broker.assert_empty(&queue).await;
}

pub(crate) async fn a_failed_job_is_dead_lettered(broker: &Broker) {
    let (queue, driver) = one_pipeline(broker).await;
    let job = job();
    driver.push(job.clone()).await.unwrap();
    next(&driver).await.nack("it broke").await.unwrap();
    let dead = broker.consume(&format!("{queue}.dlq")).await;
    assert_eq!(dead.application_property("rr_id").and_then(Value::as_str), Some(job.id.as_str()));
    let reason = match broker.kind {
        Kind::Embedded => dead.annotation("x-opt-deadletter-description"),
        Kind::RabbitMq4 => dead.annotation("x-opt-rr-reason"),
        // RabbitMQ 3 keeps none.
        Kind::RabbitMq3 => None,
    };
    if broker.kind != Kind::RabbitMq3 {
        assert_eq!(reason.and_then(Value::as_str), Some("it broke"));
    }
    end(driver).await;
    broker.assert_empty(&queue).await;
}

pub(crate) async fn a_failed_job_comes_again_with_requeue_on_fail(broker: &Broker) {
    let queue = broker.queue().await;
    let mut config = PipelineConfig::new(&queue);
    config.requeue_on_fail = true;
    let driver = broker.driver([("p", config)]).await;
    let job = job();
    driver.push(job.clone()).await.unwrap();
    next(&driver).await.nack("once").await.unwrap();
    let again = next(&driver).await;
    assert_eq!(again.job().id, job.id);
    if broker.kind != Kind::RabbitMq3 {
        assert_eq!(again.attempt(), 2);
    }
    again.ack().await.unwrap();
    end(driver).await;
    broker.assert_empty(&queue).await;
}

pub(crate) async fn a_requeued_job_has_its_new_headers(broker: &Broker) {
    let (queue, driver) = one_pipeline(broker).await;
    driver.push(job().with_header("old", "kept")).await.unwrap();
    next(&driver).await.requeue(headers("k", "changed"), Duration::ZERO).await.unwrap();
    let again = next(&driver).await;
    let expected: BTreeMap<_, _> =
        headers("k", "changed").into_iter().chain(headers("old", "kept")).collect();
    assert_eq!(again.job().headers, expected);
    assert_eq!(again.job().payload, job().payload);
    assert_eq!(again.attempt(), 2);
    again.ack().await.unwrap();
    end(driver).await;
    broker.assert_empty(&queue).await;
}

pub(crate) async fn a_delayed_job_arrives_late_and_only_once(broker: &Broker) {
    let (queue, driver) = one_pipeline(broker).await;
    broker.delay_queue(&queue, 700).await;
    let start = Instant::now();
    driver.push(job().with_delay(DELAY)).await.unwrap();
    let late = next(&driver).await;
    assert!(start.elapsed() >= DELAY, "{:?}", start.elapsed());
    // A retry with a delay, as a plain failure and with new headers.
    let start = Instant::now();
    let options = NackOptions { requeue: true, delay: DELAY, reason: "later".into() };
    late.nack_with(options).await.unwrap();
    let late = next(&driver).await;
    assert!(start.elapsed() >= DELAY, "{:?}", start.elapsed());
    assert_eq!(late.attempt(), 2);
    let start = Instant::now();
    late.requeue(headers("n", "1"), DELAY).await.unwrap();
    let late = next(&driver).await;
    assert!(start.elapsed() >= DELAY, "{:?}", start.elapsed());
    assert_eq!((late.attempt(), late.job().header("n")), (3, Some("1")));
    // And at once, although the job once had a delay.
    late.requeue(headers("n", "2"), Duration::ZERO).await.unwrap();
    let last = next(&driver).await;
    assert_eq!((last.job().header("n"), last.job().delay), (Some("2"), Duration::ZERO));
    last.ack().await.unwrap();
    end(driver).await;
    broker.assert_empty(&queue).await;
}

pub(crate) async fn the_most_urgent_job_is_taken_first(broker: &Broker) {
    let (slow, fast) = (broker.queue().await, broker.queue().await);
    let pipelines =
        [("slow", PipelineConfig::new(&slow).priority(20)), ("fast", PipelineConfig::new(&fast).priority(2))];
    let driver = broker.driver(pipelines).await;
    for (pipeline, name, priority) in [
        ("slow", "third", None),
        ("slow", "fourth", None),
        ("fast", "second", None),
        ("slow", "first", Some(1)),
    ] {
        let mut job = Job::new(pipeline, name, "");
        job.priority = priority;
        driver.push(job).await.unwrap();
    }
    until("all four wait here", async || driver.waiting_jobs() == 4).await;
    for expected in ["first", "second", "third", "fourth"] {
        let active = next(&driver).await;
        assert_eq!(active.job().name, expected);
        active.ack().await.unwrap();
    }
    end(driver).await;
}

pub(crate) async fn pause_hands_back_what_nobody_took_and_running_jobs_can_be_settled(broker: &Broker) {
    let (queue, driver) = one_pipeline(broker).await;
    for n in 0..5 {
        driver.push(Job::new("p", n.to_string(), "")).await.unwrap();
    }
    let running = next(&driver).await;
    within("pause", driver.pause("p")).await.unwrap();
    let state = driver.state().await.remove(0);
    assert!(!state.ready);
    // Everything but the running one can be taken by somebody else.
    let (other, receiver) = broker.receiver(&queue, 10).await;
    let mut others = Vec::new();
    while others.len() < 4 {
        others.push(within("handed back job", receiver.recv()).await.unwrap());
    }
    running.ack().await.unwrap();
    drop(others);
    other.close().await.unwrap();
    assert!(matches!(driver.pause("p").await, Err(DriverError::State { .. })));
    within("resume", driver.resume("p")).await.unwrap();
    assert!(matches!(driver.resume("p").await, Err(DriverError::State { .. })));
    for _ in 0..4 {
        next(&driver).await.ack().await.unwrap();
    }
    end(driver).await;
    broker.assert_empty(&queue).await;
}

pub(crate) async fn stop_lets_running_jobs_end_and_the_pipeline_can_run_again(broker: &Broker) {
    let (queue, driver) = one_pipeline(broker).await;
    for n in 0..3 {
        driver.push(Job::new("p", n.to_string(), "")).await.unwrap();
    }
    let running = next(&driver).await;
    let stopping = {
        let driver = driver.clone();
        tokio::spawn(async move { driver.stop("p").await })
    };
    until("it takes no more", async || !driver.state().await.remove(0).ready).await;
    assert!(!stopping.is_finished());
    running.ack().await.unwrap();
    within("stop", stopping).await.unwrap().unwrap();
    driver.run("p").await.unwrap();
    for _ in 0..2 {
        next(&driver).await.ack().await.unwrap();
    }
    end(driver).await;
    broker.assert_empty(&queue).await;
}

pub(crate) async fn shutdown_waits_for_running_jobs_and_hands_back_the_rest(broker: &Broker) {
    let (queue, driver) = one_pipeline(broker).await;
    for n in 0..4 {
        driver.push(Job::new("p", n.to_string(), "")).await.unwrap();
    }
    let running = next(&driver).await;
    let first = running.job().name.clone();
    // `join` begins the shutdown before it looks at the rest.
    within("shutdown", async {
        tokio::join!(driver.shutdown(DEADLINE), async {
            assert!(driver.next_job().await.is_none());
            running.ack().await.unwrap();
        });
    })
    .await;
    assert!(matches!(driver.push(job()).await, Err(PushError::Closed)));
    let mut left = Vec::new();
    for _ in 0..3 {
        let message = broker.consume(&queue).await;
        left.push(message.application_property("rr_job").and_then(Value::as_str).unwrap().to_owned());
    }
    left.push(first);
    left.sort_unstable();
    assert_eq!(left, ["0", "1", "2", "3"]);
    broker.assert_empty(&queue).await;
}

pub(crate) async fn a_job_that_is_dropped_goes_back(broker: &Broker) {
    let (queue, driver) = one_pipeline(broker).await;
    driver.push(job()).await.unwrap();
    drop(next(&driver).await);
    next(&driver).await.ack().await.unwrap();
    end(driver).await;
    broker.assert_empty(&queue).await;
}

pub(crate) async fn a_job_with_auto_ack_is_settled_before_it_runs(broker: &Broker) {
    let (queue, driver) = one_pipeline(broker).await;
    driver.push(job().with_auto_ack(true)).await.unwrap();
    let active = next(&driver).await;
    assert!(active.job().auto_ack);
    active.nack("nobody cares").await.unwrap();
    end(driver).await;
    broker.assert_empty(&queue).await;
    broker.assert_empty(&format!("{queue}.dlq")).await;
}

pub(crate) async fn handlers_get_every_job_once(broker: &Broker) {
    const JOBS: usize = 500;
    let queue = broker.queue().await;
    let driver = broker.driver([("p", PipelineConfig::new(&queue).prefetch(20))]).await;
    let seen: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
    let failures = Arc::new(AtomicUsize::new(0));
    let handling = {
        let (driver, seen, failures) = (driver.clone(), seen.clone(), failures.clone());
        tokio::spawn(async move {
            driver
                .handle(4, move |job| {
                    let (seen, failures) = (seen.clone(), failures.clone());
                    async move {
                        let times = {
                            let mut seen = seen.lock().unwrap();
                            let times = seen.entry(job.name.clone()).or_default();
                            *times += 1;
                            *times
                        };
                        assert!(
                            !(job.name == "13" && times == 1 && failures.fetch_add(1, Ordering::SeqCst) == 0),
                            "unlucky"
                        );
                        if job.name == "7" && times == 1 {
                            return Verdict::Retry { delay: Duration::ZERO, reason: "again".into() };
                        }
                        Verdict::Ack
                    }
                })
                .await;
        })
    };
    let mut pushes = tokio::task::JoinSet::new();
    for n in 0..JOBS {
        let driver = driver.clone();
        pushes.spawn(async move { driver.push(Job::new("p", n.to_string(), "x")).await });
    }
    while let Some(pushed) = pushes.join_next().await {
        pushed.unwrap().unwrap();
    }
    until("all jobs were seen", async || {
        seen.lock().unwrap().len() == JOBS && seen.lock().unwrap()["7"] == 2
    })
    .await;
    end(driver).await;
    within("handlers", handling).await.unwrap();
    let twice: Vec<_> =
        seen.lock().unwrap().iter().filter(|(_, times)| **times != 1).map(|(n, _)| n.clone()).collect();
    assert_eq!(twice, ["7"]);
    // The one whose handler panicked has failed.
    let dead = broker.consume(&format!("{queue}.dlq")).await;
    assert_eq!(dead.application_property("rr_job").and_then(Value::as_str), Some("13"));
    broker.assert_empty(&queue).await;
}

pub(crate) async fn messages_of_others_are_jobs(broker: &Broker) {
    let (queue, driver) = one_pipeline(broker).await;
    let mut properties = ApplicationProperties::default();
    properties.insert("tenant", Value::from("acme"));
    let foreign = Message {
        application_properties: Some(properties),
        body: Body::Data(Bytes::from_static(b"raw").into()),
        ..Message::default()
    };
    broker.publish(&queue, foreign).await;
    let active = next(&driver).await;
    assert_eq!((active.job().name.as_str(), active.job().payload.as_ref()), ("deduced_by_rr", &b"raw"[..]));
    assert_eq!(active.job().header("tenant"), Some("acme"));
    active.ack().await.unwrap();
    let envelope = br#"{"body":"hello","header":{"rr_id":"i","rr_job":"j","rr_pipeline":"x","rr_headers":"eyJrIjpbInYiXX0=","rr_delay":0,"rr_priority":7,"rr_auto_ack":false}}"#;
    broker.publish(&queue, Message::data(Bytes::from_static(envelope))).await;
    let active = next(&driver).await;
    let expected = Job::new("p", "j", "hello").with_id("i").with_header("k", "v").with_priority(7);
    assert_eq!(*active.job(), expected);
    active.ack().await.unwrap();
    end(driver).await;
}

pub(crate) async fn the_envelope_is_written_on_request(broker: &Broker) {
    let queue = broker.queue().await;
    let mut config = PipelineConfig::new(&queue);
    config.format = Format::Envelope;
    let driver = Driver::start(broker.config([("p", config)], false)).await.unwrap();
    driver.push(Job::new("p", "j", "text").with_id("i")).await.unwrap();
    let message = broker.consume(&queue).await;
    let body: serde_json::Value = serde_json::from_slice(&message.body_bytes().unwrap()).unwrap();
    assert_eq!((body["body"].as_str(), body["header"]["rr_id"].as_str()), (Some("text"), Some("i")));
    assert!(matches!(driver.push(job()).await, Err(PushError::InvalidJob { .. })));
    end(driver).await;
}

pub(crate) async fn a_missing_queue_is_named(broker: &Broker) {
    if !broker.is_rabbitmq() {
        // There a queue comes into being when it is used.
        let driver = broker.driver([("p", PipelineConfig::new(unique("new")))]).await;
        driver.push(job()).await.unwrap();
        next(&driver).await.ack().await.unwrap();
        return end(driver).await;
    }
    let (queue, missing) = (broker.queue().await, unique("missing"));
    let pipelines = [("good", PipelineConfig::new(&queue)), ("bad", PipelineConfig::new(&missing))];
    let error = Driver::start(broker.config(pipelines.clone(), true)).await.unwrap_err().to_string();
    assert!(error.contains(&missing) && error.contains("does not exist"), "{error}");
    let driver = Driver::start(broker.config(pipelines, false)).await.unwrap();
    driver.run("good").await.unwrap();
    let error = driver.push(Job::new("bad", "j", "")).await.unwrap_err();
    assert!(matches!(error, PushError::Target { .. }), "{error:?}");
    assert!(error.to_string().contains(&missing), "{error}");
    assert!(driver.run("bad").await.unwrap_err().to_string().contains(&missing));
    // The other pipeline never noticed.
    driver.push(Job::new("good", "j", "")).await.unwrap();
    next(&driver).await.ack().await.unwrap();
    end(driver).await;
}

pub(crate) async fn an_exchange_named_like_the_queue_is_the_default_one(broker: &Broker) {
    let queue = broker.queue().await;
    let driver = broker.driver([("p", PipelineConfig::new(&queue).exchange(&queue, "direct", &queue))]).await;
    driver.push(job()).await.unwrap();
    next(&driver).await.ack().await.unwrap();
    end(driver).await;
    broker.assert_empty(&queue).await;
}

pub(crate) async fn a_topic_exchange_routes_by_key(broker: &Broker) {
    let queue = broker.queue().await;
    let exchange =
        if broker.is_rabbitmq() { broker.topic_exchange(&queue, "events.#").await } else { unique("x") };
    let driver =
        broker.driver([("p", PipelineConfig::new(&queue).exchange(&exchange, "topic", "events.#"))]).await;
    driver.push(job()).await.unwrap();
    next(&driver).await.ack().await.unwrap();
    if broker.is_rabbitmq() {
        driver.push(job().with_header("x-routing-key", "events.mail.sent")).await.unwrap();
        let active = next(&driver).await;
        assert_eq!(active.job().header("x-routing-key"), None);
        // A copy goes back to its own queue, not to all that listen to the exchange.
        active.requeue(headers("n", "1"), Duration::ZERO).await.unwrap();
        let again = next(&driver).await;
        assert_eq!(again.job().header("n"), Some("1"));
        again.ack().await.unwrap();
    }
    if broker.kind == Kind::RabbitMq4 {
        let error = driver.push(job().with_header("x-routing-key", "other.key")).await.unwrap_err();
        assert!(
            matches!(&error, PushError::NotAccepted { outcome, .. } if outcome.contains("released")),
            "{error:?}"
        );
        let start = Instant::now();
        driver.push(job().with_delay(DELAY)).await.unwrap();
        next(&driver).await.ack().await.unwrap();
        assert!(start.elapsed() >= DELAY);
    }
    end(driver).await;
    broker.assert_empty(&queue).await;
}

pub(crate) async fn a_missing_exchange_is_named(broker: &Broker) {
    if !broker.is_rabbitmq() {
        return a_topic_exchange_routes_by_key(broker).await;
    }
    let (queue, exchange) = (broker.queue().await, unique("missing"));
    let pipeline = PipelineConfig::new(&queue).exchange(&exchange, "direct", "k");
    let driver = Driver::start(broker.config([("p", pipeline)], false)).await.unwrap();
    let error = driver.push(job()).await.unwrap_err();
    assert!(matches!(error, PushError::Target { .. }) && error.to_string().contains(&exchange), "{error:?}");
    end(driver).await;
}

pub(crate) async fn queues_are_declared_where_the_broker_can(broker: &Broker) {
    let (queue, exchange) = (unique("declared"), unique("x"));
    let mut config = PipelineConfig::new(&queue).declare(Declare::On).dead_letter(format!("{queue}.failed"));
    if broker.kind == Kind::RabbitMq4 {
        config = config.exchange(&exchange, "topic", "k.#");
    }
    let started = Driver::start(broker.config([("p", config)], true)).await;
    if broker.kind == Kind::RabbitMq3 {
        let error = started.unwrap_err().to_string();
        assert!(error.contains(&queue), "{error}");
        return;
    }
    let driver = started.unwrap();
    driver.push(job()).await.unwrap();
    next(&driver).await.nack("no").await.unwrap();
    let dead = broker.consume(&format!("{queue}.failed")).await;
    assert_eq!(dead.application_property("rr_job").and_then(Value::as_str), Some("App\\Job"));
    driver.declare("p").await.unwrap();
    end(driver).await;
}

pub(crate) async fn state_and_purge_tell_what_is_there(broker: &Broker) {
    let queue = broker.queue().await;
    let driver =
        Driver::start(broker.config([("p", PipelineConfig::new(&queue).prefetch(2))], false)).await.unwrap();
    for n in 0..5 {
        driver.push(Job::new("p", n.to_string(), "")).await.unwrap();
    }
    if broker.kind == Kind::RabbitMq3 {
        assert!(matches!(driver.purge("p").await, Err(DriverError::Unsupported { .. })));
        return end(driver).await;
    }
    driver.push(Job::new("p", "later", "").with_delay(Duration::from_secs(600))).await.unwrap();
    until("five are ready", async || driver.state().await[0].active == 5).await;
    let state = driver.state().await.remove(0);
    assert_eq!((state.delayed, state.reserved, state.ready), (1, 0, false));
    assert_eq!((state.pipeline.as_str(), state.driver.as_str(), state.queue), ("p", "amqp1", queue.clone()));
    driver.run("p").await.unwrap();
    until("two are held", async || {
        let state = driver.state().await.remove(0);
        (state.active, state.reserved, state.ready) == (3, 2, true)
    })
    .await;
    driver.stop("p").await.unwrap();
    until("all are back", async || driver.state().await[0].active == 5).await;
    assert!(driver.purge("p").await.unwrap() >= 5);
    until("none are left", async || driver.state().await[0].active == 0).await;
    end(driver).await;
}

pub(crate) async fn unknown_pipelines_are_named(broker: &Broker) {
    let (_, driver) = one_pipeline(broker).await;
    let error = driver.push(Job::new("nobody", "j", "")).await.unwrap_err().to_string();
    assert_eq!(error, "no such pipeline, requested: nobody (configured: p)");
    assert!(matches!(driver.pause("nobody").await, Err(DriverError::UnknownPipeline { .. })));
    end(driver).await;
}

pub(crate) async fn a_cut_connection_is_mended_and_nothing_is_lost(broker: &Broker) {
    let queue = broker.queue().await;
    let forwarder = Forwarder::to(broker.authority()).await;
    let behind = Broker {
        url: broker.url.replace(broker.authority(), &format!("127.0.0.1:{}", forwarder.port)),
        ..broker.clone()
    };
    let driver = behind.driver([("p", PipelineConfig::new(&queue))]).await;
    let mut events = driver.events();
    driver.push(Job::new("p", "before", "")).await.unwrap();
    let before = next(&driver).await;
    driver.push(Job::new("p", "waiting", "")).await.unwrap();
    forwarder.cut();
    until("the loss is noticed", async || !driver.is_connected()).await;
    assert!(!driver.state().await[0].ready);
    let pushing = {
        let driver = driver.clone();
        tokio::spawn(async move { driver.push(Job::new("p", "during", "")).await })
    };
    assert!(matches!(before.ack().await, Err(SettleError::Gone { .. })));
    forwarder.mend();
    within("push", pushing).await.unwrap().unwrap();
    let mut names = Vec::new();
    while !["before", "waiting", "during"].iter().all(|name| names.iter().any(|n| n == name)) {
        let active = next(&driver).await;
        names.push(active.job().name.clone());
        active.ack().await.unwrap();
    }
    let mut lost = false;
    loop {
        match within("event", events.recv()).await.unwrap() {
            Event::ConnectionLost { .. } => lost = true,
            Event::Connected { again: true, .. } => break,
            _ => {}
        }
    }
    assert!(lost);
    end(driver).await;
    broker.assert_empty(&queue).await;
}

pub(crate) async fn a_refused_connection_and_wrong_credentials_say_what_to_do(broker: &Broker) {
    let mut refused = broker.config([], false);
    refused.connection.addr = "amqp://guest:s3cret@127.0.0.1:1/".into();
    let error = Driver::start(refused).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("amqp://127.0.0.1:1") && text.contains("refused") && !text.contains("s3cret"),
        "{text}"
    );
    assert!(error.is_retryable());
    if broker.is_rabbitmq() {
        let mut wrong = broker.config([], false);
        wrong.connection.password = Some("wr0ng".into());
        let error = within("answer", Driver::start(wrong)).await.unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("check the credentials") && !text.contains("wr0ng") && !text.contains("guest"),
            "{text}"
        );
        assert!(!error.is_retryable());
    }
}

pub(crate) async fn a_delay_beyond_all_clocks_is_a_long_one(broker: &Broker) {
    let (_, driver) = one_pipeline(broker).await;
    let endless = [Duration::MAX, Duration::from_secs(i64::MAX.unsigned_abs())];
    if broker.kind != Kind::RabbitMq3 {
        driver.push(job().with_delay(endless[0])).await.unwrap();
    }
    for delay in endless {
        driver.push(job()).await.unwrap();
        let active = next(&driver).await;
        let options = NackOptions { requeue: true, delay, reason: "later".into() };
        match active.nack_with(options).await {
            Ok(()) => {}
            // No such delay queue.
            Err(SettleError::Requeue { .. }) if broker.kind == Kind::RabbitMq3 => break,
            Err(error) => panic!("{error}"),
        }
    }
    within("shutdown", driver.shutdown(Duration::MAX)).await;
}

/// A pipeline that refuses every delay.
fn without_delays(queue: &str) -> PipelineConfig {
    let mut config = PipelineConfig::new(queue);
    config.delay.strategy = DelayStrategy::None;
    config
}

pub(crate) async fn a_job_whose_requeue_fails_comes_back_after_a_pause(broker: &Broker) {
    let queue = broker.queue().await;
    let driver = broker.driver([("p", without_delays(&queue))]).await;
    driver.push(job()).await.unwrap();
    let start = Instant::now();
    let error = next(&driver).await.requeue(headers("n", "1"), DELAY).await.unwrap_err();
    assert!(matches!(error, SettleError::Requeue { .. }), "{error:?}");
    // The slot is free, the job is not.
    assert_eq!(driver.state().await[0].reserved, 1);
    let again = next(&driver).await;
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(again.job().header("n"), None);
    // A long pause ends with the pipeline.
    let error = again.requeue(headers("n", "1"), Duration::from_secs(3600)).await.unwrap_err();
    assert!(matches!(error, SettleError::Requeue { .. }), "{error:?}");
    let start = Instant::now();
    within("stop", driver.stop("p")).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    driver.run("p").await.unwrap();
    next(&driver).await.ack().await.unwrap();
    // A job that was settled before it ran does not come back, and nobody says that it does.
    driver.push(job().with_auto_ack(true)).await.unwrap();
    let error = next(&driver).await.requeue(headers("n", "1"), DELAY).await.unwrap_err();
    assert!(matches!(error, SettleError::Lost { .. }), "{error:?}");
    end(driver).await;
    broker.assert_empty(&queue).await;
}

pub(crate) async fn no_copy_of_a_lost_job_is_published(broker: &Broker) {
    let queue = broker.queue().await;
    let forwarder = Forwarder::to(broker.authority()).await;
    let behind = Broker {
        url: broker.url.replace(broker.authority(), &format!("127.0.0.1:{}", forwarder.port)),
        ..broker.clone()
    };
    let driver = behind.driver([("p", PipelineConfig::new(&queue))]).await;
    driver.push(job()).await.unwrap();
    let lost = next(&driver).await;
    forwarder.cut();
    until("the loss is noticed", async || !driver.is_connected()).await;
    forwarder.mend();
    let again = next(&driver).await;
    let error = lost.requeue(headers("n", "1"), Duration::ZERO).await.unwrap_err();
    assert!(matches!(error, SettleError::Gone { .. }), "{error:?}");
    again.ack().await.unwrap();
    end(driver).await;
    broker.assert_empty(&queue).await;
}

pub(crate) async fn run_waits_for_a_stop_that_was_begun_before(broker: &Broker) {
    let (queue, driver) = one_pipeline(broker).await;
    driver.push(job()).await.unwrap();
    let running = next(&driver).await;
    let spawn_stop = || {
        let driver = driver.clone();
        tokio::spawn(async move { driver.stop("p").await })
    };
    let stopping = spawn_stop();
    until("it takes no more", async || !driver.state().await.remove(0).ready).await;
    let again = {
        let driver = driver.clone();
        tokio::spawn(async move { driver.run("p").await })
    };
    // A second consumer beside the first would take this one.
    driver.push(Job::new("p", "second", "")).await.unwrap();
    assert!(tokio::time::timeout(DELAY, driver.next_job()).await.is_err());
    assert!(!stopping.is_finished() && !again.is_finished());
    running.ack().await.unwrap();
    within("stop", stopping).await.unwrap().unwrap();
    within("run", again).await.unwrap().unwrap();
    let second = next(&driver).await;
    // Nor does a shutdown wait for a stop.
    let stopping = spawn_stop();
    until("it takes no more", async || !driver.state().await.remove(0).ready).await;
    within("shutdown", driver.shutdown(Duration::ZERO)).await;
    drop(second);
    within("stop", stopping).await.unwrap().unwrap();
    let _ = broker.consume(&queue).await;
    broker.assert_empty(&queue).await;
}

pub(crate) async fn a_routing_key_to_a_missing_queue_is_an_error(broker: &Broker) {
    let (queue, driver) = one_pipeline(broker).await;
    let other = broker.queue().await;
    driver.push(job().with_header("x-routing-key", &other)).await.unwrap();
    broker.consume(&other).await;
    if broker.is_rabbitmq() {
        for _ in 0..2 {
            let missing = unique("missing");
            let error = driver.push(job().with_header("x-routing-key", &missing)).await.unwrap_err();
            assert!(matches!(error, PushError::Target { .. } | PushError::NotAccepted { .. }), "{error:?}");
            assert!(error.to_string().contains(&missing), "{error}");
        }
    }
    end(driver).await;
    broker.assert_empty(&queue).await;
}

pub(crate) async fn a_job_that_fails_too_often_is_a_dead_letter(broker: &Broker) {
    if broker.kind != Kind::RabbitMq4 {
        return;
    }
    let queue = unique("q");
    let dead = format!("{queue}.dlq");
    let mut config = PipelineConfig::new(&queue).declare(Declare::On).dead_letter(&dead);
    config.delivery_limit = Some(2);
    config.requeue_on_fail = true;
    let driver = broker.driver([("p", config)]).await;
    driver.push(job()).await.unwrap();
    for attempt in 1..=3 {
        let active = next(&driver).await;
        assert_eq!(active.attempt(), attempt);
        active.nack("once more").await.unwrap();
    }
    broker.consume(&dead).await;
    end(driver).await;
    broker.assert_empty(&queue).await;
}
