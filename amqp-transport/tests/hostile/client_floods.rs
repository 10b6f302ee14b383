//! Servers that send without end, announce what no memory holds, or never read: a client of ours holds little and ends it.

use crate::place::{begun, client, client_with, opened};
use crate::script::Step::{self, Flood, FloodDeaf, Hear, Listen, Say, Sleep};
use crate::{limits, says, until, within};
use amqp_codec::Bytes;
use amqp_codec::transport::{Detach, Disposition, Performative, Role, conditions};
use amqp_codec::types::Symbol;
use amqp_transport::{
    Connection, ConnectionError, Credit, Limits, LinkError, Receiver, ReceiverOptions, Sender, SenderOptions,
    Session, SessionError, TryDeliverError,
};
use std::time::Duration;
use tokio::task::JoinSet;

/// What may wait for a socket whatever the peer does: a driver takes no more input beyond it.
const MOST_QUEUED: usize = 8 * 1024 * 1024 + 512 * 1024;

async fn violation(connection: &Connection) -> Symbol {
    match within(connection.closed()).await {
        ConnectionError::Violation(error) => error.condition,
        other => panic!("{other:?}"),
    }
}

async fn sending(limits: Limits, rest: Vec<Step>) -> (Connection, Session, Sender, crate::place::Server) {
    let mut script = begun([Hear("attach"), Step::Answer]);
    script.extend(rest);
    let (connection, server) = client_with(limits, script).await;
    let session = within(connection.session()).await.unwrap();
    let sender = within(session.sender(SenderOptions::new("q"))).await.unwrap();
    (connection, session, sender, server)
}

async fn receiving(
    credit: Credit,
    limits: Limits,
    rest: Vec<Step>,
) -> (Connection, Session, Receiver, crate::place::Server) {
    let mut script = begun([Hear("attach"), Step::Answer, Hear("flow")]);
    script.extend(rest);
    let (connection, server) = client_with(limits, script).await;
    let session = within(connection.session()).await.unwrap();
    let receiver = within(session.receiver(ReceiverOptions::new("q").credit(credit))).await.unwrap();
    (connection, session, receiver, server)
}

// ---- frames

// §2.3
#[tokio::test]
async fn what_is_no_frame_is_told_in_a_close() {
    for (octets, condition) in [
        (vec![0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0], conditions::FRAMING_ERROR),
        (
            [&(limits().max_frame_size + 1).to_be_bytes()[..], &[2, 0, 0, 0]].concat(),
            conditions::FRAMING_ERROR,
        ),
        (vec![0xff; 4096], conditions::FRAMING_ERROR),
        (vec![0; 4096], conditions::FRAMING_ERROR),
        (says::sasl_header(), conditions::FRAMING_ERROR),
        (
            vec![0, 0, 0, 16, 2, 0, 0, 0, 0, 0x53, 0x14, 0xd0, 0xff, 0xff, 0xff, 0xff],
            conditions::DECODE_ERROR,
        ),
        (says::open(), conditions::NOT_ALLOWED),
        (says::end(9), conditions::NOT_ALLOWED),
        (says::detach(0), conditions::NOT_ALLOWED),
        (says::grant(1), conditions::NOT_ALLOWED),
    ] {
        let (connection, server) = client(opened([Say(octets.clone())])).await;
        assert_eq!(violation(&connection).await, condition, "{octets:?}");
        assert_eq!(server.heard().await.condition("close"), Some(condition), "{octets:?}");
    }
}

// §2.4.5
#[tokio::test]
async fn half_a_frame_is_not_waited_for_longer_than_silence_is() {
    let mut limits = limits();
    limits.idle_time_out = Duration::from_millis(150);
    let half = says::attach("link", 0, Role::Sender)[..20].to_vec();
    let (connection, _server) = client_with(limits, opened([Say(half), Listen])).await;
    assert_eq!(within(connection.closed()).await, ConnectionError::IdleTimeout);
}

