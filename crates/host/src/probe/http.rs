//! The HTTP probe: one request over HTTP/1.1, with or without TLS, and what its answer must be.
//!
//! Deliberately not here: compression; redirections to other services, which other monitors watch.

use std::net::SocketAddr;

use http_body_util::{BodyExt, Empty};
use hyper::{
    Method, Request, StatusCode, Uri,
    body::{Bytes, Incoming},
    header::{CONNECTION, HOST, LOCATION, USER_AGENT},
};
use model::{
    config::probe::{HttpMethod, HttpProbe, Redirects},
    report::ProbeOrder,
};
use tokio::task::JoinError;

use super::{
    attempt::{Deadline, Ended, Failed, Farewell, Warning, quoted},
    persistent::{Connection, Slot},
};

/// How much of the body is looked at.
const BODY: usize = 64 * 1024;
/// How much of a response's head is read before it is refused.
pub(super) const HEAD: usize = 64 * 1024;
/// Redirections that are followed.
const HOPS: usize = 5;

/// A response whose body is not read to its end.
struct Exchange {
    status: StatusCode,
    /// Where a redirection leads.
    location: Option<String>,
    body: Incoming,
    connection: Connection,
}

pub(super) async fn run(order: &ProbeOrder, probe: &HttpProbe, slot: &Slot, deadline: Deadline) -> Ended {
    let mut path = probe.path.to_string();
    for _ in 0..=HOPS {
        let mut exchange = match ask(order, probe, &path, slot, deadline).await {
            Ok(exchange) => exchange,
            Err(failed) => return Ended::now(Err(failed)),
        };
        if probe.redirects == Redirects::Follow && exchange.status.is_redirection() {
            match next(probe, exchange.location.as_deref(), order, &path) {
                Ok(there) => path = there,
                Err(failed) => return Ended::with(Err(failed), exchange.farewell(None)),
            }
            continue;
        }
        let result = check(&mut exchange, probe, deadline).await;
        let keep = result.is_ok() && exchange.connection.lasts(order.interval);
        return Ended::with(result, exchange.farewell(keep.then(|| slot.clone())));
    }
    Ended::now(Err(Failed::said(format!("more than {HOPS} redirections"))))
}

/// Makes one request, over the connection that was kept if there is one. `Host` says the target unless the probe has its own.
async fn ask(
    order: &ProbeOrder,
    probe: &HttpProbe,
    path: &str,
    slot: &Slot,
    deadline: Deadline,
) -> Result<Exchange, Failed> {
    if let Some(kept) = slot.take(deadline).await
        && let Ok(exchange) = deadline.hold("answer", kept.ask(probe, path)).await?
    {
        return Ok(exchange);
    }
    // RFC 9112 section 9.3.1: a server may close a connection just as it is asked; only a new one tells how it is.
    let new = Connection::open(order, probe, deadline).await?;
    deadline.hold("answer", new.ask(probe, path)).await?
}

impl Connection {
    async fn ask(mut self, probe: &HttpProbe, path: &str) -> Result<Exchange, Failed> {
        let response = match self.sender.send_request(request(probe, path, self.peer)?).await {
            Ok(response) => response,
            Err(error) if error.is_canceled() => return Err(unasked(&error, self.driver.join_next().await)),
            Err(error) => return Err(plain(&error)),
        };
        let location = response.headers().get(LOCATION).and_then(|there| there.to_str().ok()).map(str::to_owned);
        Ok(Exchange { status: response.status(), location, body: response.into_body(), connection: self })
    }
}

async fn check(exchange: &mut Exchange, probe: &HttpProbe, deadline: Deadline) -> Result<Option<Warning>, Failed> {
    let status = exchange.status.as_u16();
    if !probe.status.iter().any(|(first, last)| (*first..=*last).contains(&status)) {
        return Err(Failed::said(format!("status {status}, expected {}", ranges(&probe.status))));
    }
    let mut seen = Vec::new();
    if let Some(text) = &probe.body
        && !deadline.hold("body", contains(&mut exchange.body, &mut seen, text.as_bytes())).await??
    {
        return Err(Failed::said(format!("body lacks {text:?}")));
    }
    if let Some(pattern) = &probe.body_matches {
        let rest = async {
            while more(&mut exchange.body, &mut seen).await? {}
            Ok::<_, Failed>(())
        };
        deadline.hold("body", rest).await??;
        let text = String::from_utf8_lossy(&seen);
        if !pattern.is_found_in(&text) {
            return Err(Failed::said(format!("body lacks {:?}: {:?}", pattern.as_str(), quoted(&text))));
        }
    }
    Ok(exchange.connection.warning.clone())
}

