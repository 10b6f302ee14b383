//! The transport and the security layers of other projects understand each other: Qpid Proton as client of our listener,
//! Cyrus SASL as either end of SCRAM.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use amqp_transport::{
    Address, Authenticator, BearerRefusal, BearerToken, ClientCertificate, ConnectError, ConnectOptions,
    ConnectionError, Identity, ListenerOptions, Mechanism, Sasl, ScramCredentials, ScramHash, TlsOptions,
};
use serde_json::{Value, json};
use tests::{fixtures, within};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::mpsc;

const MINUTE: Duration = Duration::from_secs(60);

/// Offers one mechanism, and knows `tester` with `pa$s,w=rd`, or the token `good-token`.
struct Only(Mechanism);

impl Authenticator for Only {
    fn anonymous(&self) -> bool {
        self.0 == Mechanism::Anonymous
    }

    fn plain(&self, _authzid: &str, user: &str, password: &str) -> bool {
        (user, password) == ("tester", "pa$s,w=rd")
    }

    fn mechanisms(&self) -> Vec<Mechanism> {
        vec![self.0]
    }

    fn scram(&self, user: &str, hash: ScramHash, salt: &[u8]) -> Option<ScramCredentials> {
        (user == "tester").then(|| ScramCredentials::derive(hash, "pa$s,w=rd", salt, 10_000))
    }

    fn scram_iterations(&self) -> u32 {
        10_000
    }

    fn external(&self, certificate: &ClientCertificate) -> Option<String> {
        certificate.common_name()
    }

    fn bearer(&self, token: BearerToken<'_>) -> Result<String, BearerRefusal> {
        match token.token() {
            "good-token" => Ok(token.user().unwrap_or_default().to_owned()),
            _ => Err(BearerRefusal::new("invalid_token")),
        }
    }
}

/// A listener that takes one connection after the other and tells who came.
struct Door {
    port: u16,
    came: mpsc::UnboundedReceiver<Option<Identity>>,
}

impl Door {
    async fn open(mechanism: Mechanism, tls: Option<TlsOptions>) -> Self {
        let mut options = ListenerOptions::new("door").authenticator(Arc::new(Only(mechanism)));
        if let Some(tls) = tls {
            options = options.tls(tls);
        }
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let (tell, came) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = socket.accept().await {
                let incoming = options.accept(stream).await;
                let _ = tell.send(incoming.as_ref().ok().map(|incoming| incoming.identity().clone()));
                if let Ok(incoming) = incoming {
                    incoming.connection().closed().await;
                }
            }
        });
        Self { port, came }
    }

    /// Who came, or nobody if the first one was sent away.
    async fn came(&mut self) -> Option<Identity> {
        within(MINUTE, self.came.recv()).await.unwrap()
    }
}

/// Runs a client to its end: whether it got in, and the JSON object that it printed.
async fn run(program: &str, script: &Path, arguments: &[&str]) -> (bool, Value) {
    let run =
        Command::new(program).arg(script).args(arguments).stdin(Stdio::null()).kill_on_drop(true).output();
    let output =
        within(MINUTE, run).await.unwrap_or_else(|error| panic!("{program} (see tests/run): {error}"));
    let error = String::from_utf8_lossy(&output.stderr);
    let printed = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{} {arguments:?} printed no JSON; stderr: {error}", script.display()));
    (output.status.success(), printed)
}

async fn proton(url: &str, mechanism: Mechanism, files: &[&str]) -> (bool, Value) {
    let script = fixtures().join("proton/login.py");
    run("/usr/bin/python3", &script, &[&[url, mechanism.name()], files].concat()).await
}

fn user(name: &str) -> Option<Identity> {
    Some(Identity::User(name.to_owned()))
}

#[tokio::test]
async fn proton_is_let_in_with_the_right_password_and_no_other() {
    let mut door = Door::open(Mechanism::Plain, None).await;
    let address = |login: &str| format!("amqp://{login}@127.0.0.1:{}", door.port);
    let (right, wrong) =
        (address("tester:pa%24s%2Cw%3Drd"), ["tester:guess", "stranger:pa%24s%2Cw%3Drd"].map(address));
    let (opened, printed) = proton(&right, Mechanism::Plain, &[]).await;
    assert!(opened, "{printed}");
    assert_eq!(door.came().await, user("tester"));
    for wrong in wrong {
        let (opened, printed) = proton(&wrong, Mechanism::Plain, &[]).await;
        assert!(!opened, "{wrong}");
        assert!(printed["error"].as_str().unwrap().contains("unauthorized"), "{printed}");
        assert_eq!(door.came().await, None);
    }
}

const HASHES: [ScramHash; 3] = [ScramHash::Sha1, ScramHash::Sha256, ScramHash::Sha512];

