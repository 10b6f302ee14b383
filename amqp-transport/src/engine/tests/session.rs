//! Channels and session windows.

use super::*;

// §2.5.1
#[test]
fn sessions_are_found_by_the_peers_channel() {
    let (mut script, session) = Scripted::begun();
    assert!(script.engine.check_session(session).unwrap());
    script.says(7, Performative::End(End::default()));
    assert!(matches!(script.hears()[..], [(0, Performative::End(_), _)]));
    assert_eq!(script.engine.check_session(session), Err(SessionError::EndedByPeer(None)));
}

// §2.5.1
#[test]
fn a_begin_that_answers_nothing_closes_the_connection() {
    let mut script = Scripted::opened(Open::new("peer"), Limits::default());
    script.hears();
    let mut begin = Begin::new(0_u32, 1_u32, 1_u32);
    begin.remote_channel = Some(5);
    script.says(0, Performative::Begin(Box::new(begin)));
    assert_eq!(script.closes_with(), conditions::NOT_ALLOWED);
}

// §2.5.6
#[test]
fn no_transfer_leaves_while_the_session_window_is_closed() {
    let (mut script, link) = Scripted::sending(2, 10);
    for _ in 0..4 {
        script.sends(link, b"x");
    }
    assert_eq!(script.hears().len(), 2);
    script.grants(2, 1, 0, 10);
    assert_eq!(script.hears().len(), 1, "one of the two was under way");
    script.grants(2, 3, 3, 10);
    assert_eq!(script.hears().len(), 1);
}

// §2.5.6
#[test]
fn a_transfer_outside_the_window_ends_the_session() {
    let limits = Limits { incoming_window: 2, ..Limits::default() };
    let (mut script, _) = Scripted::receiving(Credit::Auto(10), limits);
    for id in 0..2 {
        script.delivers(id);
    }
    // The window is opened again by the next flow only, which has not left yet.
    script.delivers(2);
    assert_eq!(script.ends_with(), conditions::WINDOW_VIOLATION);
}

// §2.5.6
#[test]
fn the_window_opens_as_frames_arrive_not_as_they_are_settled() {
    let limits = Limits { incoming_window: 4, ..Limits::default() };
    let (mut script, _) = Scripted::receiving(Credit::Auto(100), limits);
    script.hears();
    script.delivers(0);
    assert!(script.hears().is_empty());
    script.delivers(1);
    let heard = script.hears();
    let [flow] = flows(&heard)[..] else { panic!("{heard:?}") };
    assert_eq!((flow.next_incoming_id, flow.incoming_window), (Some(0), 4), "from 2^32-2, two later");
}

// §2.5.6
#[test]
fn what_a_closed_link_left_unsent_never_leaves_on_another_link() {
    let (mut script, link) = Scripted::sending(0, 10);
    script.sends(link, b"left behind");
    script.hears();
    script.engine.forget_link(link);
    let mut detach = Detach::new(3_u32);
    detach.closed = true;
    script.says(7, Performative::Detach(detach));
    // The next link, on another session, gets the place of the first.
    let other = script.engine.begin().unwrap();
    let mut begin = Begin::new(0_u32, 0_u32, 100_u32);
    begin.remote_channel = Some(1);
    script.says(8, Performative::Begin(Box::new(begin)));
    let second = script.engine.attach(other, options(Role::Sender, Credit::Manual)).unwrap();
    assert_eq!(second, link);
    let mut attach = Attach::new("link", 3_u32, Role::Receiver);
    attach.target = Some(TargetArchetype::Target(Target::new("q")));
    script.says(8, Performative::Attach(Box::new(attach)));
    let mut flow = Flow::new(0_u32, 0_u32, 100_u32);
    (flow.next_incoming_id, flow.handle) = (Some(0), Some(3));
    (flow.delivery_count, flow.link_credit) = (Some(0), Some(10));
    script.says(8, Performative::Flow(flow));
    script.sends(second, b"secret");
    script.hears();
    // The first session's window opens.
    let mut flow = Flow::new(100_u32, u32::MAX - 1, 100_u32);
    flow.next_incoming_id = Some(0);
    script.says(7, Performative::Flow(flow));
    let heard = script.hears();
    assert!(heard.is_empty(), "{heard:?}");
}

/// Two sessions of a client with a link to send on each; the peer takes whatever comes.
fn two_sessions(limits: Limits) -> (Scripted, [LinkKey; 2]) {
    let (mut script, first) = Scripted::begun_with(limits, u32::MAX);
    let second = script.engine.begin().unwrap();
    let mut begin = Begin::new(0_u32, u32::MAX, 100_u32);
    begin.remote_channel = Some(1);
    script.says(8, Performative::Begin(Box::new(begin)));
    let links = [(first, 7_u16), (second, 8)].map(|(session, channel)| {
        let link = script.engine.attach(session, options(Role::Sender, Credit::Manual)).unwrap();
        let mut attach = Attach::new("link", 3_u32, Role::Receiver);
        attach.target = Some(TargetArchetype::Target(Target::new("q")));
        script.says(channel, Performative::Attach(Box::new(attach)));
        let mut flow = Flow::new(u32::MAX, 0_u32, 100_u32);
        (flow.next_incoming_id, flow.handle) = (Some(0), Some(3));
        (flow.delivery_count, flow.link_credit) = (Some(0), Some(1000));
        script.says(channel, Performative::Flow(flow));
        link
    });
    script.hears();
    (script, links)
}

// §2.5.6
#[test]
fn a_session_with_much_to_send_does_not_keep_the_others_from_sending() {
    let limits = Limits { max_queued_bytes: 4000, ..Limits::default() };
    let (mut script, [greedy, modest]) = two_sessions(limits);
    for _ in 0..50 {
        script.sends(greedy, &[0; 4000]);
    }
    script.sends(modest, b"at last");
    script.octets();
    script.octets();
    assert!(script.engine.is_sent(modest), "it has its turn");
    assert!(!script.engine.is_sent(greedy));
}

#[test]
fn a_session_that_cannot_write_all_at_once_is_noted_once() {
    let limits = Limits { max_queued_bytes: 4000, ..Limits::default() };
    let (mut script, [greedy, _]) = two_sessions(limits);
    for _ in 0..100 {
        script.sends(greedy, &[0; 4000]);
    }
    for _ in 0..50 {
        let mut flow = Flow::new(u32::MAX, 0_u32, 100_u32);
        flow.echo = true;
        script.says(7, Performative::Flow(flow));
        script.octets();
    }
    assert!(script.engine.io.dirty.len() <= 2, "{:?}", script.engine.io.dirty);
}
