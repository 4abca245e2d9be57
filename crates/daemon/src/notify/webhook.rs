//! One HTTP request: the document, signed.
//!
//! `Standin-Signature: t=SECONDS,v1=HEX`, the HMAC-SHA256 of `SECONDS.BODY` by the channel's secret: with the time in it, who overhears a
//! request cannot repeat it later. Redirections are not followed: a signature is for whom it was made. Nothing of the answer matters but
//! its status.

use std::sync::Arc;

use aws_lc_rs::hmac;
use chronicle::notice::Message;
use data_encoding::HEXLOWER;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response, StatusCode, body::Bytes, body::Incoming, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use model::config::notify::Webhook;
use rustls::{ClientConfig, crypto::aws_lc_rs as provider, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
};
use tokio_rustls::TlsConnector;

use super::{
    Settings,
    send::{Failed, secret},
    words,
};

/// How much of a refusal is read.
const LONGEST: usize = 4096;
/// How much of it is told.
const QUOTED: usize = 160;

/// Sends it.
pub(super) async fn send(settings: &Settings, webhook: &Webhook, message: &Message) -> Result<(), Failed> {
    let key = secret(settings, &webhook.secret).await?;
    let body = words::document(settings, message);
    let signature = signature(&key, host::clock::wall_seconds(), &body);
    let url = &webhook.url;
    let request = Request::post(&*url.path)
        .header(header::HOST, &*url.authority)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::USER_AGENT, concat!("standin/", env!("CARGO_PKG_VERSION")))
        .header(header::CONNECTION, "close")
        .header("standin-delivery", &message.delivery)
        .header("standin-signature", signature)
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| Failed::ever(format!("cannot ask: {error}")))?;
    let reach = |error: std::io::Error| Failed::now(format!("cannot reach {}: {error}", url.authority));
    let stream = TcpStream::connect((&*url.host, url.port)).await.map_err(reach)?;
    if !url.tls {
        return exchange(stream, request).await;
    }
    let file = webhook.ca_file.clone();
    let roots = tokio::task::spawn_blocking(move || host::probe::trusted(file.as_deref())).await;
    let roots = roots.map_err(std::io::Error::other)?.map_err(Failed::now)?;
    let config = ClientConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Failed::ever(format!("TLS cannot be set up: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(url.host.trim_end_matches('.').to_owned());
    let name = name.map_err(|_| Failed::ever(format!("{} is no name", url.host)))?;
    exchange(TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(reach)?, request).await
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<(), Failed>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |error: hyper::Error| Failed::now(format!("no answer: {error}"));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // Ends with this attempt.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let answer = sender.send_request(request).await.map_err(failed)?;
    judge(answer).await
}

/// What a status means (RFC 9110 section 15, RFC 6585 section 4).
async fn judge(answer: Response<Incoming>) -> Result<(), Failed> {
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    if status.is_redirection() {
        return Err(Failed::ever(format!("status {status}: redirections are not followed, write the final URL")));
    }
    let body = Limited::new(answer.into_body(), LONGEST).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let said: String = String::from_utf8_lossy(&body).chars().filter(|c| !c.is_control()).take(QUOTED).collect();
    let reason = if said.is_empty() { format!("status {status}") } else { format!("status {status}: {said}") };
    let passing = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    Err(Failed { reason, again: status.is_server_error() || passing.contains(&status) })
}

fn signature(key: &[u8], seconds: u64, body: &[u8]) -> String {
    let mut signed = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    signed.update(format!("{seconds}.").as_bytes());
    signed.update(body);
    format!("t={seconds},v1={}", HEXLOWER.encode(signed.sign().as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_over_time_and_body() {
        // As `printf '17.{}' | openssl dgst -sha256 -hmac key` says.
        let expected = "e66392eac42eafc68c35a01c712811e016386c12456975fc3af80c9268568e3a";
        assert_eq!(signature(b"key", 17, b"{}"), format!("t=17,v1={expected}"));
        assert_ne!(signature(b"key", 18, b"{}").split_once(','), signature(b"key", 17, b"{}").split_once(','));
    }
}