#[tokio::test]
async fn cyrus_sasl_as_client_and_our_listener_prove_themselves_to_each_other() {
    let script = fixtures().join("cyrus/peer.py");
    for hash in HASHES {
        let door = Door::open(Mechanism::Scram(hash), None).await;
        let port = door.port.to_string();
        for (user, password, code) in
            [("tester", "pa$s,w=rd", 0), ("tester", "guess", 1), ("stranger", "pa$s,w=rd", 1)]
        {
            let arguments = ["client", &port, hash.mechanism_name(), user, password];
            let (ended, printed) = run("/usr/bin/python3", &script, &arguments).await;
            assert!(ended, "{printed} (SCRAM needs libsasl2-modules, see tests/run)");
            assert_eq!(printed, json!({"code": code, "proven": code == 0}), "{arguments:?}");
        }
    }
}

#[tokio::test]
async fn our_client_and_cyrus_sasl_as_server_prove_themselves_to_each_other() {
    for (hash, where_the_proof_is) in
        HASHES.into_iter().flat_map(|hash| [(hash, "outcome"), (hash, "challenge")])
    {
        for (password, code) in [("pa$s,w=rd", 0), ("guess", 1)] {
            let mut server = Command::new("/usr/bin/python3")
                .arg(fixtures().join("cyrus/peer.py"))
                .args(["server", hash.mechanism_name(), "tester", "pa$s,w=rd", where_the_proof_is])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
            let port = within(MINUTE, lines.next_line()).await.unwrap().expect("a port (see tests/run)");
            let address: Address = format!("amqp://127.0.0.1:{port}").parse().unwrap();
            let sasl = Sasl::Scram { hash, user: "tester".into(), password: password.into() };
            let error = within(MINUTE, ConnectOptions::new(address).sasl(sasl).connect()).await.unwrap_err();
            let printed = within(MINUTE, lines.next_line()).await.unwrap().expect("the code");
            let printed: Value = serde_json::from_str(&printed).unwrap();
            assert_eq!(printed, json!({"code": code}), "{hash:?} {where_the_proof_is}");
            match error {
                // It knows nothing of AMQP behind the header.
                ConnectError::Connection(ConnectionError::Lost(why)) if code == 0 => {
                    assert!(why.contains("after authentication"), "{why}");
                }
                ConnectError::Connection(ConnectionError::Sasl { .. }) if code == 1 => {}
                other => panic!("{hash:?} {where_the_proof_is} {code}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn proton_is_let_in_as_anonymous() {
    let mut door = Door::open(Mechanism::Anonymous, None).await;
    let (opened, printed) =
        proton(&format!("amqp://127.0.0.1:{}", door.port), Mechanism::Anonymous, &[]).await;
    assert!(opened, "{printed}");
    assert_eq!(door.came().await, Some(Identity::Anonymous));
}

/// PEM files made with openssl: an authority, a server for `localhost`, a client called `reports`.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = Self(folder);
        let openssl = |arguments: &str| {
            let run = std::process::Command::new("openssl")
                .args(arguments.split_whitespace())
                .current_dir(files.0.path())
                .output()
                .expect("openssl (see tests/run)");
            assert!(run.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&run.stderr));
        };
        std::fs::write(files.0.path().join("server.ext"), "subjectAltName=DNS:localhost").unwrap();
        std::fs::write(files.0.path().join("client.ext"), "extendedKeyUsage=clientAuth").unwrap();
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        openssl(&format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority"));
        for (name, subject) in [("server", "localhost"), ("client", "reports")] {
            openssl(&format!("req {key} -keyout {name}.key -out {name}.csr -subj /O=Example/CN={subject}"));
            openssl(&format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile {name}.ext -out {name}.pem"
            ));
        }
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }
}

#[tokio::test]
async fn proton_is_let_in_as_the_subject_of_its_certificate() {
    let files = Files::new();
    let tls = TlsOptions::new()
        .identity_pem(files.text("server.pem"), files.text("server.key"))
        .client_ca_pem(files.text("ca.pem"));
    let mut door = Door::open(Mechanism::External, Some(tls)).await;
    let url = format!("amqps://localhost:{}", door.port);
    let [ca, certificate, key] =
        ["ca.pem", "client.pem", "client.key"].map(|name| files.path(name).display().to_string());
    let (opened, printed) = proton(&url, Mechanism::External, &[&ca, &certificate, &key]).await;
    assert!(opened, "{printed}");
    assert_eq!(door.came().await, user("reports"));
    let (opened, printed) = proton(&url, Mechanism::External, &[&ca]).await;
    assert!(!opened, "without a certificate: {printed}");
    assert_eq!(door.came().await, None);
}