// §2.4.5
#[tokio::test]
async fn frames_without_end_leave_nothing_behind_and_do_not_hold_a_close_up() {
    let all = Disposition {
        last: Some(i32::MAX.unsigned_abs()),
        settled: true,
        ..Disposition::new(Role::Receiver, 0_u32)
    };
    for (label, octets) in [
        ("empty frames", says::empty_frame()),
        ("echoes", says::echo()),
        ("dispositions", says::frame(0, Performative::Disposition(all))),
    ] {
        let (connection, _server) = client(begun([Flood(octets)])).await;
        let _session = within(connection.session()).await.unwrap();
        let mut most = 0;
        within(until(|| {
            most = most.max(connection.stats().queued_octets);
            connection.stats().frames_in > 50_000
        }))
        .await;
        assert!(most < 256 * 1024, "{label}: {most} octets wait");
        within(connection.close()).await.unwrap();
    }
}

#[tokio::test]
async fn octets_by_lot_end_an_open_connection() {
    let mut cases = JoinSet::new();
    for seed in 1..=40_u64 {
        let octets = says::by_lot(seed, 600);
        cases.spawn(async move {
            let (connection, _server) = client(opened([Say(octets)])).await;
            let end = within(connection.closed()).await;
            let is_ended = matches!(end, ConnectionError::Violation(_) | ConnectionError::Lost(_));
            assert!(is_ended, "seed {seed}: {end:?}");
        });
    }
    while let Some(case) = cases.join_next().await {
        case.unwrap();
    }
}

// ---- sessions and links

// §2.7.1
#[tokio::test]
async fn a_thousand_sessions_of_a_server_are_too_many() {
    let begins: Vec<u8> = (0..1000).flat_map(|channel| says::begin(channel, None)).collect();
    let (connection, server) = client(opened([Say(begins)])).await;
    assert_eq!(violation(&connection).await, conditions::FRAMING_ERROR);
    let ear = server.heard().await;
    assert!(ear.count("begin") <= 256 && ear.condition("close") == Some(conditions::FRAMING_ERROR));
}

// §2.7.2
#[tokio::test]
async fn a_thousand_links_of_a_server_are_too_many() {
    let attach = |n: u32| says::attach(format!("link {n}"), n, Role::Sender);
    let attaches: Vec<u8> = (0..1000).flat_map(attach).collect();
    let (connection, server) = client(begun([Say(attaches)])).await;
    let _session = within(connection.session()).await;
    assert_eq!(violation(&connection).await, conditions::FRAMING_ERROR);
    let ear = server.heard().await;
    assert!(ear.count("attach") <= 256, "each one is refused, {} were", ear.count("attach"));
}

#[tokio::test]
async fn links_that_come_and_go_without_end_leave_nothing_behind() {
    let detach = Detach { closed: true, ..Detach::new(0_u32) };
    let cycle =
        [says::attach("link", 0, Role::Sender), says::frame(0, Performative::Detach(detach))].concat();
    let (connection, _server) = client(begun([Flood(cycle)])).await;
    let session = within(connection.session()).await.unwrap();
    let mut most = 0;
    within(until(|| {
        most = most.max(session.stats().links);
        connection.stats().frames_in > 20_000
    }))
    .await;
    assert!(most <= 1, "{most}");
    within(connection.close()).await.unwrap();
}

#[tokio::test]
async fn a_server_that_never_reads_makes_no_queue_grow_beyond_its_limit() {
    let mut limits = limits();
    limits.idle_time_out = Duration::from_secs(1);
    let cycle = [says::begin(5, None), says::end(5)].concat();
    let (connection, _server) = client_with(limits, opened([FloodDeaf(cycle)])).await;
    let mut most = 0;
    within(until(|| {
        most = most.max(connection.stats().queued_octets);
        connection.is_closed()
    }))
    .await;
    assert!(most > 1024 * 1024 && most < MOST_QUEUED, "{most}");
    assert_eq!(within(connection.closed()).await, ConnectionError::IdleTimeout);
}

// ---- sending

/// Hands over messages of so many octets until there is no room for more.
fn fill(sender: &Sender, octets: usize) -> usize {
    let payload = Bytes::from(vec![7; octets]);
    (0..)
        .take_while(|_| match sender.try_deliver(payload.clone()) {
            Ok(_) => true,
            Err(TryDeliverError::NoCredit(_)) => false,
            Err(error) => panic!("{error}"),
        })
        .count()
}

