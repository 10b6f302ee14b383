//! Exchanges frame by frame: published ones, right and wrong ones, and what a hostile peer may try.

use super::layer::{Progress, SaslLayer};
use super::scram::{ScramClient, ScramServer};
use super::*;
use crate::Limits;
use crate::error::ConnectionError;
use amqp_codec::security::{SaslChallenge, SaslCode, SaslFrame, SaslInit, SaslOutcome, SaslResponse};
use amqp_codec::transport::{ErrorInfo, conditions};
use amqp_codec::types::Symbol;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

const SECRET: [u8; 32] = [7; 32];

/// Everything a listener can check.
#[derive(Default)]
struct Everyone {
    mechanisms: Vec<Mechanism>,
    stored: Option<ScramCredentials>,
}

impl Everyone {
    fn offering(mechanism: Mechanism) -> Self {
        Self { mechanisms: vec![mechanism], stored: None }
    }
}

impl Authenticator for Everyone {
    fn anonymous(&self) -> bool {
        true
    }

    fn plain(&self, authzid: &str, user: &str, password: &str) -> bool {
        (authzid, user, password) == ("", "user", "pencil")
    }

    fn mechanisms(&self) -> Vec<Mechanism> {
        self.mechanisms.clone()
    }

    fn scram(&self, user: &str, hash: ScramHash, salt: &[u8]) -> Option<ScramCredentials> {
        let derived = || ScramCredentials::derive(hash, "pencil", salt, 4096);
        (user == "user").then(|| self.stored.clone().unwrap_or_else(derived))
    }

    fn external(&self, certificate: &ClientCertificate) -> Option<String> {
        certificate.common_name()
    }

    fn bearer(&self, token: BearerToken<'_>) -> Result<String, BearerRefusal> {
        match (token.user(), token.token()) {
            (user, "good-token") => Ok(user.unwrap_or("whoever").to_owned()),
            _ => Err(BearerRefusal::new("invalid_token").scope("a \"b\"")),
        }
    }
}

/// How an exchange between this crate's two sides ends: for the client, and for the listener.
#[derive(Debug)]
struct Ends {
    client: Result<(), ConnectionError>,
    listener: Result<Identity, ConnectionError>,
}

fn client_layer() -> SaslLayer {
    let mut layer = SaslLayer { nonce: Some(Nonce::new(&[1; 24])), ..SaslLayer::default() };
    layer.enter_as_client();
    layer
}

fn listener_layer(authenticator: &dyn Authenticator) -> (SaslLayer, Option<SaslFrame>) {
    let nonce = Some(Nonce::new(&[2; 24]));
    let mut layer = SaslLayer { nonce, salt_secret: SECRET, ..SaslLayer::default() };
    let offer = layer.enter_as_listener(authenticator);
    (layer, offer)
}

/// What comes in place of a frame that cannot be read.
fn no_frame() -> ErrorInfo {
    ErrorInfo::new(conditions::DECODE_ERROR, "this is no frame")
}

/// Lets both sides talk; `tamper` sees each frame on its way.
fn tampered(sasl: &Sasl, authenticator: &dyn Authenticator, tamper: impl Fn(SaslFrame) -> SaslFrame) -> Ends {
    let limits = Limits::default();
    let mut client = client_layer();
    let (mut listener, offer) = listener_layer(authenticator);
    let mut to_client = offer;
    let mut listeners_end = Err(ConnectionError::ClosedLocally);
    loop {
        let to_listener = match client.on_listeners(
            to_client.map(&tamper).ok_or_else(no_frame),
            sasl,
            Some("host"),
            &limits,
        ) {
            Progress::Reply(frame) => tamper(frame),
            Progress::Authenticated(..) => return Ends { client: Ok(()), listener: listeners_end },
            Progress::Failed(error, frame) => {
                assert_eq!(frame, None, "a client has no frame to complain with");
                return Ends { client: Err(error), listener: listeners_end };
            }
        };
        to_client = match listener.on_clients(Ok(to_listener), authenticator) {
            Progress::Reply(frame) => Some(frame),
            Progress::Authenticated(identity, outcome) => {
                listeners_end = Ok(identity);
                outcome
            }
            Progress::Failed(error, outcome) => {
                listeners_end = Err(error);
                outcome
            }
        };
    }
}

