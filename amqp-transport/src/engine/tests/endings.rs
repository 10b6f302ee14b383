//! How connections, sessions and links end: once, answered, with the error where it belongs. Credit that is asked for once, or
//! taken back.

use super::*;

// §2.4.4
#[test]
fn closes_that_cross_end_the_connection_without_another_close() {
    let (mut script, _) = Scripted::begun();
    script.engine.close(None, script.now);
    let heard = script.hears();
    assert!(matches!(heard[..], [(0, Performative::Close(_), _)]), "{heard:?}");
    script.says(0, Performative::Close(Close::default()));
    assert!(script.engine.is_ended() && script.hears().is_empty());
}

// §2.5.2, §2.7.8
#[test]
fn an_end_is_answered_with_an_end() {
    let (mut script, session) = Scripted::begun();
    script.hears();
    let error = ErrorInfo::new(conditions::INTERNAL_ERROR, "so");
    script.says(7, Performative::End(End { error: Some(error.clone()) }));
    assert!(matches!(script.hears()[..], [(0, Performative::End(End { error: None }), _)]));
    assert_eq!(script.engine.check_session(session), Err(SessionError::EndedByPeer(Some(error))));
}

// §2.5.3
#[test]
fn ends_that_cross_end_the_session_without_another_end() {
    let (mut script, session) = Scripted::begun();
    script.engine.end_session(session, None);
    script.hears();
    script.says(7, Performative::End(End::default()));
    assert!(script.engine.is_session_unmapped(session) && script.hears().is_empty());
}

// §2.5.4, §2.8.17
#[test]
fn a_broken_rule_of_a_session_ends_it_and_leaves_the_connection_alone() {
    let (mut script, session) = Scripted::begun();
    script.hears();
    script.says(7, Performative::Detach(Detach::new(9_u32)));
    assert_eq!(script.ends_with(), conditions::UNATTACHED_HANDLE);
    assert!(matches!(script.engine.check_session(session), Err(SessionError::Violation(_))));
    script.says(7, Performative::End(End::default()));
    assert!(script.engine.end().is_none() && script.engine.begin().is_ok());
}

// §2.6.5, §2.7.7
#[test]
fn a_broken_rule_of_a_link_detaches_it_and_leaves_the_session_alone() {
    let (mut script, link) = Scripted::sending(100, 5);
    let session = script.engine.session_of(link).unwrap();
    script.hears();
    script.grants(100, 0, 9, 5);
    assert_eq!(script.detaches_with(), conditions::INVALID_FIELD);
    assert!(matches!(script.engine.link_status(link), LinkStatus::Ended(LinkError::Violation(_))));
    assert_eq!(script.engine.check_session(session), Ok(true));
}

// §2.6.8
#[test]
fn one_message_is_asked_for_and_the_answer_may_be_that_there_is_none() {
    let (mut script, link) = Scripted::receiving(Credit::Manual, Limits::default());
    script.hears();
    script.engine.set_credit(link, 1).unwrap();
    script.engine.drain(link).unwrap();
    let heard = script.hears();
    assert_eq!((flows(&heard)[0].link_credit, flows(&heard)[0].drain), (Some(1), true));
    assert_eq!(script.engine.is_drain_pending(link), Ok(true));
    let mut flow = Flow::new(100_u32, u32::MAX - 1, 100_u32);
    (flow.next_incoming_id, flow.handle) = (Some(0), Some(3));
    (flow.delivery_count, flow.link_credit, flow.drain) = (Some(0), Some(0), true);
    script.says(7, Performative::Flow(flow));
    assert_eq!(script.engine.is_drain_pending(link), Ok(false));
    assert!(script.engine.take(link).unwrap().is_none());
}

// §2.6.9
#[test]
fn credit_is_kept_up_as_deliveries_are_settled() {
    let (mut script, link) = Scripted::receiving(Credit::Auto(4), Limits::default());
    script.hears();
    let mut granted = 4;
    for id in 0..40 {
        assert!(granted > 0, "delivery {id} could not come");
        script.delivers(id);
        granted -= 1;
        let delivery = script.engine.take(link).unwrap().unwrap();
        script.engine.settle(link, delivery.id, Outcome::Accepted).unwrap();
        let heard = script.hears();
        granted = flows(&heard).iter().filter_map(|flow| flow.link_credit).next_back().unwrap_or(granted);
    }
}

// §2.6.10
#[test]
fn a_link_is_stopped_by_taking_its_credit_back() {
    let (mut script, link) = Scripted::receiving(Credit::Auto(4), Limits::default());
    script.hears();
    script.engine.pause(link).unwrap();
    assert_eq!(flows(&script.hears())[0].link_credit, Some(0));
    script.delivers(0);
    assert!(script.engine.take(link).unwrap().is_some(), "what was under way still comes");
    script.engine.resume(link).unwrap();
    assert_eq!(flows(&script.hears())[0].link_credit, Some(3));
}
