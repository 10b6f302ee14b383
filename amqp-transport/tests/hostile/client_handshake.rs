//! Servers that stall, break rules or go away before a connection is open.

use crate::place::{Server, WIRES, Wire, identity};
use crate::says;
use crate::script::{Ear, Step};
use crate::{limits, within};
use amqp_codec::security::SaslCode;
use amqp_codec::transport::{Open, Performative, conditions};
use amqp_codec::types::Symbol;
use amqp_transport::{ConnectError, ConnectOptions, ConnectionError, Sasl, SaslFault, TlsOptions};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

const HEADERS: &str = "exchanging protocol headers";
const AUTHENTICATING: &str = "authenticating";
const OPEN: &str = "opening the connection";

/// What a server says until a connection is open, as a list of stops: what is said up to there, and what the client then
/// waits for.
fn stops() -> Vec<(&'static str, Vec<Step>, &'static str)> {
    let mechanisms = says::mechanisms();
    let outcome = says::outcome(SaslCode::Ok);
    let open = says::open();
    let offered = vec![Step::Say([says::sasl_header(), mechanisms.clone()].concat()), Step::Hear("sasl")];
    let after_offer = |octets: &[&[u8]]| {
        let mut script = offered.clone();
        script.push(Step::Say(octets.concat()));
        script
    };
    let (header, half_outcome, half_open) = (says::amqp_header(), &outcome[..9], &open[..open.len() / 2]);
    vec![
        ("nothing", vec![], HEADERS),
        ("half a header", vec![Step::Say(b"AMQP\x03".to_vec())], HEADERS),
        ("a SASL header", vec![Step::Say(says::sasl_header())], AUTHENTICATING),
        (
            "half a frame",
            vec![Step::Say([says::sasl_header(), mechanisms[..11].to_vec()].concat())],
            AUTHENTICATING,
        ),
        ("mechanisms", offered.clone(), AUTHENTICATING),
        ("half an outcome", after_offer(&[half_outcome]), AUTHENTICATING),
        ("an outcome", after_offer(&[&outcome]), HEADERS),
        ("half a header after SASL", after_offer(&[&outcome, b"AMQP"]), HEADERS),
        ("a header after SASL", after_offer(&[&outcome, &header]), OPEN),
        ("half an open", after_offer(&[&outcome, &header, half_open]), OPEN),
    ]
}

/// What becomes of a client of ours at a server with this script, and what the server heard.
async fn connecting(wire: Wire, script: Vec<Step>) -> (ConnectError, Ear) {
    let server = Server::start(wire, script).await;
    let error = within(server.options(limits()).connect()).await.unwrap_err();
    (error, server.heard().await)
}

async fn stops_in_time(wire: Wire, label: &'static str, mut script: Vec<Step>, expected: &'static str) {
    script.push(Step::Listen);
    let begun = Instant::now();
    let (error, _) = connecting(wire, script).await;
    let ConnectError::Timeout { step, .. } = error else { panic!("{wire:?}, {label}: {error:?}") };
    assert_eq!(step, expected, "{wire:?}, {label}");
    let taken = begun.elapsed();
    assert!(taken >= limits().handshake && taken < limits().handshake * 10, "{wire:?}, {label}: {taken:?}");
    assert!(error.is_retryable());
}

