//! TLS of a probe: the handshake, who is trusted, and what is said against the certificate.
//!
//! Nothing is resumed and nothing remembered, so that each probe sees the certificate that new clients see. Who is trusted
//! is read again when the file has changed.

use std::{
    collections::BTreeMap,
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use model::config::probe::Tls;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        self, AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    },
};

use super::{
    attempt::{Failed, Warning, reason},
    der,
    wire::Duplex,
};
use crate::clock;

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));

/// Where systems keep whom they trust.
const SYSTEM: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

const DAY: i64 = 86_400;

/// Makes TLS of a stream.
pub(super) async fn handshake(
    stream: Box<dyn Duplex>,
    tls: &Tls,
    peer: IpAddr,
    alpn: &[&[u8]],
) -> Result<(TlsStream<Box<dyn Duplex>>, Option<Warning>), Failed> {
    let mut config = match tls.verify {
        true => {
            let file = tls.ca_file.clone();
            let roots = tokio::task::spawn_blocking(move || trusted(file.as_deref())).await;
            builder()?
                .with_root_certificates(roots.map_err(io::Error::other)?.map_err(Failed::said)?)
                .with_no_client_auth()
        }
        false => {
            let anyone = Arc::new(Anyone(PROVIDER.clone()));
            builder()?.dangerous().with_custom_certificate_verifier(anyone).with_no_client_auth()
        }
    };
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    config.resumption = rustls::client::Resumption::disabled();
    config.enable_sni = tls.server_name.is_some();
    let name = match tls.server_name.as_deref() {
        Some(name) => ServerName::try_from(name.to_owned()).map_err(|_| Failed::said(format!("{name} is no name")))?,
        None => ServerName::from(peer),
    };
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| plain(&error))?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let warning = certificate.and_then(|certificate| expiry(certificate, tls.expiry_warning_days));
    Ok((stream, warning))
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, Failed> {
    let builder = ClientConfig::builder_with_provider(PROVIDER.clone());
    builder.with_safe_default_protocol_versions().map_err(|error| Failed::said(error.to_string()))
}

/// What is to be said of a certificate's end, if it is near, or past where nobody verified.
fn expiry(certificate: &CertificateDer<'_>, days: u16) -> Option<Warning> {
    let left = der::not_after(certificate)? - now();
    match left {
        ..0 => Some(format!("certificate expired {} ago", span(-left))),
        _ if left < i64::from(days) * DAY => Some(format!("certificate expires in {}", span(left))),
        _ => None,
    }
}

fn now() -> i64 {
    let since = clock::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// As people say it.
fn span(seconds: i64) -> String {
    let (number, unit) = match seconds {
        DAY.. => (seconds / DAY, "day"),
        3600.. => (seconds / 3600, "hour"),
        _ => (seconds / 60, "minute"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

type Trusted = BTreeMap<PathBuf, (SystemTime, Arc<RootCertStore>)>;

/// Whom a file says to trust, or where there is none, whom the system does. Read once, until it changes: few files, few kinds of
/// monitors. It reads files, so it belongs on a thread that may wait.
///
/// # Errors
/// In words: the file cannot be read, or holds no certificate.
pub fn trusted(file: Option<&Path>) -> Result<Arc<RootCertStore>, String> {
    static READ: LazyLock<Mutex<Trusted>> = LazyLock::new(Mutex::default);
    let system = || SYSTEM.iter().map(Path::new).find(|path| path.exists());
    let path = file.or_else(system).ok_or("this machine has no list of whom it trusts: install ca-certificates")?;
    let unreadable = |error: io::Error| format!("{} cannot be read: {}", path.display(), reason(&error));
    let changed = fs::metadata(path).and_then(|found| found.modified()).map_err(unreadable)?;
    if let Some((then, roots)) = READ.lock().unwrap_or_else(PoisonError::into_inner).get(path)
        && *then == changed
    {
        return Ok(roots.clone());
    }
    let text = fs::read(path).map_err(unreadable)?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&text).filter_map(Result::ok));
    if roots.is_empty() {
        return Err(format!("{} has no certificate in PEM form", path.display()));
    }
    let roots = Arc::new(roots);
    READ.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), (changed, roots.clone()));
    Ok(roots)
}

/// TLS's errors in plain words.
fn plain(error: &io::Error) -> Failed {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(fault)) => Failed::lost(certificate(fault)),
        Some(rustls::Error::AlertReceived(alert)) => Failed::lost(format!("TLS refused: {}", alerted(*alert))),
        Some(rustls::Error::InvalidMessage(_)) => Failed::lost("the answer is not TLS"),
        Some(other) => Failed::lost(format!("no TLS: {other}")),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            Failed::lost("connection closed before TLS handshake was complete")
        }
        None => Failed::lost(reason(error)),
    }
}

fn certificate(fault: &CertificateError) -> String {
    let seconds = |time: &UnixTime| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    match fault {
        CertificateError::ExpiredContext { time, not_after } => {
            format!("certificate expired {} ago", span(seconds(time) - seconds(not_after)))
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            format!("certificate becomes valid in {}", span(seconds(not_before) - seconds(time)))
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            // `DnsName("www.example.org")`, and the like.
            let names: Vec<_> = presented.iter().map(|name| name.split('"').nth(1).unwrap_or(name)).collect();
            format!("certificate is not for {} but for {}", expected.to_str(), names.join(", "))
        }
        CertificateError::UnknownIssuer => "certificate is signed by nobody who is trusted".to_owned(),
        other => format!("certificate refused: {other}"),
    }
}

fn alerted(alert: AlertDescription) -> String {
    alert.as_str().map_or_else(|| format!("alert {}", u8::from(alert)), |name| name.replace('_', " "))
}

/// `verify = false`: any certificate will do, as long as its key is the server's.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
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
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
