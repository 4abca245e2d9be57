//! TLS 1.3 by the cluster's authority, and nothing older: what a server shows, and whom it believes.
//!
//! Servers show certificates to each other, people show none. Resumption is off, so that every connection proves itself anew.

use std::{net::IpAddr, sync::Arc};

use cluster::trust::{Authority, Trust};
use model::access::Fingerprint;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
    server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier},
    time_provider::TimeProvider,
    version::TLS13,
};

use super::{
    authority::{ANY_SERVER, certify, digest, public_key},
    identity::Identity,
};

/// Between servers.
pub(crate) const LINK: &[u8] = b"standin-link/1";
/// Between servers, for the configuration.
pub(crate) const DOCUMENT: &[u8] = b"standin-document/1";
/// And of a stream about the log.
pub(crate) const LOG: &[u8] = b"standin-log/1";
/// For people.
pub(crate) const HTTP: &[u8] = b"http/1.1";

/// What a server needs for its connections.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    /// For whoever connects.
    pub server: Arc<ServerConfig>,
    /// For links to other servers.
    pub link: Arc<ClientConfig>,
    /// For document streams to other servers.
    pub document: Arc<ClientConfig>,
    /// For log streams to other servers.
    pub log: Arc<ClientConfig>,
    /// For requests to other servers.
    pub request: Arc<ClientConfig>,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// The trust store has no authority.
    #[error("the cluster has no authority")]
    NoAuthority,
    /// A certificate or key.
    #[error(transparent)]
    Certificate(#[from] super::authority::CertificateError),
    /// TLS itself.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] Error),
    /// Whom to believe.
    #[error("TLS cannot be set up: {0}")]
    Verifier(#[from] rustls::client::VerifierBuilderError),
}

/// The wall clock, and never earlier than what this machine knows to have been: a machine whose clock begins in 1970 still
/// believes certificates that were made before it stopped.
#[derive(Debug)]
struct Clock {
    floor: u64,
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let now = host::clock::wall_seconds().max(self.floor);
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(now)))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn certificate(authority: &Authority) -> CertificateDer<'static> {
    CertificateDer::from(authority.certificate.expose().to_vec())
}

fn roots(trust: &Trust) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for (_, authority) in trust.authorities() {
        roots.add(certificate(authority))?;
    }
    Ok(Arc::new(roots))
}

impl Tls {
    /// For this server as it is known now, with a new certificate.
    ///
    /// # Errors
    /// Where there is no authority, or something does not fit.
    pub(crate) fn new(trust: &Trust, identity: &Identity, address: Option<IpAddr>) -> Result<Self, TlsError> {
        let authority = trust.authority().ok_or(TlsError::NoAuthority)?;
        let now = host::clock::wall_seconds();
        let leaf = certify(authority, &public_key(&identity.key)?, &identity.name, address, now)?;
        let mut chain = vec![leaf, certificate(authority)];
        if let Some(last) = &authority.last {
            let ders = [&last.certifies, &last.certificate];
            chain.extend(ders.map(|der| CertificateDer::from(der.expose().to_vec())));
        }
        let key = || PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.expose().to_vec()));
        let (clock, roots) = (Arc::new(Clock { floor: authority.founded }), roots(trust)?);
        let members = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider());
        let mut server = ServerConfig::builder_with_details(provider(), clock.clone())
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(members.allow_unauthenticated().build()?)
            .with_single_cert(chain.clone(), key())?;
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        server.alpn_protocols = [LINK, DOCUMENT, LOG, HTTP].map(<[u8]>::to_vec).into();
        let client = |protocol: &[u8]| -> Result<Arc<ClientConfig>, TlsError> {
            let mut client = ClientConfig::builder_with_details(provider(), clock.clone())
                .with_protocol_versions(&[&TLS13])?
                .with_root_certificates(roots.clone())
                .with_client_auth_cert(chain.clone(), key())?;
            client.resumption = Resumption::disabled();
            client.alpn_protocols = vec![protocol.to_vec()];
            Ok(Arc::new(client))
        };
        Ok(Self {
            server: Arc::new(server),
            link: client(LINK)?,
            document: client(DOCUMENT)?,
            log: client(LOG)?,
            request: client(HTTP)?,
        })
    }
}

/// The name by which every server is checked.
pub(crate) fn any_server() -> ServerName<'static> {
    ServerName::try_from(ANY_SERVER).expect("a constant that is a DNS name")
}

/// The digest of the key in a certificate that was shown; none where nothing was shown.
pub(crate) fn shown_key(chain: Option<&[CertificateDer<'_>]>) -> Option<Fingerprint> {
    let parsed = ParsedCertificate::try_from(chain?.first()?).ok()?;
    Some(digest(&parsed.subject_public_key_info()))
}

/// For people and newcomers, who know fingerprints of authorities and show no certificate.
///
/// # Errors
/// Where TLS cannot be set up.
pub(crate) fn pinned(known: Vec<Fingerprint>) -> Result<ClientConfig, TlsError> {
    let algorithms = provider().signature_verification_algorithms;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned { known, algorithms }))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![HTTP.to_vec()];
    Ok(config)
}

/// Believes a chain in which there is an authority that is known by its fingerprint: the rest is checked as ever, with that
/// authority as the root.
#[derive(Debug)]
struct Pinned {
    known: Vec<Fingerprint>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let root = intermediates.iter().find(|certificate| self.known.contains(&digest(certificate)));
        let root = root.ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(root.clone().into_owned())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|error| Error::General(error.to_string()))?;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The fingerprints of all authorities, for who connects.
pub(crate) fn fingerprints(trust: &Trust) -> Vec<Fingerprint> {
    trust.authorities().map(|(_, authority)| digest(authority.certificate.expose())).collect()
}
