//! The behaviour suite against the embedded broker and against real RabbitMQ.
//!
//! Tests on RabbitMQ live in modules `on_rabbitmq_…` and take its address from the environment (`RABBITMQ_4_0` and
//! `RABBITMQ_4_0_MANAGEMENT`, the same for 3.10 and 4.3); without it they fail and say so.

#[expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, and these functions are tests that take their broker as an argument"
)]
mod behaviour;

use behaviour::support::{Broker, Kind};

/// The test's own embedded broker.
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
async fn embedded() -> (amqp_broker::Broker, Broker) {
    let running = amqp_broker::Broker::builder().listen("127.0.0.1:0").anonymous(true).start().await.unwrap();
    let broker = Broker { url: running.address(), kind: Kind::Embedded, management: String::new() };
    (running, broker)
}

macro_rules! suite {
    ($($claim:ident)+) => {
        mod on_the_embedded_broker {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $claim() {
                let (running, broker) = super::embedded().await;
                super::behaviour::$claim(&broker).await;
                running.shutdown().await;
            })+
        }
        suite!(@rabbitmq on_rabbitmq_3_10 "3.10" $($claim)+);
        suite!(@rabbitmq on_rabbitmq_4_0 "4.0" $($claim)+);
        suite!(@rabbitmq on_rabbitmq_4_3 "4.3" $($claim)+);
    };
    (@rabbitmq $module:ident $release:literal $($claim:ident)+) => {
        mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $claim() {
                super::behaviour::$claim(&super::Broker::rabbitmq($release)).await;
            })+
        }
    };
}

suite! {
    a_pushed_job_arrives_as_it_was_and_is_gone_after_ack
    a_failed_job_is_dead_lettered
    a_failed_job_comes_again_with_requeue_on_fail
    a_requeued_job_has_its_new_headers
    a_delayed_job_arrives_late_and_only_once
    the_most_urgent_job_is_taken_first
    pause_hands_back_what_nobody_took_and_running_jobs_can_be_settled
    stop_lets_running_jobs_end_and_the_pipeline_can_run_again
    shutdown_waits_for_running_jobs_and_hands_back_the_rest
    a_job_that_is_dropped_goes_back
    a_job_with_auto_ack_is_settled_before_it_runs
    handlers_get_every_job_once
    messages_of_others_are_jobs
    the_envelope_is_written_on_request
    a_missing_queue_is_named
    an_exchange_named_like_the_queue_is_the_default_one
    a_topic_exchange_routes_by_key
    a_missing_exchange_is_named
    queues_are_declared_where_the_broker_can
    state_and_purge_tell_what_is_there
    unknown_pipelines_are_named
    a_cut_connection_is_mended_and_nothing_is_lost
    a_refused_connection_and_wrong_credentials_say_what_to_do
    a_delay_beyond_all_clocks_is_a_long_one
    a_job_whose_requeue_fails_comes_back_after_a_pause
    no_copy_of_a_lost_job_is_published
    run_waits_for_a_stop_that_was_begun_before
    a_routing_key_to_a_missing_queue_is_an_error
    a_job_that_fails_too_often_is_a_dead_letter
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_cannot_be_decoded_is_rejected_and_consumption_goes_on() {
    use amqp_codec::Encode;
    let (running, broker) = embedded().await;
    let driver = broker.driver([("p", jobs_driver::config::PipelineConfig::new("q"))]).await;
    let mut events = driver.events();
    // Application properties that say they are a map of one entry and a half.
    let mut broken = vec![0x00, 0x53, 0x74, 0xc1, 0x04, 0x03, 0xa1, 0x01, b'k', 0x41];
    broken[4] = 5;
    broken.extend_from_slice(&amqp_codec::messaging::Message::data("x").to_bytes());
    broker.publish("q", broken).await;
    driver.push(jobs_driver::Job::new("p", "good", "")).await.unwrap();
    let active = behaviour::support::next(&driver).await;
    assert_eq!(active.job().name, "good");
    active.ack().await.unwrap();
    loop {
        if let jobs_driver::Event::MessageRejected { pipeline, reason } =
            behaviour::support::within("event", events.recv()).await.unwrap()
        {
            assert_eq!(pipeline, "p");
            assert!(reason.contains("offset"), "{reason}");
            break;
        }
    }
    behaviour::support::until("it is a dead letter", async || {
        running.queue_stats("q.dlq").is_some_and(|queue| queue.ready == 1)
    })
    .await;
    driver.shutdown(std::time::Duration::ZERO).await;
    running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_that_cannot_consume_for_now_says_why() {
    let mut limits = amqp_broker::Limits::default();
    limits.max_queues = 0;
    let running = amqp_broker::Broker::builder()
        .listen("127.0.0.1:0")
        .anonymous(true)
        .limits(limits)
        .start()
        .await
        .unwrap();
    let config = jobs_driver::config::JobsConfig::new(&running.address())
        .unwrap()
        .pipeline("p", jobs_driver::config::PipelineConfig::new("q"))
        .timeout(std::time::Duration::from_millis(500));
    let driver = jobs_driver::Driver::start(config).await.unwrap();
    let error = driver.run("p").await.unwrap_err();
    assert!(matches!(error, jobs_driver::DriverError::Timeout { .. }), "{error:?}");
    assert!(error.to_string().contains("resource-limit-exceeded"), "{error}");
    let state = driver.state().await.remove(0);
    assert!(
        state.error.as_deref().is_some_and(|error| error.contains("resource-limit-exceeded")),
        "{state:?}"
    );
    driver.shutdown(std::time::Duration::ZERO).await;
    running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_queue_is_asked_for_once_a_second() {
    let running = amqp_broker::Broker::builder()
        .listen("127.0.0.1:0")
        .anonymous(true)
        .create_on_demand(false)
        .start()
        .await
        .unwrap();
    let broker = Broker { url: running.address(), kind: Kind::Embedded, management: String::new() };
    let pipeline = jobs_driver::config::PipelineConfig::new("q");
    let driver = jobs_driver::Driver::start(broker.config([("p", pipeline)], false)).await.unwrap();
    let job = || jobs_driver::Job::new("p", "j", "");
    let asked = std::time::Instant::now();
    assert!(matches!(driver.push(job()).await, Err(jobs_driver::PushError::Target { .. })));
    running.declare_queue("q", amqp_broker::QueueOptions::default()).unwrap();
    let again = driver.push(job()).await;
    if asked.elapsed() < std::time::Duration::from_secs(1) {
        assert!(matches!(again, Err(jobs_driver::PushError::Target { .. })), "{again:?}");
    }
    // Whoever makes the queue, or asks for it by name, need not wait.
    driver.declare("p").await.unwrap();
    driver.push(job()).await.unwrap();
    running.delete_queue("q").unwrap();
    behaviour::support::until("it is missed", async || driver.push(job()).await.is_err()).await;
    running.declare_queue("q", amqp_broker::QueueOptions::default()).unwrap();
    behaviour::support::until("it is found again", async || driver.push(job()).await.is_ok()).await;
    driver.shutdown(std::time::Duration::ZERO).await;
    running.shutdown().await;
}
