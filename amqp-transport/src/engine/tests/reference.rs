//! The reference beside the vectors of the codec: arithmetic, and a conversation that another implementation had.

use super::*;
use crate::engine::credit::SenderCredit;
use crate::engine::serial::Serial;
use crate::engine::unsettled::Unsettled;
use crate::engine::window::OutgoingWindow;
use serde_json::Value as Json;

fn reference() -> Json {
    serde_json::from_str(include_str!("../../../../amqp-codec/tests/fixtures/amqp-1.0.json")).unwrap()
}

/// The cases of one operation.
fn cases(operation: &str) -> Vec<Json> {
    let cases = reference()["logic"].as_array().unwrap().clone();
    let cases: Vec<_> = cases.into_iter().filter(|case| case["op"] == operation).collect();
    assert!(cases.len() >= 3, "{} cases of {operation}", cases.len());
    cases
}

fn number(case: &Json, key: &str) -> u32 {
    case[key]
        .as_u64()
        .and_then(|number| u32::try_from(number).ok())
        .unwrap_or_else(|| panic!("{key}: {case}"))
}

/// A number that may be left out.
fn serial(case: &Json, key: &str) -> Option<Serial> {
    (!case[key].is_null()).then(|| Serial(number(case, key)))
}

// §2.8.10
#[test]
fn serial_numbers_compare_and_count_as_the_reference_says() {
    for case in cases("serial-compare") {
        let (a, b) = (Serial(number(&case, "a")), Serial(number(&case, "b")));
        let result = match (a == b, a.is_after(b), b.is_after(a)) {
            (true, false, false) => "equal",
            (false, true, false) => "greater",
            (false, false, true) => "less",
            (false, false, false) => "undefined",
            other => panic!("{other:?}"),
        };
        assert_eq!(case["result"], result, "{case}");
    }
    for case in cases("serial-add") {
        assert_eq!(Serial(number(&case, "a")).plus(number(&case, "n")).value(), number(&case, "result"));
    }
}

// §2.7.6
#[test]
fn ranges_of_dispositions_hold_what_the_reference_says() {
    for case in cases("disposition-range") {
        let (first, last) = (Serial(number(&case, "first")), Serial(number(&case, "last")));
        let mut unsettled = Unsettled::new(Serial(first.value().wrapping_sub(3)));
        for _ in 0..10 {
            unsettled.push(Some(()));
        }
        let ids: Vec<_> = unsettled.within(first, last).iter().map(|id| id.value()).collect();
        assert_eq!(case["ids"], Json::from(ids.clone()));
        assert_eq!(u32::try_from(ids.len()).unwrap(), number(&case, "count"));
    }
}

// §2.5.6
#[test]
fn windows_are_what_the_reference_says() {
    for case in cases("remote-incoming-window") {
        let (initial, next) = (number(&case, "initial-outgoing-id"), number(&case, "next-outgoing-id"));
        let mut window = OutgoingWindow::new(Serial(initial));
        window.on_begin(u32::MAX);
        for _ in 0..next.wrapping_sub(initial) {
            window.on_send();
        }
        window
            .on_flow(serial(&case, "flow-next-incoming-id"), number(&case, "flow-incoming-window"))
            .unwrap();
        assert_eq!(window.remaining(), number(&case, "result"), "{case}");
    }
}

// §2.6.7
#[test]
fn credit_is_what_the_reference_says() {
    for case in cases("sender-link-credit") {
        let (initial, count) =
            (number(&case, "initial-delivery-count"), number(&case, "sender-delivery-count"));
        let mut credit = SenderCredit::new(Serial(initial));
        credit.on_flow(None, u32::MAX, false).unwrap();
        for _ in 0..count.wrapping_sub(initial) {
            credit.on_send();
        }
        let seen = serial(&case, "flow-delivery-count");
        credit.on_flow(seen, number(&case, "flow-link-credit"), false).unwrap();
        assert_eq!(credit.link_credit(), number(&case, "result"), "{case}");
    }
}

fn unhex(digits: &str) -> Vec<u8> {
    let pairs = (0..digits.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(digits.get(at..at + 2).unwrap(), 16).unwrap()).collect()
}

/// What a client of another implementation said, a frame at a time.
fn said_by_a_client() -> Vec<Vec<u8>> {
    let steps = reference()["transcripts"][0]["steps"].as_array().unwrap().clone();
    let said = steps.iter().filter(|step| step["from"] == "client");
    said.map(|step| unhex(step["hex"].as_str().unwrap())).collect()
}

#[test]
fn a_captured_client_finds_here_all_that_it_asked_for() {
    let anyone = StaticCredentials { anonymous: true, users: Vec::new() };
    let now = Instant::now();
    let side = Side::Listener(Arc::new(anyone));
    let engine = Engine::new(side, Open::new("server"), Limits::default(), now);
    let mut script = Scripted { engine, input: BytesMut::new(), now };
    let mut links = Vec::new();
    let mut payloads = Vec::new();
    let mut heard = Vec::new();
    for octets in said_by_a_client() {
        script.feed(&octets);
        while let Some(event) = script.engine.poll_event() {
            if let Event::LinkRequested(link) = event {
                script.engine.accept(link, Termini::default(), Credit::Auto(5)).unwrap();
                links.push(link);
            }
        }
        while let Some(delivery) = links.first().and_then(|&link| script.engine.take(link).ok().flatten()) {
            payloads.push((delivery.payload.len(), delivery.settled));
            if !delivery.settled {
                script.engine.settle(links[0], delivery.id, Outcome::Accepted).unwrap();
            }
        }
        // The one to receive has nothing for it: the drain gives all of its credit back.
        if let Some(&link) = links.get(1) {
            script.engine.drained(link);
        }
        heard.extend(script.hears());
    }
    let ends = script.engine.end().cloned();
    let Some(ConnectionError::ClosedByPeer(Some(error))) = ends else { panic!("{ends:?}") };
    assert_eq!(error.condition, conditions::CONNECTION_FORCED);
    assert_eq!(payloads, [(4, false), (2_008, false), (0, true), (13, true)]);
    let drained = flows(&heard).into_iter().any(|flow| flow.drain && flow.delivery_count == Some(10));
    assert!(drained, "{heard:?}");
    let count = |name| heard.iter().filter(|(_, performative, _)| performative.name() == name).count();
    let names = ["open", "begin", "attach", "detach", "end", "close"];
    assert_eq!(names.map(count), [1, 1, 2, 2, 1, 1], "each is answered once: {heard:?}");
}
