//! Asks the running daemon: over its Unix socket, or over TLS at any server of a cluster that was logged in to.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use daemon::remote::{self, Remote};
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
};
use hyper_util::rt::TokioIo;
use model::{api::Status, config::NodeConfig};
use tokio::net::UnixStream;

use crate::{
    args::{CONFIG, Reach, SOCKET},
    session,
};

/// A daemon that takes longer than this cannot be reached. A password check takes its turn.
const PATIENCE: Duration = Duration::from_secs(15);
/// The same for requests that carry something to check.
const PATIENCE_WITH_EDITS: Duration = Duration::from_secs(30);

/// Where the daemon is asked.
pub(crate) enum Door {
    /// On this machine.
    Socket(PathBuf),
    /// Anywhere.
    Remote(Remote),
}

/// Where the arguments mean: the host named, else the socket named, else that of the node file named, else that of the
/// usual node file, else the usual socket.
///
/// # Errors
/// When a node file that was named cannot be read or has mistakes, or nobody is logged in at that host.
pub(crate) fn door(reach: &Reach) -> Result<Door> {
    if let Some(host) = &reach.connect {
        return Ok(Door::Remote(session::remote(host)?));
    }
    Ok(Door::Socket(match (&reach.socket, &reach.config) {
        (Some(socket), _) => socket.clone(),
        (None, Some(config)) => node(config)?.socket,
        (None, None) if Path::new(CONFIG).exists() => node(Path::new(CONFIG))?.socket,
        (None, None) => PathBuf::from(SOCKET),
    }))
}

/// A node file, with the paths that commands need resolved.
///
/// # Errors
/// When it cannot be read or has mistakes.
pub(crate) fn node(config: &Path) -> Result<NodeConfig> {
    let text = fs::read_to_string(config).with_context(|| format!("cannot read {}", config.display()))?;
    match model::config::parse_node(&config.to_string_lossy(), &text) {
        // Relative to the node file, as everywhere.
        Ok(node) => {
            let beside = config.parent().unwrap_or(Path::new(""));
            Ok(NodeConfig { socket: beside.join(&node.socket), state_dir: beside.join(&node.state_dir), ..node })
        }
        Err(mistakes) => {
            let mistakes: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
            bail!("the node file has mistakes:\n{}", mistakes.join("\n"));
        }
    }
}

/// The whole cluster, as the daemon behind the door sees it.
///
/// # Errors
/// When nobody answers in time, or the answer is not a status.
pub(crate) fn status(door: &Door) -> Result<Status> {
    let body = request(door, Method::GET, "/v1/status", None)?;
    serde_json::from_slice(&body).context("the daemon's answer is not a status")
}

/// Whether a daemon runs behind the door, be it too busy to answer. Of another machine nothing is known, so it does.
pub(crate) fn listens(door: &Door) -> bool {
    match door {
        Door::Socket(socket) => std::os::unix::net::UnixStream::connect(socket).is_ok(),
        Door::Remote(_) => true,
    }
}

/// Makes one request and returns the body of a successful answer.
///
/// # Errors
/// When nobody answers in time, or the answer is not a success; the daemon's own words are in the error.
pub(crate) fn request(door: &Door, method: Method, path: &str, body: Option<String>) -> Result<Bytes> {
    let (code, body) = answer(door, method, path, body)?;
    if code.is_success() {
        return Ok(body);
    }
    bail!("the daemon refused: {}", words(code, &body));
}

/// Makes one request and returns the answer, be it a success or not.
///
/// # Errors
/// When nobody answers in time.
pub(crate) fn answer(door: &Door, method: Method, path: &str, body: Option<String>) -> Result<(StatusCode, Bytes)> {
    // A whole document with large zones takes longer to check than a status to tell.
    let patience = if body.is_some() { PATIENCE_WITH_EDITS } else { PATIENCE };
    match door {
        Door::Remote(remote) => {
            let (code, body) = remote.request(method, path, body.unwrap_or_default())?;
            Ok((StatusCode::from_u16(code)?, body))
        }
        Door::Socket(socket) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let exchange = exchange(socket, method, path, body);
            runtime
                .block_on(async { tokio::time::timeout(patience, exchange).await })
                .with_context(|| format!("the daemon at {} does not answer", socket.display()))?
        }
    }
}

/// Makes one request whose answer comes line by line, and tells each as it comes, until the answer ends.
///
/// # Errors
/// When nobody answers in time, the answer breaks off, or it is not a success.
pub(crate) fn lines(door: &Door, path: &str, each: impl FnMut(&[u8])) -> Result<()> {
    let (code, rest) = match door {
        Door::Remote(remote) => {
            let (code, rest) = remote.lines(path, each)?;
            (StatusCode::from_u16(code)?, rest)
        }
        Door::Socket(socket) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let answer = begin(socket, Method::GET, path, None).await?;
                let code = answer.status();
                anyhow::Ok((code, remote::lines(answer.into_body(), each).await?))
            })?
        }
    };
    if code.is_success() {
        return Ok(());
    }
    bail!("the daemon refused: {}", words(code, &rest));
}

/// What the daemon says of an answer that is no success.
pub(crate) fn words(code: StatusCode, body: &[u8]) -> String {
    let said: Option<String> = serde_json::from_slice::<serde_json::Value>(body)
        .ok()
        .and_then(|value| value.get("error").and_then(|error| error.as_str()).map(str::to_owned));
    said.unwrap_or_else(|| code.to_string())
}

async fn exchange(socket: &Path, method: Method, path: &str, body: Option<String>) -> Result<(StatusCode, Bytes)> {
    let answer = begin(socket, method, path, body).await?;
    let code = answer.status();
    Ok((code, answer.into_body().collect().await?.to_bytes()))
}

async fn begin(socket: &Path, method: Method, path: &str, body: Option<String>) -> Result<Response<Incoming>> {
    let stream = UnixStream::connect(socket)
        .await
        .with_context(|| format!("cannot reach the daemon at {}: does it run?", socket.display()))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the answer.
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(hyper::header::HOST, "standin")
        .header(hyper::header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body.unwrap_or_default())))?;
    Ok(sender.send_request(request).await?)
}