/// The path that a redirection within the service leads to (RFC 9110 section 10.2.2).
fn next(probe: &HttpProbe, location: Option<&str>, order: &ProbeOrder, path: &str) -> Result<String, Failed> {
    let location = location.ok_or_else(|| Failed::said("a redirection that does not say where to"))?;
    let elsewhere = || Failed::said(format!("redirected to {:?}, another service", quoted(location)));
    let uri: Uri = location.parse().map_err(|_| Failed::said(format!("redirected to {:?}", quoted(location))))?;
    if let Some(host) = uri.host() {
        let (scheme, usual) = if probe.tls.is_some() { ("https", 443) } else { ("http", 80) };
        let own = [probe.host.as_deref().map(without_port).map(str::to_owned), Some(order.target.to_string())];
        let same_host = own.into_iter().flatten().any(|own| own.eq_ignore_ascii_case(host.trim_matches(['[', ']'])));
        let port = uri.port_u16().unwrap_or(usual);
        if !same_host || uri.scheme_str().is_some_and(|other| other != scheme) || Some(port) != order.port {
            return Err(elsewhere());
        }
    }
    let there = uri.path_and_query().map_or("/", |there| there.as_str());
    if there.starts_with('/') {
        return Ok(there.to_owned());
    }
    let folder = path.split('?').next().and_then(|path| path.rsplit_once('/')).map_or("", |(folder, _)| folder);
    Ok(format!("{folder}/{there}"))
}

fn without_port(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    }
}

fn request(probe: &HttpProbe, path: &str, target: SocketAddr) -> Result<Request<Empty<Bytes>>, Failed> {
    // RFC 9110 sections 4.2.1, 4.2.2: the default port goes without saying.
    let usual = if probe.tls.is_some() { 443 } else { 80 };
    let own = target.to_string();
    let own = if target.port() == usual { own.rsplit_once(':').map_or(&*own, |(host, _)| host) } else { &own };
    let method = match probe.method {
        HttpMethod::Get => Method::GET,
        HttpMethod::Head => Method::HEAD,
        HttpMethod::Options => Method::OPTIONS,
    };
    let mut request = Request::builder().method(method).uri(path).header(HOST, probe.host.as_deref().unwrap_or(own));
    if !probe.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("user-agent")) {
        request = request.header(USER_AGENT, "standin");
    }
    for (name, value) in &probe.headers {
        request = request.header(&**name, &**value);
    }
    // RFC 9112 section 9.3: without a word the connection persists.
    let request = if probe.keep_alive { request } else { request.header(CONNECTION, "close") };
    request.body(Empty::new()).map_err(|error| Failed::said(format!("cannot ask: {error}")))
}

/// Whether the first 64 KiB of the body contain `text`. Reads no further than it must.
async fn contains(body: &mut Incoming, seen: &mut Vec<u8>, text: &[u8]) -> Result<bool, Failed> {
    let mut from = 0;
    loop {
        // Only what is new, and as much before it as the text could begin in.
        if seen[from..].windows(text.len().max(1)).any(|window| window == text) {
            return Ok(true);
        }
        from = seen.len().saturating_sub(text.len());
        if !more(body, seen).await? {
            return Ok(false);
        }
    }
}

/// Reads a piece of the body; false at its end, and when enough was seen.
async fn more(body: &mut Incoming, seen: &mut Vec<u8>) -> Result<bool, Failed> {
    if seen.len() == BODY {
        return Ok(false);
    }
    match body.frame().await {
        Some(Ok(frame)) => {
            let data = frame.data_ref().map_or(&[][..], |data| data);
            seen.extend_from_slice(&data[..data.len().min(BODY - seen.len())]);
            Ok(true)
        }
        Some(Err(error)) => Err(plain(&error)),
        None => Ok(false),
    }
}

impl Exchange {
    /// Hears the server out, so that it is not cut off in the middle of a short page, and so that the connection can be kept.
    fn farewell(self, slot: Option<Slot>) -> Farewell {
        let Self { mut body, connection, .. } = self;
        Box::pin(async move {
            let mut heard = 0;
            while heard < BODY {
                match body.frame().await {
                    Some(Ok(frame)) => heard += frame.data_ref().map_or(0, Bytes::len),
                    Some(Err(_)) => return,
                    None => {
                        if let Some(slot) = slot {
                            slot.put(connection);
                        }
                        return;
                    }
                }
            }
        })
    }
}

fn ranges(status: &[(u16, u16)]) -> String {
    let range = |(first, last): &(u16, u16)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    status.iter().map(range).collect::<Vec<_>>().join(", ")
}

/// Why a connection ended before it had carried the request, as the request or the connection itself knows: whoever speaks
/// before it is asked does not speak HTTP.
fn unasked(error: &hyper::Error, end: Option<Result<hyper::Result<()>, JoinError>>) -> Failed {
    let end = end.and_then(Result::ok).and_then(Result::err);
    let cause =
        std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<hyper::Error>()).or(end.as_ref());
    match cause {
        Some(cause) if std::error::Error::source(cause).is_some() => plain(cause),
        Some(cause) if !cause.is_closed() && !cause.is_incomplete_message() => Failed::lost("the answer is not HTTP"),
        Some(_) | None => Failed::lost("connection closed before the answer was complete"),
    }
}

/// hyper's error in plain words.
pub(super) fn plain(error: &hyper::Error) -> Failed {
    let cause = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    Failed::lost(match cause {
        Some(cause) => super::attempt::reason(cause),
        None if error.is_incomplete_message() => "connection closed before the answer was complete".to_owned(),
        None if error.is_parse() => "the answer is not HTTP".to_owned(),
        None => error.to_string(),
    })
}
