//! Servers of another project (Qpid Proton, in Python) and our client understand each other: every outcome, both settlement
//! modes, errors at each level, aborted and streamed deliveries, dynamic nodes, drain.

use std::process::Stdio;
use std::time::Duration;

use amqp_codec::messaging::Message;
use amqp_codec::transport::{ReceiverSettleMode, SenderSettleMode};
use amqp_transport::{
    AbortPolicy, Connection, Credit, LinkError, Outcome, ReceiverOptions, SenderOptions, Session,
};
use serde_json::{Value, json};
use tests::{fixtures, within};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

const MINUTE: Duration = Duration::from_secs(60);

/// A server that `fixtures/proton/serve.py` is.
struct Proton {
    url: String,
    lines: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

impl Proton {
    async fn start() -> Self {
        let mut process = Command::new("/usr/bin/python3")
            .arg(fixtures().join("proton/serve.py"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("python3 with python3-qpid-proton (see tests/run)");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = within(MINUTE, lines.next_line()).await.unwrap().expect("a port");
        Self { url: format!("amqp://127.0.0.1:{port}"), lines, _process: process }
    }

    async fn connect(&self) -> Connection {
        within(MINUTE, Connection::connect(&self.url)).await.unwrap()
    }

    async fn session(&self) -> Session {
        self.connect().await.session().await.unwrap()
    }

    /// What the server saw on the connection that ended first.
    async fn saw(&mut self) -> Value {
        let line = within(MINUTE, self.lines.next_line()).await.unwrap().expect("a JSON object");
        serde_json::from_str(&line).unwrap()
    }
}

fn body(size: usize) -> Message {
    Message::data(vec![b'x'; size])
}

#[tokio::test]
async fn proton_as_server_takes_what_we_send_and_sends_it_back() {
    let mut proton = Proton::start().await;
    let connection = proton.connect().await;
    assert_eq!(connection.peer().container_id, "proton");
    let session = connection.session().await.unwrap();
    let sizes = [0, 10, 70_000, 3_000_000];
    let sender = session.sender(SenderOptions::new("queue/a")).await.unwrap();
    for size in sizes {
        within(MINUTE, sender.send(body(size))).await.unwrap().accepted().unwrap();
    }
    let receiver = session.receiver(ReceiverOptions::new("queue/a")).await.unwrap();
    for size in sizes {
        let delivery = within(MINUTE, receiver.recv()).await.unwrap();
        assert_eq!(delivery.message().unwrap().body_bytes().unwrap().len(), size);
        delivery.accept().unwrap();
    }
    connection.close().await.unwrap();
    let saw = proton.saw().await;
    assert_eq!(saw["lengths"], json!(sizes));
    assert_eq!(saw["outcomes"], json!(vec!["ACCEPTED"; 4]));
    assert_eq!(saw["settled"], json!(0));
}

#[tokio::test]
async fn protons_outcomes_are_told_as_what_they_are() {
    let proton = Proton::start().await;
    let session = proton.session().await;
    for (address, expected) in [("reject", "Rejected"), ("release", "Released"), ("modify", "Modified")] {
        let sender = session.sender(SenderOptions::new(address)).await.unwrap();
        let outcome = within(MINUTE, sender.send(body(1))).await.unwrap();
        assert!(format!("{outcome:?}").starts_with(expected), "{address}: {outcome:?}");
    }
}

#[tokio::test]
async fn our_outcomes_reach_proton_in_both_settlement_modes() {
    let mut proton = Proton::start().await;
    let connection = proton.connect().await;
    let session = connection.session().await.unwrap();
    for mode in [ReceiverSettleMode::First, ReceiverSettleMode::Second] {
        let address = format!("queue/{mode:?}");
        let sender = session.sender(SenderOptions::new(&address)).await.unwrap();
        for _ in 0..4 {
            sender.send(body(1)).await.unwrap().accepted().unwrap();
        }
        let receiver = session.receiver(ReceiverOptions::new(&address).settle_mode(mode)).await.unwrap();
        let settle = async |outcome: Outcome| receiver.recv().await.unwrap().settle(outcome).unwrap();
        within(MINUTE, async {
            settle(Outcome::Accepted).await;
            settle(Outcome::Rejected(None)).await;
            settle(Outcome::Released).await;
            settle(Outcome::Modified(Default::default())).await;
        })
        .await;
    }
    connection.close().await.unwrap();
    let four = ["ACCEPTED", "REJECTED", "RELEASED", "MODIFIED"];
    assert_eq!(proton.saw().await["outcomes"], json!([four, four].concat()));
}

#[tokio::test]
async fn what_is_sent_settled_comes_settled_to_proton() {
    let mut proton = Proton::start().await;
    let connection = proton.connect().await;
    let session = connection.session().await.unwrap();
    let options = SenderOptions::new("queue/s").settle_mode(SenderSettleMode::Settled);
    let sender = session.sender(options).await.unwrap();
    for _ in 0..100 {
        within(MINUTE, sender.send_settled(body(1))).await.unwrap();
    }
    sender.close().await.unwrap();
    connection.close().await.unwrap();
    let saw = proton.saw().await;
    assert_eq!((&saw["deliveries"], &saw["settled"]), (&json!(100), &json!(100)));
}

#[tokio::test]
async fn protons_errors_are_told_at_their_level() {
    let proton = Proton::start().await;
    let session = proton.session().await;
    // An attach that is refused (§2.6.3), for either role.
    let refused = within(MINUTE, session.sender(SenderOptions::new("refuse"))).await.unwrap_err();
    assert!(refused.to_string().contains("amqp:not-found"), "{refused}");
    let refused = within(MINUTE, session.receiver(ReceiverOptions::new("refuse"))).await.unwrap_err();
    assert!(refused.to_string().contains("amqp:not-found"), "{refused}");

    let sender = session.sender(SenderOptions::new("detach")).await.unwrap();
    let other = session.sender(SenderOptions::new("queue/other")).await.unwrap();
    let error = within(MINUTE, sender.send(body(1))).await.unwrap_err();
    assert!(error.to_string().contains("amqp:resource-deleted"), "{error}");
    within(MINUTE, other.send(body(1))).await.unwrap().accepted().unwrap();

    let sender = session.sender(SenderOptions::new("end")).await.unwrap();
    let error = within(MINUTE, sender.send(body(1))).await.unwrap_err();
    assert!(error.to_string().contains("amqp:internal-error"), "{error}");
    within(MINUTE, session.ended()).await;
}

#[tokio::test]
async fn a_redirect_by_proton_is_told_typed() {
    let proton = Proton::start().await;
    let connection = proton.connect().await;
    let sender = connection.session().await.unwrap().sender(SenderOptions::new("redirect")).await.unwrap();
    let error = within(MINUTE, sender.send(body(1))).await.unwrap_err();
    assert!(error.to_string().contains("amqp:connection:redirect"), "{error}");
    let redirect = within(MINUTE, connection.closed()).await.redirect().expect("a redirect");
    assert_eq!((redirect.host(), redirect.port), (Some("127.0.0.2"), Some(5673)));
    assert_eq!(redirect.hostname.as_deref(), Some("elsewhere"));
}

#[tokio::test]
async fn what_proton_aborts_is_never_seen() {
    let proton = Proton::start().await;
    let session = proton.session().await;
    let receiver = session.receiver(ReceiverOptions::new("abort").credit(Credit::Auto(2))).await.unwrap();
    let delivery = within(MINUTE, receiver.recv()).await.unwrap();
    assert_eq!(delivery.message().unwrap().body_value().and_then(|value| value.as_str()), Some("whole"));
    delivery.accept().unwrap();
    assert!(receiver.try_recv().is_none());
}

#[tokio::test]
async fn what_we_abort_proton_drops_and_what_we_stream_it_gets_whole() {
    let mut proton = Proton::start().await;
    let connection = proton.connect().await;
    let session = connection.session().await.unwrap();
    let options = SenderOptions::new("queue/streamed").abort_policy(AbortPolicy::Abort);
    let sender = session.sender(options).await.unwrap();
    let before = connection.stats().frames_out;
    let mut given_up = sender.stream(&Message::default()).await.unwrap();
    for _ in 0..5 {
        within(MINUTE, given_up.write_data(vec![b'y'; 50_000])).await.unwrap();
    }
    // What has not left yet would not need to be aborted.
    tests::eventually_async("a part of the delivery leaves", MINUTE, || {
        let now = connection.stats().frames_out;
        if now > before { Ok(()) } else { Err(now) }
    })
    .await;
    given_up.abort();
    let mut writer = sender.stream(&Message::default()).await.unwrap();
    for _ in 0..40 {
        within(MINUTE, writer.write_data(vec![b'z'; 50_000])).await.unwrap();
    }
    within(MINUTE, writer.finish()).await.unwrap().accepted().unwrap();
    connection.close().await.unwrap();
    let saw = proton.saw().await;
    assert_eq!((&saw["aborted"], &saw["deliveries"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn proton_names_a_dynamic_node() {
    let proton = Proton::start().await;
    let session = proton.session().await;
    let receiver = session.receiver(ReceiverOptions::dynamic()).await.unwrap();
    let address = receiver.address().unwrap().to_owned();
    assert!(address.starts_with("queue/dynamic-"), "{address}");
    let sender = session.sender(SenderOptions::new(&address)).await.unwrap();
    within(MINUTE, sender.send(body(7))).await.unwrap().accepted().unwrap();
    let delivery = within(MINUTE, receiver.recv()).await.unwrap();
    assert_eq!(delivery.message().unwrap().body_bytes().unwrap().len(), 7);
    delivery.accept().unwrap();
}

#[tokio::test]
async fn a_drain_by_us_ends_when_proton_has_drained() {
    let proton = Proton::start().await;
    let session = proton.session().await;
    let receiver =
        session.receiver(ReceiverOptions::new("queue/drained").credit(Credit::Manual)).await.unwrap();
    let sender = session.sender(SenderOptions::new("queue/drained")).await.unwrap();
    for _ in 0..3 {
        sender.send(body(1)).await.unwrap().accepted().unwrap();
    }
    receiver.set_credit(10).unwrap();
    within(MINUTE, receiver.drain()).await.unwrap();
    let mut taken = 0;
    while let Some(delivery) = receiver.try_recv() {
        delivery.accept().unwrap();
        taken += 1;
    }
    assert_eq!(taken, 3);
    // The credit is used up: nothing comes until there is more.
    sender.send(body(1)).await.unwrap().accepted().unwrap();
    receiver.set_credit(1).unwrap();
    within(MINUTE, receiver.recv()).await.unwrap().accept().unwrap();
}

#[tokio::test]
async fn a_server_that_goes_away_is_noticed() {
    let proton = Proton::start().await;
    let session = proton.session().await;
    let receiver = session.receiver(ReceiverOptions::new("queue/gone")).await.unwrap();
    drop(proton);
    let error = within(MINUTE, receiver.recv()).await.unwrap_err();
    assert!(matches!(error, LinkError::Session(_)), "{error:?}");
    assert!(error.is_retryable(), "{error:?}");
}
