//! Clients that stall, break rules or go away before they are let in.

use crate::place::{WIRES, Wire, accepted, listener};
use crate::script::{Ear, Step};
use crate::{limits, says, within};
use amqp_codec::security::SaslCode;
use amqp_codec::transport::{Open, Performative, conditions};
use amqp_codec::types::Symbol;
use amqp_transport::{AcceptError, ConnectionError, TlsOptions};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const HEADERS: &str = "exchanging protocol headers";
const AUTHENTICATING: &str = "authenticating";
const OPEN: &str = "opening the connection";

/// What a client says until it is let in, as a list of stops: what is said up to there, and what the listener then waits
/// for.
fn stops() -> Vec<(&'static str, Vec<Step>, &'static str)> {
    let init = says::init("ANONYMOUS");
    let greeted = vec![Step::Say(says::sasl_header()), Step::Hear("sasl")];
    let and_says = |octets: &[&[u8]]| [greeted.clone(), vec![Step::Say(octets.concat())]].concat();
    let open = says::open();
    let (header, half_open) = (says::amqp_header(), &open[..open.len() / 2]);
    vec![
        ("nothing", vec![], HEADERS),
        ("half a header", vec![Step::Say(b"AMQP\x03".to_vec())], HEADERS),
        ("a SASL header", greeted.clone(), AUTHENTICATING),
        ("half an init", and_says(&[&init[..11]]), AUTHENTICATING),
        ("an init without a response", and_says(&[&says::init("PLAIN")]), AUTHENTICATING),
        ("an init", and_says(&[&init]), HEADERS),
        ("half a header after SASL", and_says(&[&init, b"AMQP"]), HEADERS),
        ("a header after SASL", and_says(&[&init, &header]), OPEN),
        ("half an open", and_says(&[&init, &header, half_open]), OPEN),
        ("a header without SASL", vec![Step::Say(says::amqp_header())], OPEN),
    ]
}

async fn refused(wire: Wire, script: Vec<Step>) -> (AcceptError, Ear) {
    let (accepted, guest) = accepted(wire, limits(), script).await;
    (accepted.unwrap_err(), guest.heard().await)
}

async fn stops_in_time(wire: Wire, label: &'static str, mut script: Vec<Step>, expected: &'static str) {
    script.push(Step::Listen);
    let begun = Instant::now();
    let (error, _) = refused(wire, script).await;
    let AcceptError::Connection(ConnectionError::Timeout(step)) = error else {
        panic!("{wire:?}, {label}: {error:?}")
    };
    assert_eq!(step, expected, "{wire:?}, {label}");
    let taken = begun.elapsed();
    assert!(taken >= limits().handshake && taken < limits().handshake * 10, "{wire:?}, {label}: {taken:?}");
}

// §2.4.5
#[tokio::test]
async fn a_client_that_stalls_at_any_step_is_sent_away_in_time() {
    let mut cases = JoinSet::new();
    for &wire in WIRES {
        for (label, script, expected) in stops() {
            cases.spawn(stops_in_time(wire, label, script, expected));
        }
    }
    while let Some(case) = cases.join_next().await {
        case.unwrap();
    }
}

#[tokio::test]
async fn a_client_that_says_one_octet_at_a_time_gets_no_more_time_for_it() {
    let slowly = [says::sasl_header(), says::init("ANONYMOUS")].concat();
    let slowly = Step::Dribble(slowly, Duration::from_millis(100));
    stops_in_time(Wire::Tcp, "slowly", vec![slowly], AUTHENTICATING).await;
}

/// What a listener that wants TLS makes of a client that only speaks TCP and says this.
async fn under_tls(octets: &'static [u8]) -> AcceptError {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (certificate, key) = crate::place::identity();
    let options = listener(limits()).tls(TlsOptions::new().identity_pem(certificate.clone(), key.clone()));
    let mut guest = TcpStream::connect(socket.local_addr().unwrap()).await.unwrap();
    guest.write_all(octets).await.unwrap();
    within(options.accept(socket.accept().await.unwrap().0)).await.unwrap_err()
}

