//! TLS by rustls: roots of the system or a CA of one's own, client certificates, name checks.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use rustls_platform_verifier::BuilderVerifierExt;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// How a connection is protected by TLS 1.2 or 1.3. The default trusts what the system trusts and checks the name
/// of the peer.
///
/// ```no_run
/// # fn main() -> Result<(), std::io::Error> {
/// use amqp_transport::TlsOptions;
/// use std::fs::read;
///
/// // A client that trusts one authority, and shows who it is.
/// let client = TlsOptions::new()
///     .root_ca_pem(read("ca.pem")?)
///     .identity_pem(read("reports.pem")?, read("reports.key")?);
/// // A listener that wants to know who its clients are.
/// let listener = TlsOptions::new()
///     .identity_pem(read("server.pem")?, read("server.key")?)
///     .client_ca_pem(read("ca.pem")?)
///     .require_client_certificate(true);
/// # let _ = (client, listener);
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
pub struct TlsOptions {
    root_ca: Option<Vec<u8>>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
    insecure_skip_verify: bool,
    server_name: Option<String>,
    client_ca: Option<Vec<u8>>,
    require_client_certificate: bool,
    client_config: Option<Arc<ClientConfig>>,
    server_config: Option<Arc<ServerConfig>>,
}

/// Why TLS could not be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A PEM text holds nothing usable.
    #[error("the {what} holds no usable PEM block: {why}")]
    Pem {
        /// Which one: CA, certificate or key.
        what: &'static str,
        /// What the reader found.
        why: String,
    },
    /// The parts do not fit together, or the roots of the system cannot be read.
    #[error("{0}")]
    Setup(String),
    /// The host is no name that a certificate could be checked against.
    #[error("{0:?} is no host name that a certificate can be checked against")]
    ServerName(String),
}

