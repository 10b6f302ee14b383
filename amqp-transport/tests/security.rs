//! Every SASL mechanism and TLS, through real connections of a client with a listener of this crate.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use amqp_codec::frame::encode_sasl_frame;
use amqp_codec::security::{SaslFrame, SaslInit};
use amqp_codec::types::Symbol;
use amqp_codec::{Bytes, BytesMut};
use amqp_transport::{
    AcceptError, Address, Authenticator, BearerRefusal, BearerToken, ClientCertificate, ConnectError,
    ConnectOptions, Connection, ConnectionError, Identity, Incoming, ListenerOptions, Mechanism, Sasl,
    SaslFault, ScramCredentials, ScramHash, StaticCredentials, TlsError, TlsOptions,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it takes too long")
}

type Ends = (Result<Connection, ConnectError>, Result<Incoming, AcceptError>);

/// Both ends of a connection over TCP.
async fn meet(
    client: impl FnOnce(ConnectOptions) -> ConnectOptions,
    listener: ListenerOptions,
    tls: bool,
) -> Ends {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    let scheme = if tls { "amqps" } else { "amqp" };
    let address: Address = format!("{scheme}://localhost:{port}").parse().unwrap();
    within(async {
        tokio::join!(client(ConnectOptions::new(address)).connect(), async {
            let (stream, _) = socket.accept().await.unwrap();
            listener.accept(stream).await
        })
    })
    .await
}

/// A client with this choice against a listener with these rules.
async fn log_in(sasl: Sasl, rules: impl Authenticator + 'static) -> Ends {
    meet(|client| client.sasl(sasl), ListenerOptions::new("server").authenticator(Arc::new(rules)), false)
        .await
}

fn user(ends: Ends) -> String {
    ends.0.unwrap();
    match ends.1.unwrap().identity() {
        Identity::User(user) => user.clone(),
        other => panic!("{other:?}"),
    }
}

