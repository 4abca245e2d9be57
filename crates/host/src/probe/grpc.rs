//! gRPC's health protocol (grpc.health.v1): Check, over HTTP/2, with or without TLS.
//!
//! A message of one text field and one of one number are written and read by hand.

use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Request, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http2,
    header::{CONTENT_TYPE, TE, USER_AGENT},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::{config::probe::GrpcProbe, report::ProbeOrder};
use tokio::task::JoinSet;

use super::{
    attempt::{Deadline, Ended, Failed, Warning, quoted},
    wire::Wire,
};

const PATH: &str = "/grpc.health.v1.Health/Check";
/// So much of an answer is read.
const LONGEST: usize = 4096;
/// Statuses of calls: no such service; no health protocol.
const NOT_FOUND: &str = "5";
const UNIMPLEMENTED: &str = "12";

pub(super) async fn run(order: &ProbeOrder, probe: &GrpcProbe, deadline: Deadline) -> Ended {
    let asked = async {
        let wire = Wire::open_with(order, probe.tls.as_ref(), deadline, &[b"h2"]).await?;
        deadline.hold("answer", ask(wire, probe)).await?
    };
    Ended::now(asked.await)
}

async fn ask(wire: Wire, probe: &GrpcProbe) -> Result<Option<Warning>, Failed> {
    let (peer, warning) = (wire.peer(), wire.warning());
    let shaken = http2::handshake(TokioExecutor::new(), TokioIo::new(wire.into_stream()));
    let (mut sender, connection) = shaken.await.map_err(|error| plain(&error))?;
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        // Its errors come out at the request or the body.
        let _ = connection.await;
    });
    let name =
        probe.tls.as_ref().and_then(|tls| tls.server_name.as_deref()).map_or_else(|| peer.to_string(), str::to_owned);
    let scheme = if probe.tls.is_some() { "https" } else { "http" };
    let request = Request::post(format!("{scheme}://{name}{PATH}"))
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .header(USER_AGENT, "standin")
        .body(Full::new(Bytes::from(question(probe.service.as_deref().unwrap_or_default()))));
    let request = request.map_err(|error| Failed::said(format!("cannot ask: {error}")))?;
    let response = sender.send_request(request).await.map_err(|error| plain(&error))?;
    if response.status() != StatusCode::OK {
        return Err(Failed::said(format!("HTTP status {}", response.status().as_u16())));
    }
    // Where there is nothing to say, the end comes with the beginning.
    status(response.headers(), probe)?;
    let (answer, trailers) = read(response.into_body()).await?;
    status(&trailers, probe)?;
    match answer[..] {
        // Not compressed, of two bytes: field 1, a number.
        [0, 0, 0, 0, 2, 0x08, 1] => Ok(warning),
        [0, 0, 0, 0, 2, 0x08, 2] => Err(Failed::said("NOT_SERVING")),
        [0, 0, 0, 0, 2, 0x08, 3] => Err(Failed::said(unknown(probe))),
        // A number of 0 goes without saying.
        [0, 0, 0, 0, 0 | 2, ..] => Err(Failed::said("UNKNOWN, SERVING expected")),
        _ => Err(Failed::said("the answer is not that of the health protocol")),
    }
}

/// The service's name, in a frame: five bytes that say that it is not compressed, and how long.
fn question(service: &str) -> Vec<u8> {
    let name = service.as_bytes();
    let length = u8::try_from(name.len()).expect("the configuration was checked");
    let message = if name.is_empty() { Vec::new() } else { [&[0x0a, length][..], name].concat() };
    let size = u32::try_from(message.len()).expect("short");
    [&[0][..], &size.to_be_bytes(), &message].concat()
}

fn status(headers: &HeaderMap, probe: &GrpcProbe) -> Result<(), Failed> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status") {
        None | Some("0") => Ok(()),
        Some(NOT_FOUND) => Err(Failed::said(unknown(probe))),
        Some(UNIMPLEMENTED) => Err(Failed::said("the server does not have the health protocol")),
        Some(other) => {
            Err(Failed::said(format!("gRPC status {other}: {}", quoted(text("grpc-message").unwrap_or_default()))))
        }
    }
}

fn unknown(probe: &GrpcProbe) -> String {
    format!("the server knows no service {:?}", probe.service.as_deref().unwrap_or_default())
}

async fn read(mut body: Incoming) -> Result<(Vec<u8>, HeaderMap), Failed> {
    let (mut answer, mut trailers) = (Vec::new(), HeaderMap::new());
    while let Some(frame) = body.frame().await {
        match frame.map_err(|error| plain(&error))?.into_data() {
            Ok(data) if answer.len() + data.len() > LONGEST => return Err(Failed::said("the answer is too long")),
            Ok(data) => answer.extend_from_slice(&data),
            Err(other) => trailers.extend(other.into_trailers().unwrap_or_default()),
        }
    }
    Ok((answer, trailers))
}

/// hyper's error in plain words: what lies at the bottom of it.
fn plain(error: &hyper::Error) -> Failed {
    let mut bottom: &dyn std::error::Error = error;
    while let Some(cause) = bottom.source() {
        bottom = cause;
    }
    Failed::lost(match bottom.downcast_ref::<std::io::Error>() {
        Some(error) if error.kind() == std::io::ErrorKind::ConnectionReset => super::attempt::reason(error),
        Some(_) => "connection closed before the answer was complete".to_owned(),
        None => format!("the answer is not HTTP/2: {bottom}"),
    })
}