fn talk(sasl: &Sasl, authenticator: &dyn Authenticator) -> Ends {
    tampered(sasl, authenticator, |frame| frame)
}

fn scram(hash: ScramHash, user: &str, password: &str) -> Sasl {
    Sasl::Scram { hash, user: user.into(), password: password.into() }
}

fn is_refused<T>(end: &Result<T, ConnectionError>) -> bool {
    matches!(end, Err(ConnectionError::Sasl { code: Some(SaslCode::Auth), .. }))
}

const HASHES: [ScramHash; 3] = [ScramHash::Sha1, ScramHash::Sha256, ScramHash::Sha512];

/// Hash, nonces, salt, the client's proof and the server's signature of a published exchange of `user` with `pencil`.
const PUBLISHED: [(ScramHash, &str, &str, &str, &str, &str); 3] = [
    // RFC 5802, §5
    (
        ScramHash::Sha1,
        "fyko+d2lbbFgONRv9qkxdawL",
        "3rfcNHYJY1ZVvWVs7j",
        "QSXCR+Q6sek8bf92",
        "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        "rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    ),
    // RFC 7677, §3
    (
        ScramHash::Sha256,
        "rOprNGfwEbeRWgbNEkqO",
        "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        "W22ZaJ0SNY7soEsUEjb6gQ==",
        "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    ),
    // The same with SHA-512, reckoned with Python's hashlib.
    (
        ScramHash::Sha512,
        "rOprNGfwEbeRWgbNEkqO",
        "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        "W22ZaJ0SNY7soEsUEjb6gQ==",
        "gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==",
        "ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw==",
    ),
];

#[test]
fn published_scram_exchanges_are_reproduced_by_both_sides() {
    for (hash, ours, theirs, salt, proof, signature) in PUBLISHED {
        let nonce = Nonce::published(ours);
        let (mut client, first) = ScramClient::start(hash, "user", "pencil", &nonce, 4096).unwrap();
        assert_eq!(first, format!("n,,n=user,r={ours}").into_bytes());

        let stored = ScramCredentials::derive(hash, "pencil", &STANDARD.decode(salt).unwrap(), 4096);
        let everyone = Everyone { mechanisms: Vec::new(), stored: Some(stored) };
        let nonce = Nonce::published(theirs);
        let (server, challenge) = ScramServer::start(&everyone, hash, &first, &nonce, &SECRET).unwrap();
        assert_eq!(challenge, format!("r={ours}{theirs},s={salt},i=4096").into_bytes());

        let last = client.on_challenge(&challenge).unwrap();
        assert_eq!(last, format!("c=biws,r={ours}{theirs},p={proof}").into_bytes());
        let (user, server_final) = server.finish(&last).unwrap();
        assert_eq!((user.as_str(), server_final), ("user", format!("v={signature}").into_bytes()));
        client.on_success(format!("v={signature}").as_bytes()).unwrap();
    }
}

#[test]
fn scram_lets_the_right_password_in_and_no_other() {
    for hash in HASHES {
        let everyone = Everyone::offering(Mechanism::Scram(hash));
        let ends = talk(&scram(hash, "user", "pencil"), &everyone);
        assert_eq!(ends.client, Ok(()));
        assert_eq!(ends.listener, Ok(Identity::User("user".into())));
        for (user, password) in [("user", "Pencil"), ("nobody", "pencil"), ("user", ""), ("nobody", "")] {
            let ends = talk(&scram(hash, user, password), &everyone);
            assert!(is_refused(&ends.client) && is_refused(&ends.listener), "{user} {password} {ends:?}");
        }
    }
}

#[test]
fn scram_takes_names_and_passwords_that_need_preparation() {
    // A soft hyphen is dropped, a full-width letter becomes a plain one (RFC 4013, §3); "=" and "," are escaped.
    let users = |user: &str, password: &str| StaticCredentials {
        anonymous: false,
        users: vec![(user.into(), password.into())],
    };
    for (known, kept, user, password) in [
        ("a=b,c", "p=w,d", "a=b,c", "p=w,d"),
        ("IX", "a", "I\u{ad}X", "\u{aa}"),
        ("\u{e4}ffchen", "\u{1f511}\u{1f98a}", "a\u{308}ffchen", "\u{1f511}\u{1f98a}"),
    ] {
        let ends = talk(&scram(ScramHash::Sha256, user, password), &users(known, kept));
        assert_eq!(ends.client, Ok(()), "{known}");
        assert!(matches!(ends.listener, Ok(Identity::User(_))), "{known}");
    }
}

#[test]
fn a_scram_exchange_looks_the_same_for_users_that_are_not_known() {
    let users = StaticCredentials { anonymous: false, users: vec![("known".into(), "p".into())] };
    let challenge = |user: &str, nonce: u8| {
        let nonce = Nonce::new(&[nonce; 24]);
        let first = format!("n,,n={user},r=abc");
        let (_, challenge) =
            ScramServer::start(&users, ScramHash::Sha256, first.as_bytes(), &nonce, &SECRET).unwrap();
        let challenge = String::from_utf8(challenge).unwrap();
        let mut parts = challenge.split(',').skip(1).map(str::to_owned);
        (parts.next().unwrap(), parts.next().unwrap(), parts.next())
    };
    for user in ["known", "unknown"] {
        let (salt, iterations, rest) = challenge(user, 1);
        assert_eq!(salt.len(), "s=".len() + 24, "16 octets");
        assert_eq!((iterations.as_str(), rest), ("i=4096", None));
        assert_eq!(challenge(user, 2).0, salt, "the same each time");
    }
    assert_ne!(challenge("known", 1).0, challenge("unknown", 1).0);
    assert_ne!(challenge("unknown", 1).0, challenge("another", 1).0);
}

#[test]
fn stored_scram_credentials_serve_without_the_password() {
    let stored = ScramCredentials::derive(ScramHash::Sha256, "pencil", b"0123456789abcdef", 10_000);
    let mut everyone = Everyone::offering(Mechanism::Scram(ScramHash::Sha256));
    everyone.stored = Some(stored);
    assert_eq!(talk(&scram(ScramHash::Sha256, "user", "pencil"), &everyone).client, Ok(()));
    // Made with another hash function, they are worth nothing.
    everyone.mechanisms = vec![Mechanism::Scram(ScramHash::Sha512)];
    let ends = talk(&scram(ScramHash::Sha512, "user", "pencil"), &everyone);
    assert!(is_refused(&ends.client) && is_refused(&ends.listener));
}

/// Changes the text of every challenge.
fn challenges(change: impl Fn(&str) -> String) -> impl Fn(SaslFrame) -> SaslFrame {
    move |frame| match frame {
        SaslFrame::Challenge(challenge) => {
            let changed = change(std::str::from_utf8(&challenge.challenge).unwrap());
            SaslFrame::Challenge(SaslChallenge::new(Bytes::from(changed)))
        }
        other => other,
    }
}

#[test]
fn a_scram_client_recognises_a_tampered_challenge() {
    let everyone = Everyone::offering(Mechanism::Scram(ScramHash::Sha256));
    let sasl = scram(ScramHash::Sha256, "user", "pencil");
    let fault = |change: &dyn Fn(&str) -> String| match tampered(&sasl, &everyone, challenges(change)).client
    {
        Err(ConnectionError::SaslExchange(fault)) => fault,
        other => panic!("{other:?}"),
    };
    assert_eq!(fault(&|text| text.replacen("r=A", "r=B", 1)), SaslFault::Nonce);
    // Nothing added to what the client said.
    let ours = "AQEB".repeat(8);
    let bare = |text: &str| format!("r={ours},{}", text.split_once(',').unwrap().1);
    assert_eq!(fault(&bare), SaslFault::Nonce);
    for iterations in ["1", "4095", "600001", "4294967296", "99999999999999999999999"] {
        let fault = fault(&|text| text.replace("i=4096", &format!("i={iterations}")));
        assert!(matches!(fault, SaslFault::Iterations { min: 4096, max: 600_000, .. }), "{iterations}");
    }
    for iterations in ["", "-1", "+4096", "4096.5", "x"] {
        let fault = fault(&|text| text.replace("i=4096", &format!("i={iterations}")));
        assert!(matches!(fault, SaslFault::Malformed(_)), "{iterations}");
    }
    for malformed in ["", "r=", ",", "m=x,r=a,s=b,i=4096", "r=AQ,s=%%,i=4096", "e=other-error"] {
        assert!(matches!(fault(&|_| malformed.to_owned()), SaslFault::Malformed(_)), "{malformed}");
    }
    // Extensions at the end are allowed (RFC 5802, §5.1), but are part of what is signed.
    let ends = tampered(&sasl, &everyone, challenges(|text| format!("{text},x=y")));
    assert!(is_refused(&ends.client) && is_refused(&ends.listener), "{ends:?}");
}

#[test]
fn a_scram_client_does_not_believe_a_server_that_does_not_prove_itself() {
    let everyone = Everyone::offering(Mechanism::Scram(ScramHash::Sha1));
    let sasl = scram(ScramHash::Sha1, "user", "pencil");
    let with = |data: Option<&'static [u8]>| {
        tampered(&sasl, &everyone, move |frame| match frame {
            SaslFrame::Outcome(mut outcome) => {
                outcome.additional_data = data.map(|data| Bytes::from_static(data).into());
                SaslFrame::Outcome(outcome)
            }
            other => other,
        })
        .client
    };
    assert_eq!(with(None), Err(SaslFault::PeerNotProven.into()));
    assert_eq!(with(Some(b"")), Err(SaslFault::PeerNotProven.into()));
    assert_eq!(with(Some(b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=")), Err(SaslFault::PeerNotProven.into()));
    assert_eq!(with(Some(b"v=")), Err(SaslFault::PeerNotProven.into()));
    assert_eq!(with(Some(b"e=other-error")), Err(SaslFault::Refused("other-error".into()).into()));
    assert!(matches!(with(Some(b"Welcome!")), Err(ConnectionError::SaslExchange(SaslFault::Malformed(_)))));
    // Success at once, without any exchange.
    let early = tampered(&sasl, &everyone, |frame| match frame {
        SaslFrame::Challenge(_) => SaslFrame::Outcome(SaslOutcome::new(SaslCode::Ok)),
        other => other,
    });
    assert_eq!(early.client, Err(SaslFault::PeerNotProven.into()));
}

#[test]
fn the_servers_proof_may_come_as_a_last_challenge() {
    let (hash, ours, theirs, salt, _, signature) = PUBLISHED[0];
    let (mut client, _) = ScramClient::start(hash, "user", "pencil", &Nonce::published(ours), 4096).unwrap();
    client.on_challenge(format!("r={ours}{theirs},s={salt},i=4096").as_bytes()).unwrap();
    assert_eq!(client.on_challenge(format!("v={signature}").as_bytes()).unwrap(), b"");
    assert!(client.on_challenge(b"v=again").is_err());
    client.on_success(b"").unwrap();
}

#[test]
fn a_listener_refuses_a_scram_proof_that_does_not_belong_to_the_exchange() {
    let everyone = Everyone::offering(Mechanism::Scram(ScramHash::Sha256));
    let sasl = scram(ScramHash::Sha256, "user", "pencil");
    let with = |change: &dyn Fn(&str) -> String| {
        tampered(&sasl, &everyone, |frame| match frame {
            SaslFrame::Response(response) => {
                let changed = change(std::str::from_utf8(&response.response).unwrap());
                SaslFrame::Response(SaslResponse::new(Bytes::from(changed)))
            }
            other => other,
        })
    };
    let changes: [&dyn Fn(&str) -> String; 8] = [
        &|text: &str| text.replace("r=A", "r=B"),
        &|text: &str| text.replace("c=biws", "c=eSws"),
        &|text: &str| text.replace("c=biws,", ""),
        &|text: &str| text.replace(",p=", ",x=y,p="),
        &|text: &str| text.split(",p=").next().unwrap().to_owned(),
        &|text: &str| format!("{}p=", text.split("p=").next().unwrap()),
        &|text: &str| format!("{}p=AAAA", text.split("p=").next().unwrap()),
        &|_: &str| String::new(),
    ];
    for change in changes {
        let ends = with(change);
        assert!(is_refused(&ends.client) && is_refused(&ends.listener), "{ends:?}");
    }
}

#[test]
fn a_scram_client_may_not_speak_for_another_nor_bind_to_a_channel() {
    let everyone = Everyone::offering(Mechanism::Scram(ScramHash::Sha256));
    let start = |first: &str| {
        ScramServer::start(&everyone, ScramHash::Sha256, first.as_bytes(), &Nonce::new(&[2; 24]), &SECRET)
    };
    for malformed in [
        "",
        "n",
        "n,,",
        "p=tls-unique,,n=user,r=abc",
        "x,,n=user,r=abc",
        "n,user,n=user,r=abc",
        "n,a=,n=user,r=abc",
        "n,,n=,r=abc",
        "n,,n=user,r=",
        "n,,m=ext,n=user,r=abc",
        "n,,n=us=er,r=abc",
        "n,,r=abc,n=user",
    ] {
        assert!(start(malformed).is_err(), "{malformed}");
    }
    for (authzid, may) in [("", true), ("a=user", true), ("a=root", false)] {
        let first = format!("n,{authzid},n=user,r=abc");
        let (server, challenge) = start(&first).unwrap();
        let challenge = String::from_utf8(challenge).unwrap();
        let header = STANDARD.encode(format!("n,{authzid},"));
        let nonce = challenge.split(',').next().unwrap();
        let without_proof = format!("c={header},{nonce}");
        let said = format!("n=user,r=abc,{challenge},{without_proof}");
        let salt = STANDARD.decode(challenge.split(',').nth(1).unwrap().strip_prefix("s=").unwrap()).unwrap();
        let proof = proof_of("pencil", &salt, &said);
        let finished = server.finish(format!("{without_proof},p={proof}").as_bytes());
        assert_eq!(finished.is_ok(), may, "{authzid}");
    }
}

/// The proof of SCRAM-SHA-256, put together from the primitives.
fn proof_of(password: &str, salt: &[u8], said: &str) -> String {
    use ring::{digest, hmac, pbkdf2};
    let mut salted = [0; 32];
    let iterations = std::num::NonZeroU32::new(4096).unwrap();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, password.as_bytes(), &mut salted);
    let sign =
        |key: &[u8], data: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data).as_ref().to_vec();
    let client_key = sign(&salted, b"Client Key");
    let signature = sign(digest::digest(&digest::SHA256, &client_key).as_ref(), said.as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(key, signature)| key ^ signature).collect();
    STANDARD.encode(proof)
}

#[test]
fn a_good_bearer_token_gets_in() {
    let sasl =
        |user: Option<&str>| Sasl::OAuthBearer { user: user.map(str::to_owned), token: "good-token".into() };
    let everyone = Everyone::offering(Mechanism::OAuthBearer);
    assert_eq!(talk(&sasl(None), &everyone).listener, Ok(Identity::User("whoever".into())));
    assert_eq!(talk(&sasl(Some("a=b,c")), &everyone).listener, Ok(Identity::User("a=b,c".into())));
    let everyone = Everyone::offering(Mechanism::XOAuth2);
    let ends = talk(&Sasl::XOAuth2 { user: "me".into(), token: "good-token".into() }, &everyone);
    assert_eq!((ends.client, ends.listener), (Ok(()), Ok(Identity::User("me".into()))));
}

// RFC 7628, §3.2.3
#[test]
fn a_refused_token_fails_with_the_peers_reason() {
    let reason = r#"{"status":"invalid_token","scope":"a \"b\""}"#;
    for (sasl, mechanism, acknowledgement) in [
        (Sasl::OAuthBearer { user: None, token: "stale".into() }, Mechanism::OAuthBearer, &b"\x01"[..]),
        (Sasl::XOAuth2 { user: "me".into(), token: "stale".into() }, Mechanism::XOAuth2, b""),
    ] {
        let ends = tampered(&sasl, &Everyone::offering(mechanism), |frame| {
            if let SaslFrame::Response(response) = &frame {
                assert_eq!(&response.response[..], acknowledgement);
            }
            frame
        });
        assert_eq!(ends.client, Err(SaslFault::Refused(reason.into()).into()));
        assert!(!ends.client.unwrap_err().is_retryable());
        assert!(is_refused(&ends.listener));
    }
}

#[test]
fn bearer_messages_have_the_published_form() {
    // RFC 7628, §4.1, without the pairs that are optional.
    let message =
        bearer::oauthbearer(Some("user@example.com"), "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==").unwrap();
    let expected = b"n,a=user@example.com,\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01";
    assert_eq!(message, expected);
    let full = b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=bearer abc\x01\x01";
    let seen =
        bearer::on_oauthbearer(full, |token| (token.user().map(str::to_owned), token.token().to_owned()));
    assert_eq!(seen, Some((Some("user@example.com".into()), "abc".into())));
    for malformed in [
        &b""[..],
        b"n,,",
        b"n,,\x01auth=Bearer abc\x01",
        b"n,,\x01auth=Basic abc\x01\x01",
        b"n,,\x01auth=Bearer \x01\x01",
        b"n,,\x01auth=Bearer a b\x01\x01",
        b"p=x,,\x01auth=Bearer abc\x01\x01",
        b"n,b=x,\x01auth=Bearer abc\x01\x01",
        b"\xff,,\x01auth=Bearer abc\x01\x01",
    ] {
        assert!(bearer::on_oauthbearer(malformed, |_| ()).is_none(), "{malformed:?}");
    }
    assert!(bearer::on_xoauth2(b"user=a\x01\x01auth=Bearer \x01", |_| ()).is_none());
    assert!(
        bearer::oauthbearer(None, "a\x01auth=Bearer b").is_err(),
        "a token cannot bring pairs of its own"
    );
    assert!(bearer::xoauth2("a\x01auth=Bearer b", "c").is_err());
}

#[test]
fn plain_lets_only_the_right_password_in() {
    let users = StaticCredentials { anonymous: false, users: vec![("guest".into(), "se\u{e4}cret".into())] };
    let ends = talk(&Sasl::plain("guest", "se\u{e4}cret"), &users);
    assert_eq!(ends.listener, Ok(Identity::User("guest".into())));
    for wrong in [
        &b"\0guest\0"[..],
        b"\0guest\0secret",
        b"guest\0secret",
        b"",
        b"\0\0",
        "\0guest\0se\u{e4}cret\0x".as_bytes(),
        "other\0guest\0se\u{e4}cret".as_bytes(),
        b"\0guest\0\xff",
    ] {
        assert!(is_refused(&begins("PLAIN", Some(wrong), &users)), "{wrong:?}");
    }
    for other in ["ANONYMOUS", "EXTERNAL", "OAUTHBEARER", "GSSAPI", ""] {
        assert!(is_refused(&begins(other, Some(b""), &users)), "{other}");
    }
    // A zero octet would move the border between user and password.
    let ends = talk(&Sasl::plain("guest\0se\u{e4}cret", ""), &users);
    assert!(matches!(ends.client, Err(ConnectionError::SaslExchange(SaslFault::Unusable(_)))));
}

/// How a listener takes a sasl-init.
fn begins(
    mechanism: &str,
    response: Option<&[u8]>,
    authenticator: &dyn Authenticator,
) -> Result<Identity, ConnectionError> {
    let (mut listener, _) = listener_layer(authenticator);
    let mut init = SaslInit::new(Symbol::try_from(mechanism).unwrap());
    init.initial_response = response.map(|response| Bytes::copy_from_slice(response).into());
    match listener.on_clients(Ok(SaslFrame::Init(init)), authenticator) {
        Progress::Authenticated(identity, Some(SaslFrame::Outcome(outcome))) => {
            assert_eq!(outcome.code, SaslCode::Ok);
            Ok(identity)
        }
        Progress::Failed(error, Some(SaslFrame::Outcome(outcome))) => {
            assert_ne!(outcome.code, SaslCode::Ok);
            Err(error)
        }
        other => panic!("{other:?}"),
    }
}

// RFC 4422, §3.1
#[test]
fn a_client_that_gives_no_initial_response_is_asked_for_it() {
    let users = StaticCredentials { anonymous: false, users: vec![("u".into(), "p".into())] };
    let (mut listener, _) = listener_layer(&users);
    let init = SaslInit::new(Symbol::from_static("PLAIN"));
    match listener.on_clients(Ok(SaslFrame::Init(init)), &users) {
        Progress::Reply(SaslFrame::Challenge(challenge)) => assert!(challenge.challenge.is_empty()),
        other => panic!("{other:?}"),
    }
    let response = SaslFrame::Response(SaslResponse::new(Bytes::from_static(b"\0u\0p")));
    assert!(matches!(
        listener.on_clients(Ok(response), &users),
        Progress::Authenticated(Identity::User(user), _) if user == "u"
    ));
    assert_eq!(begins("ANONYMOUS", None, &Everyone::offering(Mechanism::Anonymous)), Ok(Identity::Anonymous));
}

#[test]
fn a_mechanism_never_falls_back_to_another_that_is_not_listed() {
    let offers_plain = Everyone { mechanisms: vec![Mechanism::Plain, Mechanism::Anonymous], stored: None };
    for sasl in [
        scram(ScramHash::Sha256, "user", "pencil"),
        Sasl::scram("user", "pencil"),
        Sasl::External,
        Sasl::OAuthBearer { user: None, token: "good-token".into() },
        Sasl::FirstOffered(Vec::new()),
    ] {
        let ends = talk(&sasl, &offers_plain);
        assert!(matches!(ends.client, Err(ConnectionError::Sasl { code: None, .. })), "{sasl:?} {ends:?}");
    }
    let listed = Sasl::FirstOffered(vec![Sasl::scram("user", "pencil"), Sasl::plain("user", "pencil")]);
    assert_eq!(talk(&listed, &offers_plain).listener, Ok(Identity::User("user".into())));
    // A refusal is final: the next one in the list is not tried with the same connection.
    let listed = Sasl::FirstOffered(vec![Sasl::plain("user", "wrong"), Sasl::Anonymous]);
    assert!(is_refused(&talk(&listed, &offers_plain).client));
}

#[test]
fn the_first_listed_choice_wins_not_the_peers_first() {
    let both = Everyone {
        mechanisms: vec![
            Mechanism::Plain,
            Mechanism::Scram(ScramHash::Sha1),
            Mechanism::Scram(ScramHash::Sha512),
        ],
        stored: None,
    };
    let (_, mechanism) = Sasl::FirstOffered(vec![Sasl::scram("u", "p"), Sasl::plain("u", "p")])
        .among(&both.mechanisms.iter().map(|mechanism| mechanism.symbol()).collect::<Vec<_>>())
        .map(|(sasl, mechanism)| (sasl.clone(), mechanism))
        .unwrap();
    assert_eq!(mechanism, Mechanism::Scram(ScramHash::Sha512));
}

#[test]
fn external_is_offered_only_with_a_certificate_and_speaks_for_its_subject_alone() {
    let everyone = Everyone::offering(Mechanism::External);
    let (_, offer) = listener_layer(&everyone);
    assert_eq!(offer, None, "there is nothing to offer");
    let mut layer = SaslLayer { certificate: Some(certificate()), ..SaslLayer::default() };
    assert!(layer.enter_as_listener(&everyone).is_some());
    for (authzid, may) in [(None, true), (Some("reports"), true), (Some("root"), false)] {
        layer.enter_as_listener(&everyone);
        let mut init = SaslInit::new(Symbol::from_static("EXTERNAL"));
        init.initial_response = authzid.map(|authzid| Bytes::from_static(authzid.as_bytes()).into());
        match layer.on_clients(Ok(SaslFrame::Init(init)), &everyone) {
            Progress::Authenticated(identity, _) => {
                assert!(may);
                assert_eq!(identity, Identity::User("reports".into()));
            }
            other => assert!(!may, "{other:?}"),
        }
    }
}

// Peers that wait for a response that is there, if empty, hang or refuse without one.
#[test]
fn external_begins_with_empty_octets_and_answers_an_empty_challenge() {
    let limits = Limits::default();
    let mut client = client_layer();
    let mut hears = |frame| client.on_listeners(Ok(frame), &Sasl::External, None, &limits);
    let offered = vec![Symbol::from_static("PLAIN"), Symbol::from_static("EXTERNAL")];
    match hears(SaslFrame::Mechanisms(amqp_codec::security::SaslMechanisms {
        sasl_server_mechanisms: offered,
    })) {
        Progress::Reply(SaslFrame::Init(init)) => {
            assert_eq!(init.mechanism.as_str(), "EXTERNAL");
            assert_eq!(init.initial_response.as_deref().map(|octets| octets.len()), Some(0));
        }
        other => panic!("{other:?}"),
    }
    match hears(SaslFrame::Challenge(SaslChallenge::new(Bytes::new()))) {
        Progress::Reply(SaslFrame::Response(response)) => assert!(response.response.is_empty()),
        other => panic!("{other:?}"),
    }
    let outcome = hears(SaslFrame::Outcome(SaslOutcome::new(SaslCode::Ok)));
    assert!(matches!(outcome, Progress::Authenticated(..)), "{outcome:?}");
}

// §5.3.3
#[test]
fn a_listener_with_nothing_to_offer_offers_no_empty_list() {
    let (_, offer) = listener_layer(&Everyone::default());
    assert_eq!(offer, None);
}

fn certificate() -> ClientCertificate {
    let mut parameters = rcgen::CertificateParams::new(vec!["reports.example".to_owned()]).unwrap();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(rcgen::DnType::OrganizationName, "Example");
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "reports");
    parameters.subject_alt_names.push(rcgen::SanType::Rfc822Name("reports@example.com".try_into().unwrap()));
    parameters.subject_alt_names.push(rcgen::SanType::URI("spiffe://example/reports".try_into().unwrap()));
    let certificate = parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
    ClientCertificate::new(certificate.der().to_vec())
}