fn fault(ends: Ends) -> SaslFault {
    match ends.0.unwrap_err() {
        ConnectError::Connection(ConnectionError::SaslExchange(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

fn assert_refused(ends: Ends) {
    let error = ends.0.unwrap_err();
    assert!(matches!(error, ConnectError::Connection(ConnectionError::Sasl { .. })), "{error:?}");
    assert!(!error.is_retryable());
    let error = ends.1.unwrap_err();
    assert!(matches!(error, AcceptError::Connection(ConnectionError::Sasl { .. })), "{error:?}");
}

/// Offers one mechanism, and knows `guest` with `secret`.
struct Only(Mechanism);

impl Authenticator for Only {
    fn anonymous(&self) -> bool {
        self.0 == Mechanism::Anonymous
    }

    fn plain(&self, _authzid: &str, user: &str, password: &str) -> bool {
        (user, password) == ("guest", "secret")
    }

    fn mechanisms(&self) -> Vec<Mechanism> {
        vec![self.0]
    }

    fn scram(&self, user: &str, hash: ScramHash, _salt: &[u8]) -> Option<ScramCredentials> {
        (user == "guest").then(|| ScramCredentials::derive(hash, "secret", b"0123456789abcdef", 4096))
    }

    fn external(&self, certificate: &ClientCertificate) -> Option<String> {
        certificate.common_name()
    }

    fn bearer(&self, token: BearerToken<'_>) -> Result<String, BearerRefusal> {
        match token.token() {
            "good" => Ok(token.user().unwrap_or("nobody").to_owned()),
            _ => Err(BearerRefusal::new("invalid_token").openid_configuration("https://id.example/")),
        }
    }
}

fn guests() -> StaticCredentials {
    StaticCredentials { anonymous: true, users: vec![("guest".into(), "secret".into())] }
}

#[tokio::test]
async fn plain_gets_in_with_the_right_password_only() {
    assert_eq!(user(log_in(Sasl::plain("guest", "secret"), guests()).await), "guest");
    assert_refused(log_in(Sasl::plain("guest", "guess"), guests()).await);
    assert_refused(log_in(Sasl::plain("ghost", "secret"), guests()).await);
}

#[tokio::test]
async fn anonymous_gets_in_only_where_it_is_allowed() {
    let (client, incoming) = log_in(Sasl::Anonymous, guests()).await;
    client.unwrap();
    assert_eq!(incoming.unwrap().identity(), &Identity::Anonymous);
    let ends = log_in(Sasl::Anonymous, StaticCredentials { anonymous: false, ..guests() }).await;
    let error = ends.0.unwrap_err();
    let none_in_common = ConnectError::Connection(ConnectionError::Sasl {
        code: None,
        offered: ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"].map(|name| name.try_into().unwrap()).into(),
    });
    assert_eq!(error.to_string(), none_in_common.to_string());
}

#[tokio::test]
async fn scram_gets_in_with_the_right_password_only() {
    for hash in [ScramHash::Sha1, ScramHash::Sha256, ScramHash::Sha512] {
        let sasl = |user: &str, password: &str| Sasl::Scram {
            hash,
            user: user.to_owned(),
            password: password.to_owned(),
        };
        let only = || Only(Mechanism::Scram(hash));
        assert_eq!(user(log_in(sasl("guest", "secret"), only()).await), "guest");
        assert_refused(log_in(sasl("guest", "guess"), only()).await);
        assert_refused(log_in(sasl("ghost", "secret"), only()).await);
    }
    // A fixed list of users serves the stronger ones.
    assert_eq!(user(log_in(Sasl::scram("guest", "secret"), guests()).await), "guest");
    assert_refused(log_in(Sasl::scram("guest", "guess"), guests()).await);
    assert_refused(log_in(Sasl::scram("ghost", ""), guests()).await);
}

#[tokio::test]
async fn a_scram_client_recognises_a_listener_that_does_not_know_the_password() {
    /// Knows enough to let the client in, but not what proves the listener.
    struct Impostor;
    impl Authenticator for Impostor {
        fn anonymous(&self) -> bool {
            false
        }
        fn plain(&self, _authzid: &str, _user: &str, _password: &str) -> bool {
            false
        }
        fn mechanisms(&self) -> Vec<Mechanism> {
            vec![Mechanism::Scram(ScramHash::Sha256)]
        }
        fn scram(&self, _user: &str, hash: ScramHash, salt: &[u8]) -> Option<ScramCredentials> {
            let right = ScramCredentials::derive(hash, "secret", salt, 4096);
            Some(ScramCredentials::from_keys(hash, salt, 4096, right.stored_key(), &[0; 32]))
        }
    }
    assert_eq!(fault(log_in(Sasl::scram("guest", "secret"), Impostor).await), SaslFault::PeerNotProven);
}

#[tokio::test]
async fn a_scram_client_recognises_a_nonce_that_was_changed_on_the_way() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (near, client_end) = tokio::io::duplex(4096);
    let (listener_end, far) = tokio::io::duplex(4096);
    let (mut from_client, mut to_client) = tokio::io::split(client_end);
    let (mut from_listener, mut to_listener) = tokio::io::split(listener_end);
    let changed = async {
        let mut octets = vec![0; 4096];
        loop {
            let read = from_listener.read(&mut octets).await.unwrap();
            if read == 0 {
                return;
            }
            let found = octets[..read].windows(2).position(|window| window == b"r=");
            if let Some(nonce) = found.and_then(|at| octets.get_mut(at + 2)) {
                *nonce = if *nonce == b'x' { b'y' } else { b'x' };
            }
            if to_client.write_all(&octets[..read]).await.is_err() {
                return;
            }
        }
    };
    let listener = ListenerOptions::new("server").authenticator(Arc::new(guests()));
    let client =
        ConnectOptions::new("amqp://localhost".parse().unwrap()).sasl(Sasl::scram("guest", "secret"));
    let end = within(async {
        let others = async {
            tokio::join!(changed, tokio::io::copy(&mut from_client, &mut to_listener), listener.accept(far))
        };
        tokio::select! {
            biased;
            end = client.connect_over(near) => end,
            _ = others => panic!("the client does not say how it ended"),
        }
    })
    .await;
    let error = end.unwrap_err();
    assert!(
        matches!(error, ConnectError::Connection(ConnectionError::SaslExchange(SaslFault::Nonce))),
        "{error:?}"
    );
}

#[tokio::test]
async fn two_exchanges_of_one_user_have_nothing_in_common_but_the_salt() {
    /// The challenge of a listener.
    async fn challenge(listener: &ListenerOptions) -> Vec<String> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut near, far) = tokio::io::duplex(4096);
        let mut octets = Vec::new();
        let talk = async {
            near.write_all(b"AMQP\x03\x01\x00\x00").await.unwrap();
            let mut init = SaslInit::new(Symbol::from_static("SCRAM-SHA-256"));
            init.initial_response = Some(Bytes::from_static(b"n,,n=ghost,r=abcdef").into());
            let mut frame = BytesMut::new();
            encode_sasl_frame(&mut frame, &SaslFrame::Init(init));
            near.write_all(&frame).await.unwrap();
            while !octets.windows(3).any(|window| window == b",i=") {
                assert_ne!(near.read_buf(&mut octets).await.unwrap(), 0, "{octets:?}");
            }
            drop(near);
        };
        let (_, ()) = within(async { tokio::join!(listener.accept(far), talk) }).await;
        let text = String::from_utf8_lossy(&octets).into_owned();
        text.split_once("r=abcdef").unwrap().1.split(',').map(str::to_owned).collect()
    }
    let listener = ListenerOptions::new("server").authenticator(Arc::new(guests()));
    let (first, second) = (challenge(&listener).await, challenge(&listener.clone()).await);
    assert_ne!(first[0], second[0], "the nonce");
    assert!(first[0].len() >= 24);
    assert_eq!(first[1], second[1], "the salt");
    let elsewhere = challenge(&ListenerOptions::new("server").authenticator(Arc::new(guests()))).await;
    assert_ne!(first[1], elsewhere[1], "another listener has another secret");
    let kept = |secret| ListenerOptions::new("server").authenticator(Arc::new(guests())).salt_secret(secret);
    assert_eq!(challenge(&kept([3; 32])).await[1], challenge(&kept([3; 32])).await[1]);
}

#[tokio::test]
async fn a_bearer_token_gets_in_or_is_refused_with_the_reason() {
    let oauth = |token: &str| Sasl::OAuthBearer { user: Some("me".into()), token: token.to_owned() };
    assert_eq!(user(log_in(oauth("good"), Only(Mechanism::OAuthBearer)).await), "me");
    let xoauth2 = |token: &str| Sasl::XOAuth2 { user: "me".into(), token: token.to_owned() };
    assert_eq!(user(log_in(xoauth2("good"), Only(Mechanism::XOAuth2)).await), "me");
    let reason = r#"{"status":"invalid_token","openid-configuration":"https://id.example/"}"#;
    for (sasl, mechanism) in
        [(oauth("stale"), Mechanism::OAuthBearer), (xoauth2("stale"), Mechanism::XOAuth2)]
    {
        assert_eq!(fault(log_in(sasl, Only(mechanism)).await), SaslFault::Refused(reason.to_owned()));
    }
    // A token that does not fit the 512 octets of the specification.
    let long = "x".repeat(3000);
    assert!(matches!(fault(log_in(oauth(&long), Only(Mechanism::OAuthBearer)).await), SaslFault::Refused(_)));
}

#[tokio::test]
async fn a_client_goes_down_to_what_it_lists_and_no_further() {
    let plain = || Only(Mechanism::Plain);
    let ends = log_in(Sasl::scram("guest", "secret"), plain()).await;
    let error = ends.0.unwrap_err();
    assert!(
        matches!(error, ConnectError::Connection(ConnectionError::Sasl { code: None, .. })),
        "the password was not shown: {error:?}"
    );
    let listed = Sasl::FirstOffered(vec![Sasl::scram("guest", "secret"), Sasl::plain("guest", "secret")]);
    assert_eq!(user(log_in(listed, plain()).await), "guest");
}

// ---- TLS ----------------------------------------------------------------------------------------------------

/// An authority, and PEM texts that it made.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    fn issue(&self, names: &[&str], common_name: &str, usage: ExtendedKeyUsagePurpose) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut parameters = CertificateParams::new(names).unwrap();
        parameters.distinguished_name.push(DnType::CommonName, common_name);
        parameters.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        (parameters.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    /// TLS of a listener with these names.
    fn listener(&self, names: &[&str]) -> TlsOptions {
        let (certificate, key) = self.issue(names, "server", ExtendedKeyUsagePurpose::ServerAuth);
        TlsOptions::new().identity_pem(certificate, key)
    }

    /// TLS of a client that trusts this authority.
    fn trusted(&self) -> TlsOptions {
        TlsOptions::new().root_ca_pem(self.pem())
    }

    /// The same, and shows a certificate with this common name.
    fn client(&self, common_name: &str) -> TlsOptions {
        let (certificate, key) = self.issue(&[], common_name, ExtendedKeyUsagePurpose::ClientAuth);
        self.trusted().identity_pem(certificate, key)
    }
}

async fn over_tls(
    client: TlsOptions,
    sasl: Sasl,
    listener: TlsOptions,
    rules: impl Authenticator + 'static,
) -> Ends {
    let listener = ListenerOptions::new("server").authenticator(Arc::new(rules)).tls(listener);
    meet(|options| options.tls(client).sasl(sasl), listener, true).await
}

/// What a client gets to see of a listener's certificate.
async fn handshake(client: TlsOptions, listener: TlsOptions) -> Result<Connection, ConnectError> {
    over_tls(client, Sasl::Anonymous, listener, guests()).await.0
}

/// Why a client cannot even set TLS up: nobody is asked for a connection.
async fn set_up(client: TlsOptions) -> TlsError {
    let address: Address = "amqps://localhost:1".parse().unwrap();
    match within(ConnectOptions::new(address).tls(client).connect()).await {
        Err(ConnectError::Tls(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn is_bad_certificate(end: &Result<Connection, ConnectError>) -> bool {
    matches!(end, Err(ConnectError::Handshake { why, .. }) if why.contains("certificate"))
}

#[tokio::test]
async fn a_certificate_of_a_trusted_authority_with_the_right_name_is_accepted() {
    let ours = Authority::new();
    handshake(ours.trusted(), ours.listener(&["localhost"])).await.unwrap();
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let end = handshake(ours.trusted(), theirs.listener(&["localhost"])).await;
    assert!(is_bad_certificate(&end), "{end:?}");
    // Nor does the system know it.
    let end = handshake(TlsOptions::new(), theirs.listener(&["localhost"])).await;
    assert!(is_bad_certificate(&end), "{end:?}");
}

/// The name of the variable that makes the test program the one whose system trusts the authority in `SSL_CERT_FILE`.
const TRUSTED_BY_THE_SYSTEM: &str = "SECURITY_TRUSTED_PORT";

#[tokio::test]
async fn what_the_system_trusts_is_trusted_without_a_word() {
    if let Ok(port) = std::env::var(TRUSTED_BY_THE_SYSTEM) {
        let address = format!("amqps://localhost:{port}");
        within(Connection::connect(&address)).await.unwrap().close().await.unwrap();
        return;
    }
    let ours = Authority::new();
    let folder = std::env::temp_dir().join(format!("amqp-security-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let trusted = folder.join("ca.pem");
    std::fs::write(&trusted, ours.pem()).unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listener =
        ListenerOptions::new("server").authenticator(Arc::new(guests())).tls(ours.listener(&["localhost"]));
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", "what_the_system_trusts_is_trusted_without_a_word"])
        .env(TRUSTED_BY_THE_SYSTEM, socket.local_addr().unwrap().port().to_string())
        .env("SSL_CERT_FILE", &trusted)
        .env_remove("SSL_CERT_DIR");
    let (run, accepted) = within(async {
        tokio::join!(child.output(), async {
            let incoming = listener.accept(socket.accept().await.unwrap().0).await.unwrap();
            incoming.connection().closed().await
        })
    })
    .await;
    std::fs::remove_dir_all(&folder).unwrap();
    let run = run.unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
    assert_eq!(accepted, ConnectionError::ClosedByPeer(None));
}

#[tokio::test]
async fn a_certificate_with_another_name_is_refused() {
    let ours = Authority::new();
    let end = handshake(ours.trusted(), ours.listener(&["elsewhere.example"])).await;
    assert!(is_bad_certificate(&end), "{end:?}");
    // Unless that is the name to be asked for.
    let named = ours.trusted().server_name("elsewhere.example");
    handshake(named, ours.listener(&["elsewhere.example"])).await.unwrap();
    let named = ours.trusted().server_name("127.0.0.1");
    handshake(named, ours.listener(&["127.0.0.1"])).await.unwrap();
    let error = set_up(ours.trusted().server_name("no name")).await;
    assert!(matches!(error, TlsError::ServerName(_)));
}

#[tokio::test]
async fn certificates_go_unchecked_only_when_told() {
    let theirs = Authority::new();
    let careless = TlsOptions::new().insecure_skip_verify(true);
    handshake(careless, theirs.listener(&["elsewhere.example"])).await.unwrap();
    let not_so = TlsOptions::new().insecure_skip_verify(true).insecure_skip_verify(false);
    let end = handshake(not_so, theirs.listener(&["localhost"])).await;
    assert!(is_bad_certificate(&end), "{end:?}");
}

#[tokio::test]
async fn the_name_is_asked_for_so_that_a_listener_can_choose_its_certificate() {
    let ours = Authority::new();
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    for (name, expected) in
        [(None, Some("localhost")), (Some("a.example"), Some("a.example")), (Some("::1"), None)]
    {
        let address: Address = format!("amqps://localhost:{port}").parse().unwrap();
        let tls = name.map_or_else(|| ours.trusted(), |name| ours.trusted().server_name(name));
        let asked = async {
            let (stream, _) = socket.accept().await.unwrap();
            let hello = tokio_rustls::LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream);
            hello.await.unwrap().client_hello().server_name().map(str::to_owned)
        };
        let (_, asked) =
            within(async { tokio::join!(ConnectOptions::new(address).tls(tls).connect(), asked) }).await;
        assert_eq!(asked.as_deref(), expected);
    }
}

#[tokio::test]
async fn external_is_the_subject_of_the_client_certificate() {
    let ours = Authority::new();
    let listener = ours.listener(&["localhost"]).client_ca_pem(ours.pem());
    let ends = over_tls(ours.client("reports"), Sasl::External, listener, Only(Mechanism::External)).await;
    let incoming = ends.1.as_ref().unwrap();
    assert_eq!(incoming.client_certificate().unwrap().common_name().as_deref(), Some("reports"));
    assert_eq!(user(ends), "reports");
}

#[tokio::test]
async fn external_is_not_offered_to_a_client_without_a_certificate() {
    struct ExternalOrPlain;
    impl Authenticator for ExternalOrPlain {
        fn anonymous(&self) -> bool {
            false
        }
        fn plain(&self, _authzid: &str, _user: &str, _password: &str) -> bool {
            false
        }
        fn mechanisms(&self) -> Vec<Mechanism> {
            vec![Mechanism::External, Mechanism::Plain]
        }
        fn external(&self, certificate: &ClientCertificate) -> Option<String> {
            certificate.common_name()
        }
    }
    let ours = Authority::new();
    let listener = || ours.listener(&["localhost"]).client_ca_pem(ours.pem());
    let ends = over_tls(ours.trusted(), Sasl::External, listener(), ExternalOrPlain).await;
    match ends.0.unwrap_err() {
        ConnectError::Connection(ConnectionError::Sasl { code: None, offered }) => {
            assert_eq!(offered.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["PLAIN"]);
        }
        other => panic!("{other:?}"),
    }
    // The same without TLS at all, where nothing is left to offer.
    let ends = log_in(Sasl::External, Only(Mechanism::External)).await;
    assert!(ends.0.is_err() && ends.1.is_err());
}

#[tokio::test]
async fn a_client_certificate_of_another_authority_is_refused() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let listener = ours.listener(&["localhost"]).client_ca_pem(ours.pem());
    let (certificate, key) = theirs.issue(&[], "reports", ExtendedKeyUsagePurpose::ClientAuth);
    let client = ours.trusted().identity_pem(certificate, key);
    let ends = over_tls(client, Sasl::Anonymous, listener, guests()).await;
    assert!(ends.0.is_err());
    assert!(matches!(ends.1, Err(AcceptError::Handshake(_))), "{:?}", ends.1);
}

#[tokio::test]
async fn a_client_certificate_is_asked_for_and_demanded_only_when_told() {
    let ours = Authority::new();
    let asked = || ours.listener(&["localhost"]).client_ca_pem(ours.pem());
    let ends = over_tls(ours.trusted(), Sasl::Anonymous, asked(), guests()).await;
    ends.0.unwrap();
    assert_eq!(ends.1.unwrap().client_certificate(), None);
    let demanded = asked().require_client_certificate(true);
    let ends = over_tls(ours.trusted(), Sasl::Anonymous, demanded.clone(), guests()).await;
    assert!(ends.0.is_err() && matches!(ends.1, Err(AcceptError::Handshake(_))));
    let ends = over_tls(ours.client("reports"), Sasl::Anonymous, demanded, guests()).await;
    ends.0.unwrap();
    // Without an authority nothing could be checked.
    let ends = over_tls(
        ours.client("reports"),
        Sasl::Anonymous,
        ours.listener(&["localhost"]).require_client_certificate(true),
        guests(),
    );
    assert!(matches!(ends.await.1, Err(AcceptError::Tls(TlsError::Setup(_)))));
}

#[tokio::test]
async fn ready_made_configurations_are_used_as_they_are() {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let ours = Authority::new();
    let (certificate, key) =
        ours.issue(&["elsewhere.example"], "server", ExtendedKeyUsagePurpose::ServerAuth);
    let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(der(&ours.pem())).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![der(&certificate)], PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
        .unwrap();
    let client = TlsOptions::new().client_config(Arc::new(client));
    let server = TlsOptions::new().server_config(Arc::new(server));
    let end = handshake(client.clone(), server.clone()).await;
    assert!(is_bad_certificate(&end), "the name is still that of the address: {end:?}");
    handshake(client.server_name("elsewhere.example"), server).await.unwrap();
}

#[tokio::test]
async fn what_is_no_pem_is_told_by_name() {
    let ours = Authority::new();
    for (tls, what) in [
        (TlsOptions::new().root_ca_pem("nothing"), "root CA"),
        (
            ours.trusted()
                .identity_pem("nothing", ours.issue(&[], "x", ExtendedKeyUsagePurpose::ClientAuth).1),
            "certificate",
        ),
        (ours.trusted().identity_pem(ours.pem(), "nothing"), "private key"),
    ] {
        match set_up(tls).await {
            TlsError::Pem { what: told, .. } => assert_eq!(told, what),
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_listener_with_tls_refuses_who_speaks_without_it() {
    let ours = Authority::new();
    let listener =
        ListenerOptions::new("server").authenticator(Arc::new(guests())).tls(ours.listener(&["localhost"]));
    let ends = meet(|client| client, listener, false).await;
    assert!(ends.0.is_err() && matches!(ends.1, Err(AcceptError::Handshake(_))));
}

#[tokio::test]
async fn connections_of_one_listener_can_resume_each_others_tls_sessions() {
    let ours = Authority::new();
    let listener =
        ListenerOptions::new("server").authenticator(Arc::new(guests())).tls(ours.listener(&["localhost"]));
    let mut roots = rustls::RootCertStore::empty();
    use rustls::pki_types::pem::PemObject;
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(ours.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let (stream, served) = within(async {
            tokio::join!(
                async {
                    let stream = TcpStream::connect(socket.local_addr().unwrap()).await.unwrap();
                    let stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
                    // The tickets come behind the handshake, with the first octets.
                    let kind = stream.get_ref().1.handshake_kind();
                    let options = ConnectOptions::new("amqps://localhost".parse().unwrap());
                    (kind, options.connect_over(stream).await.unwrap())
                },
                async { listener.accept(socket.accept().await.unwrap().0).await.unwrap() }
            )
        })
        .await;
        kinds.push(stream.0);
        drop(served);
    }
    assert_eq!(kinds, [Some(rustls::HandshakeKind::Full), Some(rustls::HandshakeKind::Resumed)]);
}