// §2.4.5
#[tokio::test]
async fn a_server_that_stalls_at_any_step_is_given_up_in_time() {
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
async fn a_server_that_says_one_octet_at_a_time_gets_no_more_time_for_it() {
    let slowly =
        Step::Dribble([says::sasl_header(), says::mechanisms()].concat(), Duration::from_millis(100));
    stops_in_time(Wire::Tcp, "slowly", vec![slowly], AUTHENTICATING).await;
}

/// A server that only speaks TCP says this to a client that wants TLS.
async fn under_tls(octets: &'static [u8]) -> ConnectError {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    let options = ConnectOptions::new(format!("amqps://localhost:{port}").parse().unwrap())
        .limits(limits())
        .tls(TlsOptions::new().root_ca_pem(identity().0.clone()));
    let (error, _stream) = tokio::join!(within(options.connect()), async {
        let (mut stream, _) = socket.accept().await.unwrap();
        stream.write_all(octets).await.unwrap();
        stream
    });
    error.unwrap_err()
}

#[tokio::test]
async fn tls_that_stalls_is_given_up_in_time_and_what_is_no_tls_at_once() {
    let half_a_hello: &[u8] = &[0x16, 3, 3, 0, 0x40, 2, 0];
    for octets in [b"", half_a_hello] {
        let error = under_tls(octets).await;
        let ConnectError::Timeout { step, .. } = error else { panic!("{error:?}") };
        assert_eq!(step, "shaking hands over TLS");
    }
    for octets in [&b"AMQP\x03\x01\x00\x00"[..], b"HTTP/1.1 400 Bad Request\r\n\r\n", &[0xff; 4096]] {
        let error = under_tls(octets).await;
        assert!(matches!(error, ConnectError::Handshake { .. }), "{error:?}");
    }
}

// §2.2
#[tokio::test]
async fn a_server_that_goes_away_at_any_step_is_a_lost_connection() {
    let mut cases = JoinSet::new();
    for &wire in WIRES {
        for (label, script, _) in stops() {
            cases.spawn(async move {
                let socket = Server::start(wire, [script, vec![Step::Hang]].concat()).await;
                let error = within(socket.options(limits()).connect()).await.unwrap_err();
                let is_lost = matches!(&error, ConnectError::Connection(ConnectionError::Lost(_)));
                assert!(is_lost && error.is_retryable(), "{wire:?}, {label}: {error:?}");
            });
        }
    }
    while let Some(case) = cases.join_next().await {
        case.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_resets_is_a_lost_connection() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("amqp://{}", socket.local_addr().unwrap()).parse().unwrap();
    let (error, ()) = tokio::join!(within(ConnectOptions::new(address).limits(limits()).connect()), async {
        let (mut stream, _) = socket.accept().await.unwrap();
        stream.read_exact(&mut [0; 8]).await.unwrap();
        stream.set_zero_linger().unwrap();
    });
    let error = error.unwrap_err();
    assert!(matches!(error, ConnectError::Connection(ConnectionError::Lost(_))), "{error:?}");
}

/// The condition for which a connection was given up.
fn violation(error: &ConnectError) -> Option<Symbol> {
    match error {
        ConnectError::Connection(ConnectionError::Violation(error)) => Some(error.condition.clone()),
        _ => None,
    }
}

/// Says this after so many stops of [`stops`]; nothing is left out.
async fn after(stop: &str, octets: &[u8]) -> (ConnectError, Ear) {
    let (_, mut script, _) = stops().into_iter().find(|(label, ..)| *label == stop).unwrap();
    script.push(Step::Say(octets.to_vec()));
    within(connecting(Wire::Tcp, script)).await
}

// §2.2
#[tokio::test]
async fn what_is_no_header_is_named() {
    for octets in
        [&b"HTTP/1.1 400 Bad Request\r\n"[..], b"AMQP\x00\x00\x09\x01", b"AMQP\x02\x01\x00\x00", b"\x15\x03"]
    {
        for stop in ["nothing", "an outcome"] {
            let (error, ear) = after(stop, octets).await;
            let is_named = matches!(error, ConnectError::Connection(ConnectionError::Header(_)));
            assert!(is_named && !error.is_retryable(), "{stop}: {error:?}");
            assert_eq!(ear.count("close"), 0);
        }
    }
}

// §5.3.2
#[tokio::test]
async fn a_broken_rule_of_sasl_ends_the_connection_without_another_word() {
    let four_gib = [0xff, 0xff, 0xff, 0xff, 2, 1, 0, 0];
    let garbage = [0, 0, 0, 12, 2, 1, 0, 0, 0xff, 0xff, 0xff, 0xff];
    for (stop, octets, condition) in [
        ("a SASL header", &[0xff; 64][..], conditions::FRAMING_ERROR),
        ("a SASL header", &four_gib, conditions::FRAMING_ERROR),
        ("a SASL header", &garbage, conditions::DECODE_ERROR),
        ("a SASL header", &says::open(), conditions::FRAMING_ERROR),
        ("a SASL header", &says::outcome(SaslCode::Ok), conditions::NOT_ALLOWED),
        ("a SASL header", &says::init("ANONYMOUS"), conditions::NOT_ALLOWED),
        ("mechanisms", &says::mechanisms(), conditions::NOT_ALLOWED),
        ("mechanisms", &four_gib, conditions::FRAMING_ERROR),
        ("mechanisms", &says::empty_frame(), conditions::FRAMING_ERROR),
    ] {
        let (error, ear) = after(stop, octets).await;
        assert_eq!(violation(&error), Some(condition), "{stop}, {octets:?}: {error:?}");
        assert_eq!(ear.count("close"), 0, "there is no close before an open");
    }
}

// §5.3.2
#[tokio::test]
async fn endless_sasl_rounds_end_at_the_limit() {
    let (_, mut script, _) = stops().swap_remove(4);
    script.push(Step::Flood(says::challenge(b"again")));
    let (error, ear) = connecting(Wire::Tcp, script).await;
    assert_eq!(violation(&error), Some(conditions::RESOURCE_LIMIT_EXCEEDED), "{error:?}");
    assert!(ear.count("sasl") <= 17, "{}", ear.count("sasl"));
}

// §5.3.3
#[tokio::test]
async fn each_verdict_of_sasl_is_told() {
    for code in [SaslCode::Auth, SaslCode::Sys, SaslCode::SysPerm, SaslCode::SysTemp] {
        let (error, _) = after("mechanisms", &says::outcome(code)).await;
        let ConnectError::Connection(ConnectionError::Sasl { code: told, .. }) = &error else {
            panic!("{error:?}")
        };
        assert_eq!(*told, Some(code));
        assert_eq!(error.is_retryable(), matches!(code, SaslCode::Sys | SaslCode::SysTemp));
    }
}

// §5.3
#[tokio::test]
async fn a_server_that_waves_scram_through_has_proved_nothing() {
    let offer = says::offer("SCRAM-SHA-256");
    let script = vec![
        Step::Say([says::sasl_header(), offer].concat()),
        Step::Hear("sasl"),
        Step::Say([says::outcome(SaslCode::Ok), says::amqp_header(), says::open()].concat()),
    ];
    let server = Server::start(Wire::Tcp, script).await;
    let options = server.options(limits()).sasl(Sasl::scram("guest", "secret"));
    let error = within(options.connect()).await.unwrap_err();
    let ConnectError::Connection(ConnectionError::SaslExchange(fault)) = error else { panic!("{error:?}") };
    assert_eq!(fault, SaslFault::PeerNotProven);
}

// §2.4.1
#[tokio::test]
async fn a_broken_rule_around_open_is_told_in_a_close() {
    let mut tiny = Open::new("hostile");
    tiny.max_frame_size = 100;
    let mut hectic = Open::new("hostile");
    hectic.idle_time_out = Some(1);
    let open = |open: Open| Performative::Open(Box::new(open));
    for (octets, condition) in [
        (vec![0xff; 64], conditions::FRAMING_ERROR),
        (vec![0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0], conditions::FRAMING_ERROR),
        (vec![0, 0, 0, 7, 2, 0, 0, 0], conditions::FRAMING_ERROR),
        (vec![0, 0, 0, 8, 1, 0, 0, 0], conditions::FRAMING_ERROR),
        (vec![0, 0, 0, 12, 2, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], conditions::DECODE_ERROR),
        (says::outcome(SaslCode::Ok), conditions::FRAMING_ERROR),
        (says::empty_frame(), conditions::NOT_ALLOWED),
        (says::begin(0, None), conditions::NOT_ALLOWED),
        (says::frame(0, open(tiny)), conditions::INVALID_FIELD),
        (says::frame(0, open(hectic)), conditions::NOT_ALLOWED),
        (says::frame(7, open(Open::new("hostile"))), conditions::NOT_ALLOWED),
    ] {
        let (error, ear) = after("a header after SASL", &octets).await;
        assert_eq!(violation(&error), Some(condition.clone()), "{octets:?}: {error:?}");
        assert_eq!(ear.condition("close"), Some(condition), "{octets:?}");
    }
}

#[tokio::test]
async fn octets_by_lot_end_the_attempt_at_any_step() {
    let mut cases = JoinSet::new();
    for seed in 1..=60_u64 {
        let octets = says::by_lot(seed, 300);
        let (label, mut script, _) = stops().swap_remove(usize::try_from(seed % 10).unwrap());
        script.push(Step::Say(octets));
        cases.spawn(async move {
            let (error, _) = connecting(Wire::Tcp, script).await;
            assert!(
                matches!(error, ConnectError::Connection(_) | ConnectError::Timeout { .. }),
                "{label}: {error:?}"
            );
        });
    }
    while let Some(case) = cases.join_next().await {
        case.unwrap();
    }
}