#[test]
fn a_certificate_tells_the_names_in_it() {
    let certificate = certificate();
    assert_eq!(certificate.common_name().as_deref(), Some("reports"));
    assert_eq!(certificate.dns_names(), ["reports.example"]);
    assert_eq!(certificate.email_addresses(), ["reports@example.com"]);
    assert_eq!(certificate.uris(), ["spiffe://example/reports"]);
}

#[test]
fn octets_that_are_no_certificate_have_no_names() {
    let whole = certificate();
    for cut in 0..whole.der().len() {
        let cut = ClientCertificate::new(whole.der()[..cut].to_vec());
        assert_eq!(cut.common_name(), None);
        assert_eq!(cut.uris(), [""; 0]);
    }
    for at in 0..whole.der().len() {
        let mut changed = whole.der().to_vec();
        changed[at] = 0xff;
        let changed = ClientCertificate::new(changed);
        let _ = (changed.common_name(), changed.dns_names());
    }
}

#[test]
fn a_frame_out_of_place_ends_the_layer() {
    let users = StaticCredentials { anonymous: true, users: Vec::new() };
    let outcome = || SaslFrame::Outcome(SaslOutcome::new(SaslCode::Ok));
    let response = || SaslFrame::Response(SaslResponse::new(Bytes::new()));
    for frame in [Ok(outcome()), Ok(response()), Err(no_frame())] {
        let (mut listener, _) = listener_layer(&users);
        match listener.on_clients(frame, &users) {
            Progress::Failed(ConnectionError::Violation(_), Some(SaslFrame::Outcome(outcome))) => {
                assert_eq!(outcome.code, SaslCode::Sys);
            }
            other => panic!("{other:?}"),
        }
    }
    let limits = Limits::default();
    for frame in [Ok(outcome()), Ok(response()), Err(no_frame())] {
        let mut client = client_layer();
        let progress = client.on_listeners(frame, &Sasl::Anonymous, None, &limits);
        assert!(matches!(progress, Progress::Failed(ConnectionError::Violation(_), None)), "{progress:?}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let password = || "hunter2".to_owned();
    let users = StaticCredentials { anonymous: true, users: vec![("u".into(), password())] };
    let stored = ScramCredentials::derive(ScramHash::Sha256, "hunter2", b"salt", 4096);
    let (exchange, _) =
        ScramClient::start(ScramHash::Sha256, "u", "hunter2", &Nonce::new(&[1; 24]), 4096).unwrap();
    let everything = format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {exchange:?} {stored:?} {users:?}",
        Sasl::plain("u", password()),
        Sasl::scram("u", password()),
        Sasl::OAuthBearer { user: None, token: password() },
        Sasl::XOAuth2 { user: "u".into(), token: password() },
        Sasl::FirstOffered(vec![Sasl::plain("u", password())]),
        bearer::on_xoauth2(b"user=u\x01auth=Bearer hunter2\x01\x01", |token| format!("{token:?}")),
    );
    assert!(!everything.contains("hunter2"), "{everything}");
    assert!(!everything.contains(&STANDARD.encode(stored.stored_key())));
}
