//! Requests to a cluster from elsewhere: from an operator's machine, and from a newcomer. Whose cluster it is, is known by the
//! fingerprints of its authorities; nothing is said before that is checked.

use std::{io, net::ToSocketAddrs, sync::Arc, time::Duration};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response,
    body::{Bytes, Incoming},
    client::conn::http1,
    header,
};
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
/// Longest line of an answer that comes line by line.
const LONGEST_LINE: usize = 64 << 10;
/// Between two lines there is no more time than this: the other side says that it lives.
const QUIET: Duration = Duration::from_secs(30);

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

    /// Makes one request whose answer comes line by line, and tells each as it comes; returns the status code, and what of the
    /// answer was not a whole line.
    ///
    /// # Errors
    /// [`RemoteError`]. A refusal is no error: its code says so.
    pub fn lines(&self, path: &str, each: impl FnMut(&[u8])) -> Result<(u16, Vec<u8>), RemoteError> {
        let failed = |error: io::Error| RemoteError::Unreachable(self.host.clone(), error);
        let silent = |error: &dyn std::fmt::Display| RemoteError::Silent(self.host.clone(), error.to_string());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        runtime.block_on(async {
            let begin = timeout(PATIENCE, self.begin(Method::GET, path, String::new()));
            let answer = begin.await.map_err(|error| silent(&error))??;
            let code = answer.status().as_u16();
            Ok((code, lines(answer.into_body(), each).await.map_err(|error| silent(&error))?))
        })
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
        let silent = |error: &dyn std::fmt::Display| RemoteError::Silent(self.host.clone(), error.to_string());
        let answer = self.begin(method, path, body).await?;
        let code = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), LONGEST).collect().await.map_err(|error| silent(&error))?;
        Ok((code, body.to_bytes()))
    }

    async fn begin(&self, method: Method, path: &str, body: String) -> Result<Response<Incoming>, RemoteError> {
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
        sender.send_request(request).await.map_err(|error| silent(&error))
    }
}

/// Tells each line of an answer as it comes, without its end. Returns what came behind the last.
///
/// # Errors
/// The answer breaks off, a line has no end within 64 KiB, or nothing comes for 30 s.
pub async fn lines(mut body: Incoming, mut each: impl FnMut(&[u8])) -> io::Result<Vec<u8>> {
    let mut rest = Vec::new();
    while let Some(frame) = timeout(QUIET, body.frame()).await? {
        let Ok(data) = frame.map_err(io::Error::other)?.into_data() else { continue };
        rest.extend_from_slice(&data);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            each(&rest[..end]);
            rest.drain(..=end);
        }
        if rest.len() > LONGEST_LINE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a line has no end"));
        }
    }
    Ok(rest)
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
