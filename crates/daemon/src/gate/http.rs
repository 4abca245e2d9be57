//! HTTP on a connection that is there, with time limits; each request knows where it comes from.

use std::{net::SocketAddr, time::Duration};

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
};
use tokio_util::sync::CancellationToken;

/// A request's head comes within this time, also the first one.
const HEAD: Duration = Duration::from_secs(10);
/// Headers in a request.
const HEADERS: usize = 64;
/// Connections on the Unix socket at once.
const LOCAL: usize = 64;

/// Where a connection comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Arrival {
    /// The Unix socket: its file mode says who may open it.
    Socket {
        /// The process' user.
        uid: u32,
    },
    /// A member, which has shown its key.
    Member {
        /// Its name.
        name: String,
        /// Its address.
        from: SocketAddr,
    },
    /// Anybody.
    Stranger {
        /// The address.
        from: SocketAddr,
    },
}

/// Serves one connection to its end.
pub(crate) async fn serve_http<S>(stream: S, router: Router, arrival: Arrival)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(router.layer(Extension(arrival)));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_headers(HEADERS);
    if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection ended");
    }
}

/// Serves the Unix socket until everything stops.
pub(crate) async fn serve_socket(listener: UnixListener, router: Router, stop: CancellationToken) {
    let places = std::sync::Arc::new(tokio::sync::Semaphore::new(LOCAL));
    loop {
        // More wait in the listen queue.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let Some((stream, _)) = super::accept(&stop, || listener.accept()).await else { return };
        let Ok(peer) = stream.peer_cred() else { continue };
        let (router, stop) = (router.clone(), stop.clone());
        tokio::spawn(async move {
            let _place = place;
            tokio::select! {
                () = stop.cancelled() => {}
                () = serve_http(stream, router, Arrival::Socket { uid: peer.uid() }) => {}
            }
        });
    }
}

/// Serves a port without TLS until everything stops: what anybody may read.
pub(crate) async fn serve_plain(listener: TcpListener, router: Router, stop: CancellationToken) {
    let limits = super::limits::Limits::default();
    while let Some((stream, from)) = super::accept(&stop, || listener.accept()).await {
        let Some(place) = limits.take(from.ip(), false) else { continue };
        let (router, stop) = (router.clone(), stop.clone());
        tokio::spawn(async move {
            let _place = place;
            tokio::select! {
                () = stop.cancelled() => {}
                () = serve_http(stream, router, Arrival::Stranger { from }) => {}
            }
        });
    }
}
