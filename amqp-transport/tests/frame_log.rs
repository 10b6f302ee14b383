//! The frame log of whole connections: what `AMQP_LOG=frames` prints, and that no password or token is ever in it.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use amqp_codec::messaging::{Message, Target};
use amqp_transport::{
    Authenticator, BearerRefusal, BearerToken, ConnectOptions, Credit, FrameLog, ListenerOptions, Mechanism,
    Sasl, ScramCredentials, ScramHash, SenderOptions, StaticCredentials,
};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECRET: &str = "hunter2-hunter2";

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it takes too long")
}

/// Knows the secret in every form.
struct Everyone(Mechanism);

impl Authenticator for Everyone {
    fn anonymous(&self) -> bool {
        false
    }

    fn plain(&self, _authzid: &str, _user: &str, password: &str) -> bool {
        password == SECRET
    }

    fn mechanisms(&self) -> Vec<Mechanism> {
        vec![self.0]
    }

    fn scram(&self, _user: &str, hash: ScramHash, salt: &[u8]) -> Option<ScramCredentials> {
        Some(ScramCredentials::derive(hash, SECRET, salt, 4096))
    }

    fn bearer(&self, token: BearerToken<'_>) -> Result<String, BearerRefusal> {
        if token.token() == SECRET { Ok("me".to_owned()) } else { Err(BearerRefusal::new("invalid_token")) }
    }
}

/// What both ends log while a client logs in and goes away.
async fn log_of(sasl: Sasl, mechanism: Mechanism) -> Vec<String> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&lines);
    let log = FrameLog::to(move |line| kept.lock().unwrap().push(line.to_owned()));
    let (near, far) = tokio::io::duplex(64 * 1024);
    let listener =
        ListenerOptions::new("server").authenticator(Arc::new(Everyone(mechanism))).frame_log(log.clone());
    let client = ConnectOptions::new(format!("amqp://me:{SECRET}@localhost").parse().unwrap())
        .property("x-opt-token", SECRET)
        .sasl(sasl)
        .frame_log(log);
    within(async {
        let (client, incoming) = tokio::join!(client.connect_over(near), listener.accept(far));
        if let (Ok(client), Ok(_incoming)) = (client, incoming) {
            client.close().await.unwrap();
        }
    })
    .await;
    let mut lines = lines.lock().unwrap();
    std::mem::take(&mut *lines)
}

#[tokio::test]
async fn no_password_or_token_is_ever_in_the_log() {
    let scram = |hash, password: &str| Sasl::Scram { hash, user: "me".into(), password: password.into() };
    for (right, wrong, mechanism) in [
        (Sasl::plain("me", SECRET), Sasl::plain("me", format!("{SECRET}x")), Mechanism::Plain),
        (
            scram(ScramHash::Sha256, SECRET),
            scram(ScramHash::Sha256, "wrong"),
            Mechanism::Scram(ScramHash::Sha256),
        ),
        (
            Sasl::OAuthBearer { user: None, token: SECRET.into() },
            Sasl::OAuthBearer { user: None, token: format!("{SECRET}x") },
            Mechanism::OAuthBearer,
        ),
        (
            Sasl::XOAuth2 { user: "me".into(), token: SECRET.into() },
            Sasl::XOAuth2 { user: "me".into(), token: format!("{SECRET}x") },
            Mechanism::XOAuth2,
        ),
    ] {
        for (sasl, is_right) in [(right, true), (wrong, false)] {
            let lines = log_of(sasl, mechanism).await;
            let whole = lines.join("\n");
            let init =
                format!("sasl-init mechanism=:{mechanism} initial-response=*** hostname=\"localhost\"");
            assert!(whole.contains(&init), "{whole}");
            assert_eq!(whole.contains("sasl-outcome code=ok"), is_right, "{whole}");
            assert_eq!(whole.contains("x-opt-token=***"), is_right, "{whole}");
            for secret in [SECRET, "r=", "p=", "v=", "auth=", "invalid_token", "hunter"] {
                assert!(!whole.contains(secret), "{secret} in {whole}");
            }
        }
    }
}

/// The name of the variable that tells the test program to be the one observed.
const CHILD: &str = "FRAME_LOG_CHILD";

#[test]
fn amqp_log_prints_every_frame_to_standard_error_and_only_when_told() {
    if std::env::var_os(CHILD).is_some() {
        return tokio::runtime::Runtime::new().unwrap().block_on(within(converse()));
    }
    let stderr = |value: Option<&str>| {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args([
            "--exact",
            "amqp_log_prints_every_frame_to_standard_error_and_only_when_told",
            "--nocapture",
        ]);
        child.env(CHILD, "1").env_remove("AMQP_LOG");
        if let Some(value) = value {
            child.env("AMQP_LOG", value);
        }
        let output = child.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stderr).unwrap()
    };
    let log = stderr(Some("frames"));
    for line in [
        "client-1 -> header SASL 1.0.0",
        "listener-2 <- header SASL 1.0.0",
        "client-1 <- sasl-mechanisms sasl-server-mechanisms=[:SCRAM-SHA-512, :SCRAM-SHA-256, :PLAIN]",
        "listener-2 <- sasl-init mechanism=:PLAIN initial-response=*** hostname=\"localhost\"",
        "listener-2 -> sasl-outcome code=ok",
        "client-1 <- header AMQP 1.0.0",
        "client-1 -> 0 begin next-outgoing-id=0 ",
        "client-1 -> 0 attach name=",
        "client-1 <- 0 flow ",
        "client-1 -> 0 transfer handle=0 delivery-id=0 ",
        " payload=30",
        "client-1 <- 0 disposition role=receiver first=0 settled=true state=accepted()",
        "client-1 -> 0 close",
        "listener-2 -> 0 close",
    ] {
        assert!(log.contains(line), "{line:?} in {log}");
    }
    assert!(!log.contains(SECRET) && !log.contains("a message for nobody"), "{log}");
    for silent in [None, Some(""), Some("other")] {
        assert!(!stderr(silent).contains("client-1"));
    }
}

async fn converse() {
    let users = StaticCredentials { anonymous: false, users: vec![("me".into(), SECRET.into())] };
    let listener = ListenerOptions::new("server").authenticator(Arc::new(users));
    let (near, far) = tokio::io::duplex(64 * 1024);
    let client = ConnectOptions::new("amqp://localhost".parse().unwrap()).sasl(Sasl::plain("me", SECRET));
    // In this order, so that the client's connection is the first one.
    let accepting = tokio::spawn(async move { listener.accept(far).await });
    let client = client.connect_over(near).await.unwrap();
    let incoming = accepting.await.unwrap().unwrap();
    let session = client.session().await.unwrap();
    let (sender, receiver) = tokio::join!(session.sender(SenderOptions::new("q")), async {
        incoming.next_link().await.unwrap().accept_as_receiver(Target::new("q"), Credit::Auto(1)).unwrap()
    });
    let (sent, ()) =
        tokio::join!(sender.as_ref().unwrap().send(Message::data("a message for nobody else")), async {
            receiver.recv().await.unwrap().accept().unwrap();
        });
    sent.unwrap().accepted().unwrap();
    client.close().await.unwrap();
    let _ = incoming.connection().closed().await;
}
