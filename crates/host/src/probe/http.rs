//! The HTTP probe: one GET over HTTP/1.1, and what its answer must be.
//!
//! Deliberately not here: redirects (a 3xx is an answer like any other), TLS, compression.

use std::net::SocketAddr;

use http_body_util::{BodyExt, Empty};
use hyper::{
    Request,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{CONNECTION, HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use model::config::HttpProbe;
use tokio::{net::TcpStream, task::JoinSet};

use super::{Failed, Leftover};

/// How much of the body is looked at.
const BODY: usize = 64 * 1024;

/// How much of a response's head is read before it is refused.
const HEAD: usize = 64 * 1024;

/// A response whose body is not read to its end, and the task that drives the connection: both end together.
pub(super) struct Exchange {
    body: Incoming,
    _driver: JoinSet<()>,
}

impl Exchange {
    /// Hears the server out, so that it is not cut off in the middle of a short page.
    pub(super) async fn end(mut self) {
        let mut heard = 0;
        while heard < BODY {
            match self.body.frame().await {
                Some(Ok(frame)) => heard += frame.data_ref().map_or(0, Bytes::len),
                Some(Err(_)) | None => return,
            }
        }
    }
}

/// Asks, and checks the answer. `target` is what the `Host` header says unless the probe has its own.
pub(super) async fn exchange(stream: TcpStream, probe: &HttpProbe, target: SocketAddr) -> Result<Exchange, Failed> {
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(|error| plain(&error))?;
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        // Its errors come out at the request or the body.
        let _ = connection.await;
    });
    let response = sender.send_request(request(probe, target)?).await.map_err(|error| plain(&error))?;
    let status = response.status().as_u16();
    let mut exchange = Exchange { body: response.into_body(), _driver: driver };
    let wrong = if !probe.status.iter().any(|(first, last)| (*first..=*last).contains(&status)) {
        Some(format!("status {status}, expected {}", ranges(&probe.status)))
    } else if let Some(text) = &probe.body
        && !contains(&mut exchange.body, text.as_bytes()).await?
    {
        Some(format!("body lacks {text:?}"))
    } else {
        None
    };
    match wrong {
        None => Ok(exchange),
        Some(reason) => Err(Failed { reason, leftover: Some(Leftover::Http(exchange)) }),
    }
}

fn request(probe: &HttpProbe, target: SocketAddr) -> Result<Request<Empty<Bytes>>, Failed> {
    let own = match target.port() {
        // RFC 9110 section 4.2.3: the default port goes without saying.
        80 => target.to_string().trim_end_matches(":80").to_owned(),
        _ => target.to_string(),
    };
    Request::get(&*probe.path)
        .header(HOST, probe.host.as_deref().unwrap_or(&own))
        .header(USER_AGENT, "standin")
        .header(CONNECTION, "close")
        .body(Empty::new())
        .map_err(|error| format!("cannot ask: {error}").into())
}

/// Whether the first 64 KiB of the body contain `text`. Reads no further than it must.
async fn contains(body: &mut Incoming, text: &[u8]) -> Result<bool, Failed> {
    let mut seen = Vec::new();
    loop {
        // Only what is new, and as much before it as the text could begin in.
        match body.frame().await {
            Some(Ok(frame)) => {
                let Some(data) = frame.data_ref() else { continue };
                let from = seen.len().saturating_sub(text.len());
                seen.extend_from_slice(&data[..data.len().min(BODY - seen.len())]);
                if seen[from..].windows(text.len().max(1)).any(|window| window == text) {
                    return Ok(true);
                }
                if seen.len() == BODY {
                    return Ok(false);
                }
            }
            Some(Err(error)) => return Err(plain(&error).into()),
            None => return Ok(text.is_empty()),
        }
    }
}

fn ranges(status: &[(u16, u16)]) -> String {
    let range = |(first, last): &(u16, u16)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    status.iter().map(range).collect::<Vec<_>>().join(", ")
}

/// hyper's error in plain words.
fn plain(error: &hyper::Error) -> String {
    let cause = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    match cause {
        Some(cause) => super::reason(cause),
        None if error.is_incomplete_message() => "connection closed before the answer was complete".to_owned(),
        None if error.is_parse() => "the answer is not HTTP".to_owned(),
        None => error.to_string(),
    }
}