#[tokio::test]
async fn tls_that_stalls_is_sent_away_in_time_and_what_is_no_tls_at_once() {
    for octets in [&b""[..], &[0x16, 3, 1, 0, 0xff, 1, 0, 0]] {
        let error = under_tls(octets).await;
        let AcceptError::Connection(ConnectionError::Timeout(step)) = error else { panic!("{error:?}") };
        assert_eq!(step, "shaking hands over TLS");
    }
    for octets in [&b"AMQP\x03\x01\x00\x00"[..], b"GET / HTTP/1.1\r\n\r\n", &[0xff; 4096]] {
        let error = under_tls(octets).await;
        assert!(matches!(error, AcceptError::Handshake(_)) && error.is_retryable(), "{error:?}");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_at_any_step_is_a_lost_connection() {
    let mut cases = JoinSet::new();
    for &wire in WIRES {
        for (label, mut script, _) in stops() {
            script.push(Step::Hang);
            cases.spawn(async move {
                let (accepted, _guest) = accepted(wire, limits(), script).await;
                let error = accepted.unwrap_err();
                let is_lost = matches!(error, AcceptError::Connection(ConnectionError::Lost(_)));
                assert!(is_lost, "{wire:?}, {label}: {error:?}");
            });
        }
    }
    while let Some(case) = cases.join_next().await {
        case.unwrap();
    }
}

fn violation(error: &AcceptError) -> Option<Symbol> {
    match error {
        AcceptError::Connection(ConnectionError::Violation(error)) => Some(error.condition.clone()),
        _ => None,
    }
}

/// Says this after a stop of [`stops`].
async fn after(stop: &str, octets: &[u8]) -> (AcceptError, Ear) {
    let (_, mut script, _) = stops().into_iter().find(|(label, ..)| *label == stop).unwrap();
    script.push(Step::Say(octets.to_vec()));
    within(refused(Wire::Tcp, script)).await
}

// §2.2
#[tokio::test]
async fn what_is_no_header_is_answered_with_the_header_that_is_wanted() {
    for octets in [&b"GET / HTTP/1.1\r\n"[..], b"AMQP\x00\x00\x09\x01", b"AMQP\x02\x01\x00\x00", b"\x16\x03"]
    {
        let (error, ear) = after("nothing", octets).await;
        assert!(matches!(error, AcceptError::Connection(ConnectionError::Header(_))), "{error:?}");
        assert_eq!(ear.header(), Some(&says::sasl_header()[..]), "{octets:?}");
    }
    let (error, _) = after("an init", b"HTTP/1.1 400").await;
    assert!(matches!(error, AcceptError::Connection(ConnectionError::Header(_))), "{error:?}");
}

// §5.3.2
#[tokio::test]
async fn a_broken_rule_of_sasl_is_told_in_the_outcome_if_there_may_be_one() {
    let four_gib = [0xff, 0xff, 0xff, 0xff, 2, 1, 0, 0];
    let garbage = [0, 0, 0, 12, 2, 1, 0, 0, 0xff, 0xff, 0xff, 0xff];
    for (stop, octets, condition) in [
        ("a SASL header", &[0xff; 64][..], conditions::FRAMING_ERROR),
        ("a SASL header", &four_gib, conditions::FRAMING_ERROR),
        ("a SASL header", &says::open(), conditions::FRAMING_ERROR),
        ("a SASL header", &garbage, conditions::DECODE_ERROR),
        ("a SASL header", &says::outcome(SaslCode::Ok), conditions::NOT_ALLOWED),
        ("a SASL header", &says::response(b"early"), conditions::NOT_ALLOWED),
        ("an init without a response", &says::init("PLAIN"), conditions::NOT_ALLOWED),
    ] {
        let (error, ear) = after(stop, octets).await;
        assert_eq!(violation(&error), Some(condition), "{stop}, {octets:?}: {error:?}");
        assert_eq!((ear.count("open"), ear.count("close")), (0, 0));
    }
    let (error, _) = after("a SASL header", &says::init("NONSENSE")).await;
    assert!(matches!(error, AcceptError::Connection(ConnectionError::Sasl { .. })), "{error:?}");
    let (error, _) = after("an init without a response", &says::response(b"no parts")).await;
    assert!(matches!(error, AcceptError::Connection(ConnectionError::Sasl { .. })), "{error:?}");
}

// §2.4.1
#[tokio::test]
async fn a_broken_rule_around_open_is_told_in_a_close_behind_an_open() {
    let mut tiny = Open::new("hostile");
    tiny.max_frame_size = 100;
    let mut hectic = Open::new("hostile");
    hectic.idle_time_out = Some(1);
    let open = |open: Open| Performative::Open(Box::new(open));
    for (octets, condition) in [
        (vec![0xff; 64], conditions::FRAMING_ERROR),
        (vec![0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0], conditions::FRAMING_ERROR),
        (vec![0, 0, 0, 12, 2, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], conditions::DECODE_ERROR),
        (says::init("ANONYMOUS"), conditions::FRAMING_ERROR),
        (says::empty_frame(), conditions::NOT_ALLOWED),
        (says::begin(0, None), conditions::NOT_ALLOWED),
        (says::frame(0, open(tiny)), conditions::INVALID_FIELD),
        (says::frame(0, open(hectic)), conditions::NOT_ALLOWED),
        (says::frame(7, open(Open::new("hostile"))), conditions::NOT_ALLOWED),
    ] {
        let (error, ear) = after("a header after SASL", &octets).await;
        assert_eq!(violation(&error), Some(condition.clone()), "{octets:?}: {error:?}");
        assert_eq!((ear.count("open"), ear.condition("close")), (1, Some(condition)), "{octets:?}");
    }
}

#[tokio::test]
async fn octets_by_lot_let_nobody_in() {
    let mut cases = JoinSet::new();
    for seed in 1..=60_u64 {
        let (label, mut script, _) = stops().swap_remove(usize::try_from(seed % 10).unwrap());
        script.push(Step::Say(says::by_lot(seed, 300)));
        cases.spawn(async move {
            let (error, ear) = refused(Wire::Tcp, script).await;
            assert!(
                matches!(error, AcceptError::Connection(_)) && ear.count("begin") == 0,
                "{label}: {error:?}"
            );
        });
    }
    while let Some(case) = cases.join_next().await {
        case.unwrap();
    }
}
