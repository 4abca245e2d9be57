//! Asks the running daemon, over its Unix socket.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode, body::Bytes};
use hyper_util::rt::TokioIo;
use model::api::Status;
use tokio::net::UnixStream;

use crate::args::{CONFIG, Reach, SOCKET};

/// A daemon that takes longer than this cannot be reached.
const PATIENCE: Duration = Duration::from_secs(3);
/// The same for requests that carry something to check.
const PATIENCE_WITH_EDITS: Duration = Duration::from_secs(30);

/// The socket that the arguments mean: the one named, else that of the node file named, else that of the usual node
/// file, else the usual socket.
///
/// # Errors
/// When a node file that was named cannot be read or has mistakes.
pub(crate) fn socket(reach: &Reach) -> Result<PathBuf> {
    match (&reach.socket, &reach.config) {
        (Some(socket), _) => Ok(socket.clone()),
        (None, Some(config)) => socket_of(config),
        (None, None) if Path::new(CONFIG).exists() => socket_of(Path::new(CONFIG)),
        (None, None) => Ok(PathBuf::from(SOCKET)),
    }
}

fn socket_of(config: &Path) -> Result<PathBuf> {
    let text = fs::read_to_string(config).with_context(|| format!("cannot read {}", config.display()))?;
    match model::config::parse_node(&config.to_string_lossy(), &text) {
        // Relative to the node file, as everywhere.
        Ok(node) => Ok(config.parent().unwrap_or(Path::new("")).join(node.socket)),
        Err(mistakes) => {
            let mistakes: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
            bail!("the node file has mistakes:\n{}", mistakes.join("\n"));
        }
    }
}

/// The whole cluster, as the daemon behind the socket sees it.
///
/// # Errors
/// When nobody answers in time, or the answer is not a status.
pub(crate) fn status(socket: &Path) -> Result<Status> {
    let body = request(socket, Method::GET, "/v1/status", None)?;
    serde_json::from_slice(&body).context("the daemon's answer is not a status")
}

/// Makes one request and returns the body of a successful answer.
///
/// # Errors
/// When nobody answers in time, or the answer is not a success; the daemon's own words are in the error.
pub(crate) fn request(socket: &Path, method: Method, path: &str, body: Option<String>) -> Result<Bytes> {
    let (code, body) = answer(socket, method, path, body)?;
    if code.is_success() {
        return Ok(body);
    }
    bail!("the daemon refused: {}", words(code, &body));
}

/// Makes one request and returns the answer, be it a success or not.
///
/// # Errors
/// When nobody answers in time.
pub(crate) fn answer(socket: &Path, method: Method, path: &str, body: Option<String>) -> Result<(StatusCode, Bytes)> {
    // A whole document with large zones takes longer to check than a status to tell.
    let patience = if body.is_some() { PATIENCE_WITH_EDITS } else { PATIENCE };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let exchange = exchange(socket, method, path, body);
    runtime
        .block_on(async { tokio::time::timeout(patience, exchange).await })
        .with_context(|| format!("the daemon at {} does not answer", socket.display()))?
}

/// What the daemon says of an answer that is no success.
pub(crate) fn words(code: StatusCode, body: &[u8]) -> String {
    let said: Option<String> = serde_json::from_slice::<serde_json::Value>(body)
        .ok()
        .and_then(|value| value.get("error").and_then(|error| error.as_str()).map(str::to_owned));
    said.unwrap_or_else(|| code.to_string())
}

async fn exchange(socket: &Path, method: Method, path: &str, body: Option<String>) -> Result<(StatusCode, Bytes)> {
    let stream = UnixStream::connect(socket)
        .await
        .with_context(|| format!("cannot reach the daemon at {}: does it run?", socket.display()))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(hyper::header::HOST, "standin")
        .header(hyper::header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body.unwrap_or_default())))?;
    let answer = sender.send_request(request).await?;
    let code = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    drop(sender);
    connection.await??;
    Ok((code, body))
}