impl TlsOptions {
    /// Trusts what the system trusts.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts only the certificates in this PEM text, in place of the system's.
    #[must_use]
    pub fn root_ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_ca = Some(pem.into());
        self
    }

    /// Shows this certificate chain (PEM) with its private key (PEM) to the peer.
    #[must_use]
    pub fn identity_pem(mut self, certificates: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.identity = Some((certificates.into(), key.into()));
        self
    }

    /// Takes any certificate, whoever shows it: anybody on the way can read and change everything.
    #[must_use]
    pub const fn insecure_skip_verify(mut self, skip: bool) -> Self {
        self.insecure_skip_verify = skip;
        self
    }

    /// The name to ask for (SNI) and to check, in place of the host connected to: a host name, or an IP address, which is
    /// checked but not asked for.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// For a listener: asks clients for a certificate and takes only those that one of these authorities (PEM) made. A
    /// client that shows none still gets in, unless [`Self::require_client_certificate`] says otherwise.
    #[must_use]
    pub fn client_ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.client_ca = Some(pem.into());
        self
    }

    /// For a listener: takes no client without a certificate. Needs [`Self::client_ca_pem`].
    #[must_use]
    pub const fn require_client_certificate(mut self, require: bool) -> Self {
        self.require_client_certificate = require;
        self
    }

    /// For a client: a configuration of one's own, for what is not provided here. Nothing else set here has a meaning
    /// then, but for [`Self::server_name`].
    #[must_use]
    pub fn client_config(mut self, config: Arc<ClientConfig>) -> Self {
        self.client_config = Some(config);
        self
    }

    /// For a listener: a configuration of one's own, for what is not provided here. Nothing else set here has a meaning
    /// then.
    #[must_use]
    pub fn server_config(mut self, config: Arc<ServerConfig>) -> Self {
        self.server_config = Some(config);
        self
    }

    fn identity(&self) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>, TlsError> {
        let Some((certificates, key)) = &self.identity else { return Ok(None) };
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| TlsError::Pem { what: "private key", why: error.to_string() })?;
        Ok(Some((certificates_of(certificates, "certificate")?, key)))
    }

    /// What a client needs to connect to a host.
    pub(crate) fn client(&self, host: &str) -> Result<(Arc<ClientConfig>, ServerName<'static>), TlsError> {
        let name = self.server_name.as_deref().unwrap_or(host);
        let name =
            ServerName::try_from(name.to_owned()).map_err(|_| TlsError::ServerName(name.to_owned()))?;
        let config = match &self.client_config {
            Some(config) => Arc::clone(config),
            None => Arc::new(self.new_client_config(host)?),
        };
        Ok((config, name))
    }

    fn new_client_config(&self, host: &str) -> Result<ClientConfig, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(setup)?;
        let builder = if self.insecure_skip_verify {
            tracing::warn!(host, "TLS certificates are not checked (insecure_skip_verify)");
            builder.dangerous().with_custom_certificate_verifier(Arc::new(TakesAnyone::new(&provider)))
        } else if let Some(pem) = &self.root_ca {
            builder.with_root_certificates(authorities(pem, "root CA")?)
        } else {
            builder.with_platform_verifier().map_err(setup)?
        };
        match self.identity()? {
            Some((certificates, key)) => builder.with_client_auth_cert(certificates, key).map_err(setup),
            None => Ok(builder.with_no_client_auth()),
        }
    }

    /// What a listener needs.
    fn server(&self) -> Result<Arc<ServerConfig>, TlsError> {
        if let Some(config) = &self.server_config {
            return Ok(Arc::clone(config));
        }
        let Some((certificates, key)) = self.identity()? else {
            return Err(TlsError::Setup("a listener needs a certificate and its key".to_owned()));
        };
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(setup)?;
        let builder = match (&self.client_ca, self.require_client_certificate) {
            (Some(pem), is_required) => {
                let authorities = Arc::new(authorities(pem, "client CA")?);
                let verifier = WebPkiClientVerifier::builder_with_provider(authorities, provider);
                let verifier = if is_required { verifier } else { verifier.allow_unauthenticated() };
                let verifier = verifier.build().map_err(|error| TlsError::Setup(error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
            (None, false) => builder.with_no_client_auth(),
            (None, true) => {
                let text = "client certificates are required, but there is no client CA to check them with";
                return Err(TlsError::Setup(text.to_owned()));
            }
        };
        builder.with_single_cert(certificates, key).map(Arc::new).map_err(setup)
    }
}

/// TLS of a listener, set up when it is first needed and then shared by all its connections, which can resume each
/// other's sessions that way.
#[derive(Debug, Clone)]
pub(crate) struct ServerTls {
    options: TlsOptions,
    config: Arc<OnceLock<Arc<ServerConfig>>>,
}

impl ServerTls {
    pub(crate) fn new(options: TlsOptions) -> Self {
        Self { options, config: Arc::default() }
    }

    pub(crate) fn config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        if let Some(config) = self.config.get() {
            return Ok(Arc::clone(config));
        }
        let config = self.options.server()?;
        Ok(Arc::clone(self.config.get_or_init(|| config)))
    }
}

impl fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsOptions")
            .field("root_ca", &self.root_ca.is_some())
            .field("identity", &self.identity.is_some())
            .field("insecure_skip_verify", &self.insecure_skip_verify)
            .field("server_name", &self.server_name)
            .field("client_ca", &self.client_ca.is_some())
            .field("require_client_certificate", &self.require_client_certificate)
            .finish_non_exhaustive()
    }
}

fn setup(error: rustls::Error) -> TlsError {
    TlsError::Setup(error.to_string())
}

fn certificates_of(pem: &[u8], what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TlsError::Pem { what, why: error.to_string() })?;
    if certificates.is_empty() {
        return Err(TlsError::Pem { what, why: "there is no certificate in it".to_owned() });
    }
    Ok(certificates)
}

fn authorities(pem: &[u8], what: &'static str) -> Result<RootCertStore, TlsError> {
    let mut authorities = RootCertStore::empty();
    for certificate in certificates_of(pem, what)? {
        authorities.add(certificate).map_err(setup)?;
    }
    Ok(authorities)
}

/// Checks signatures, so that the handshake is sound, but not who made the certificate.
#[derive(Debug)]
struct TakesAnyone {
    algorithms: WebPkiSupportedAlgorithms,
}

impl TakesAnyone {
    const fn new(provider: &CryptoProvider) -> Self {
        Self { algorithms: provider.signature_verification_algorithms }
    }
}

impl ServerCertVerifier for TakesAnyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
