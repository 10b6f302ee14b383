//! Where this crate meets a scripted peer: a client of ours at a hostile server, and hostile clients at a listener of ours.

use crate::says;
use crate::script::{Ear, Step, play};
use crate::{limits, within};
use amqp_codec::security::SaslCode;
use amqp_transport::{
    AcceptError, ConnectOptions, Connection, Incoming, Limits, ListenerOptions, StaticCredentials, TlsOptions,
};
use std::sync::{Arc, OnceLock};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// What is between the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Tcp,
    Tls,
    #[cfg(feature = "websocket")]
    WebSocket,
}

pub(crate) const WIRES: &[Wire] = &[
    Wire::Tcp,
    Wire::Tls,
    #[cfg(feature = "websocket")]
    Wire::WebSocket,
];

/// A certificate for `localhost` and its key, made once.
pub(crate) fn identity() -> &'static (String, String) {
    static IDENTITY: OnceLock<(String, String)> = OnceLock::new();
    IDENTITY.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    })
}

pub(crate) fn acceptor() -> TlsAcceptor {
    let (certificate, key) = identity();
    let certificates = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

fn connector() -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(identity().0.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

// ---- a client of ours

/// A hostile server that takes one connection.
pub(crate) struct Server {
    pub(crate) port: u16,
    wire: Wire,
    task: JoinHandle<Ear>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn start(wire: Wire, script: Vec<Step>) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            let (stream, _) = socket.accept().await.unwrap();
            match wire {
                Wire::Tcp => play(stream, script).await,
                Wire::Tls => play(acceptor().accept(stream).await.unwrap(), script).await,
                #[cfg(feature = "websocket")]
                Wire::WebSocket => play(crate::websocket::server(stream).await, script).await,
            }
        });
        Self { port, wire, task }
    }

    /// How a client gets there.
    pub(crate) fn options(&self, limits: Limits) -> ConnectOptions {
        let scheme = match self.wire {
            Wire::Tcp => "amqp",
            Wire::Tls => "amqps",
            #[cfg(feature = "websocket")]
            Wire::WebSocket => "ws",
        };
        let address = format!("{scheme}://localhost:{}", self.port).parse().unwrap();
        ConnectOptions::new(address).limits(limits).tls(TlsOptions::new().root_ca_pem(identity().0.clone()))
    }

    /// All that the server heard, once the client is gone.
    pub(crate) async fn heard(mut self) -> Ear {
        within(&mut self.task).await.unwrap()
    }
}

/// A server behaves until it has opened; what comes then is given.
pub(crate) fn opened(rest: impl IntoIterator<Item = Step>) -> Vec<Step> {
    let mut script = vec![
        Step::Say([says::sasl_header(), says::mechanisms()].concat()),
        Step::Hear("sasl"),
        Step::Say([says::outcome(SaslCode::Ok), says::amqp_header(), says::open()].concat()),
        Step::Hear("open"),
    ];
    script.extend(rest);
    script
}

/// A server behaves until it has answered one begin.
pub(crate) fn begun(rest: impl IntoIterator<Item = Step>) -> Vec<Step> {
    let mut script = opened([Step::Hear("begin"), Step::Say(says::begin(0, Some(0)))]);
    script.extend(rest);
    script
}

/// A client of ours at such a server.
pub(crate) async fn client(script: Vec<Step>) -> (Connection, Server) {
    client_with(limits(), script).await
}

pub(crate) async fn client_with(limits: Limits, script: Vec<Step>) -> (Connection, Server) {
    let server = Server::start(Wire::Tcp, script).await;
    let connection = within(server.options(limits).connect()).await.unwrap();
    (connection, server)
}

// ---- a listener of ours

/// Takes everybody.
pub(crate) fn listener(limits: Limits) -> ListenerOptions {
    let users = StaticCredentials { anonymous: true, users: vec![("guest".into(), "secret".into())] };
    ListenerOptions::new("listener").authenticator(Arc::new(users)).limits(limits)
}

/// A hostile client, connected to a listener of ours.
pub(crate) struct Guest {
    task: JoinHandle<Ear>,
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Guest {
    pub(crate) async fn start(wire: Wire, port: u16, script: Vec<Step>) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let task = tokio::spawn(async move {
            match wire {
                Wire::Tcp => play(stream, script).await,
                Wire::Tls => {
                    let name = "localhost".try_into().unwrap();
                    play(connector().connect(name, stream).await.unwrap(), script).await
                }
                #[cfg(feature = "websocket")]
                Wire::WebSocket => play(crate::websocket::client(stream).await, script).await,
            }
        });
        Self { task }
    }

    pub(crate) async fn heard(mut self) -> Ear {
        within(&mut self.task).await.unwrap()
    }
}

/// What a listener makes of a hostile client.
pub(crate) async fn accepted(
    wire: Wire,
    limits: Limits,
    script: Vec<Step>,
) -> (Result<Incoming, AcceptError>, Guest) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let guest = Guest::start(wire, socket.local_addr().unwrap().port(), script).await;
    let (stream, _) = socket.accept().await.unwrap();
    let options = listener(limits);
    let accepted = match wire {
        Wire::Tcp => within(options.accept(stream)).await,
        Wire::Tls => {
            let (certificate, key) = identity();
            let tls = TlsOptions::new().identity_pem(certificate.clone(), key.clone());
            within(options.tls(tls).accept(stream)).await
        }
        #[cfg(feature = "websocket")]
        Wire::WebSocket => within(options.accept_websocket(stream)).await,
    };
    (accepted, guest)
}

/// A hostile client behaves until it has opened; what comes then is given.
pub(crate) fn entered(rest: impl IntoIterator<Item = Step>) -> Vec<Step> {
    let mut script = vec![
        Step::Say(says::sasl_header()),
        Step::Hear("sasl"),
        Step::Say(says::init("ANONYMOUS")),
        Step::Hear("sasl"),
        Step::Say([says::amqp_header(), says::open()].concat()),
        Step::Hear("open"),
    ];
    script.extend(rest);
    script
}

/// A listener's end of a connection with such a client.
pub(crate) async fn incoming(limits: Limits, script: Vec<Step>) -> (Incoming, Guest) {
    let (incoming, guest) = accepted(Wire::Tcp, limits, script).await;
    (incoming.unwrap(), guest)
}