// §2.6.7
#[tokio::test]
async fn all_the_credit_of_the_world_makes_no_more_unsettled_than_the_limit() {
    let mut limits = limits();
    (limits.max_unsettled, limits.max_queued_bytes) = (100, 64 * 1024);
    let (connection, session, sender, _server) =
        sending(limits, vec![Say(says::grant(u32::MAX)), Listen]).await;
    within(sender.credit_available()).await.unwrap();
    assert_eq!(sender.credit(), u32::MAX);
    let mut sent = 0;
    within(until(|| {
        sent += fill(&sender, 100);
        session.stats().unsettled_out >= 100 && connection.stats().queued_octets == 0
    }))
    .await;
    assert_eq!(fill(&sender, 100), 0, "there is no room before something is settled");
    assert!(sent < 100 + 64 * 1024 / 164 + 2, "{sent}");
}

#[tokio::test]
async fn a_server_that_gives_credit_and_never_reads_is_sent_no_more_than_may_wait() {
    let mut limits = limits();
    limits.max_queued_bytes = 256 * 1024;
    let (connection, _session, sender, _server) =
        sending(limits, vec![Say(says::grant(u32::MAX)), Sleep]).await;
    within(sender.credit_available()).await.unwrap();
    let (mut most, mut idle) = (0, 0);
    // The system's buffers take some megabytes first.
    within(until(|| {
        let handed = fill(&sender, 100_000);
        most = most.max(connection.stats().queued_octets);
        idle = if handed == 0 { idle + 1 } else { 0 };
        idle > 200
    }))
    .await;
    assert!(most <= 3 * 256 * 1024 + 2 * 100_000, "{most}");
}

// ---- receiving

fn small() -> Limits {
    let mut limits = limits();
    (limits.max_message_size, limits.max_partial_bytes) = (64 * 1024, 1024 * 1024);
    limits
}

// §2.6.14
#[tokio::test]
async fn a_delivery_that_never_ends_ends_at_the_largest_message() {
    let parts =
        vec![Say(says::transfer(Some(0), true, &[7; 1000])), Flood(says::transfer(None, true, &[7; 1000]))];
    let (connection, _session, receiver, server) = receiving(Credit::Auto(10), small(), parts).await;
    let LinkError::Violation(error) = within(receiver.detached()).await else { panic!() };
    assert_eq!(error.condition, conditions::MESSAGE_SIZE_EXCEEDED);
    assert_eq!(connection.stats().partial_octets, 0);
    within(connection.close()).await.unwrap();
    assert_eq!(server.heard().await.condition("detach"), Some(conditions::MESSAGE_SIZE_EXCEEDED));
}

// §2.5.6
#[tokio::test]
async fn frames_without_octets_and_without_end_break_the_window() {
    let parts = vec![Say(says::transfer(Some(0), true, b"")), Flood(says::transfer(None, true, b""))];
    let (connection, session, _receiver, server) = receiving(Credit::Auto(10), small(), parts).await;
    let SessionError::Violation(error) = within(session.ended()).await else { panic!() };
    assert_eq!(error.condition, conditions::WINDOW_VIOLATION);
    within(connection.close()).await.unwrap();
    assert_eq!(server.heard().await.condition("end"), Some(conditions::WINDOW_VIOLATION));
}

// §2.6.7
#[tokio::test]
async fn far_more_deliveries_than_credit_detach_the_link() {
    let deliveries: Vec<u8> =
        (0..2000).flat_map(|id| says::transfer(Some(id), false, b"\x00\x53\x77\x40")).collect();
    let (connection, _session, receiver, server) =
        receiving(Credit::Auto(5), small(), vec![Say(deliveries), Listen]).await;
    let LinkError::Violation(error) = within(receiver.detached()).await else { panic!() };
    assert_eq!(error.condition, conditions::TRANSFER_LIMIT_EXCEEDED);
    assert_eq!(receiver.queued(), 0);
    within(connection.close()).await.unwrap();
    assert_eq!(server.heard().await.condition("detach"), Some(conditions::TRANSFER_LIMIT_EXCEEDED));
}
