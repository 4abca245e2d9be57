//! A server of gRPC's health protocol: no Debian package has one that needs no programming.

use std::{collections::BTreeMap, convert::Infallible, net::Ipv4Addr, sync::Arc};

use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{
    HeaderMap, Request, Response,
    body::{Bytes, Incoming},
    header::CONTENT_TYPE,
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

/// As grpc.health.v1 numbers it.
#[derive(Clone, Copy)]
pub(crate) enum Health {
    Serving = 1,
    NotServing = 2,
}

/// Starts it; the port.
pub(crate) async fn start(services: BTreeMap<&'static str, Health>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback");
    let port = listener.local_addr().expect("bound").port();
    let services = Arc::new(services);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let services = services.clone();
            tokio::spawn(async move {
                let answer = service_fn(move |request| answer(request, services.clone()));
                // Probes go away when they have their answer.
                let _gone =
                    http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    });
    port
}

async fn answer(
    request: Request<Incoming>,
    services: Arc<BTreeMap<&'static str, Health>>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    // A frame of five bytes; then field 1 with its length, unless the name is empty.
    let name = String::from_utf8_lossy(body.get(7..).unwrap_or_default()).into_owned();
    let health = services.get(name.as_str()).filter(|_| path == "/grpc.health.v1.Health/Check");
    let (status, message) = match health {
        Some(health) => ("0", vec![0, 0, 0, 0, 2, 0x08, *health as u8]),
        None => ("5", Vec::new()),
    };
    let trailers = HeaderMap::from_iter([("grpc-status".parse().expect("a name"), status.parse().expect("a number"))]);
    let body = Full::new(Bytes::from(message)).with_trailers(async move { Some(Ok(trailers)) }).boxed();
    Ok(Response::builder().header(CONTENT_TYPE, "application/grpc").body(body).expect("a response"))
}
