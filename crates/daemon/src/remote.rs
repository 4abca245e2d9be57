//! Requests to a cluster from elsewhere: from an operator's machine, and from a newcomer. Whose cluster it is, is known by the
//! fingerprints of its authorities; nothing is said before that is checked.

use std::{io, net::ToSocketAddrs, sync::Arc, time::Duration};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use model::access::{Fingerprint, SecretText};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use crate::trust::tls::{any_server, pinned};

/// The admin port where the operator names none.
pub const PORT: u16 = 8053;
/// An answer takes no longer: a password check takes its time, and its turn.
const PATIENCE: Duration = Duration::from_secs(15);
/// Longest answer: a whole document with large zones, as text.
const LONGEST: usize = 512 << 20;

/// Where a cluster is, and how we know it.
#[derive(Clone, Debug)]
pub struct Remote {
    /// `HOST` or `HOST:PORT`.
    pub host: String,
    /// Its authorities.
    pub authorities: Vec<Fingerprint>,
    /// Who asks, if anybody is logged in.
    pub token: Option<SecretText>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// Nobody there.
    #[error("cannot reach {0}: {1}")]
    Unreachable(String, io::Error),
    /// Somebody else there.
    #[error("{0} does not show an authority that we know: it is another cluster, or somebody between: {1}")]
    Stranger(String, io::Error),
    /// No answer.
    #[error("{0} does not answer: {1}")]
    Silent(String, String),
}

impl Remote {
    /// Makes one request; returns the status code and the body.
    ///
    /// # Errors
    /// [`RemoteError`]. A refusal is no error: its code says so.
    pub fn request(&self, method: Method, path: &str, body: String) -> Result<(u16, Bytes), RemoteError> {
        let failed = |error: io::Error| RemoteError::Unreachable(self.host.clone(), error);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let exchange = self.exchange(method, path, body);
        let silent = |_| RemoteError::Silent(self.host.clone(), format!("nothing within {} s", PATIENCE.as_secs()));
        runtime.block_on(async { timeout(PATIENCE, exchange).await }).map_err(silent)?
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> String {
        let has_port = self
            .host
            .rsplit_once(':')
            .is_some_and(|(host, port)| port.parse::<u16>().is_ok() && (!host.contains(':') || host.ends_with(']')));
        if has_port {
            self.host.clone()
        } else if self.host.contains(':') && !self.host.starts_with('[') {
            format!("[{}]:{PORT}", self.host)
        } else {
            format!("{}:{PORT}", self.host)
        }
    }

    async fn exchange(&self, method: Method, path: &str, body: String) -> Result<(u16, Bytes), RemoteError> {
        let unreachable = |error: io::Error| RemoteError::Unreachable(self.host.clone(), error);
        let addresses: Vec<_> = self.address().to_socket_addrs().map_err(unreachable)?.collect();
        let stream = TcpStream::connect(&*addresses).await.map_err(unreachable)?;
        let tls = pinned(self.authorities.clone()).map_err(|error| unreachable(io::Error::other(error)))?;
        let connected = TlsConnector::from(Arc::new(tls)).connect(any_server(), stream).await;
        let stream = connected.map_err(|error| RemoteError::Stranger(self.host.clone(), error))?;
        let silent = |error: &dyn std::fmt::Display| RemoteError::Silent(self.host.clone(), error.to_string());
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| silent(&error))?;
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "standin");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(|error| silent(&error))?;
        let answer = sender.send_request(request).await.map_err(|error| silent(&error))?;
        let code = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), LONGEST).collect().await.map_err(|error| silent(&error))?;
        Ok((code, body.to_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_added_where_there_is_none() {
        let address = |host: &str| Remote { host: host.into(), authorities: Vec::new(), token: None }.address();
        assert_eq!(address("web1"), "web1:8053");
        assert_eq!(address("10.0.0.1:99"), "10.0.0.1:99");
        assert_eq!(address("fd00::1"), "[fd00::1]:8053");
        assert_eq!(address("[fd00::1]:99"), "[fd00::1]:99");
        assert_eq!(address("[fd00::1]"), "[fd00::1]:8053");
    }
}
