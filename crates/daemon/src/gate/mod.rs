//! The admin port: one TCP port for servers and people, TLS 1.3 alone.
//!
//! | who | shows | speaks | gets |
//! |---|---|---|---|
//! | a member | its certificate | `standin-link/1` | a link |
//! | a member | its certificate | `standin-document/1` | a stream for the configuration |
//! | a member | its certificate | `http/1.1` | the API, on behalf of a person whom it names |
//! | anybody | nothing | `http/1.1` | login, joining; with a session or token the API |
//!
//! Invariants: strangers cannot keep members out, nor one stranger all others: connections are counted by kind and by
//! address. A handshake and a request's head must come within their time. Nothing here runs on the driver's thread.
//!
//! When full: a stranger's connection is closed at once, and counted in the journal's refusals.

mod http;
mod limits;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

use self::limits::{Limits, Place};
use crate::{
    circle::{Circle, Shown, server},
    link::{self, Topic, session},
    trust::tls::{DOCUMENT, LINK, LOG, shown_key},
};

use self::http::serve_http;
pub(crate) use self::http::{Arrival, serve_plain, serve_socket};

/// A handshake takes no longer.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// The pause after the system gave no connection, such as for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves the port until everything stops.
pub(crate) async fn run(circle: Arc<Circle>, listener: TcpListener, router: Router, stop: CancellationToken) {
    let limits = Limits::default();
    while let Some((stream, from)) = accept(&stop, || listener.accept()).await {
        let member = circle.others().iter().any(|(_, member)| member.reach.ip() == from.ip());
        let Some(place) = limits.take(from.ip(), member) else {
            circle.audit.denied("?", &from.ip().to_string(), "connect", "too many connections");
            continue;
        };
        let (circle, router, stop) = (circle.clone(), router.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = greet(&circle, stream, from, router, place) => {}
            }
        });
    }
}

/// The next connection; nothing once everything stops.
async fn accept<C, F>(stop: &CancellationToken, next: impl Fn() -> F) -> Option<C>
where
    F: Future<Output = io::Result<C>>,
{
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return None,
            accepted = next() => accepted,
        };
        match accepted {
            Ok(accepted) => return Some(accepted),
            Err(error) => {
                tracing::debug!(%error, "no connection");
                sleep(PAUSE).await;
            }
        }
    }
}

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wants {
    Link,
    Talk(Topic),
    Answers,
}

/// One connection, from the handshake to its end.
async fn greet(circle: &Arc<Circle>, stream: TcpStream, from: SocketAddr, router: Router, place: Place) {
    let _with_nagle = stream.set_nodelay(true);
    let acceptor = TlsAcceptor::from(circle.tls.load().server.clone());
    let stream = match timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            return circle.audit.denied("?", &from.ip().to_string(), "handshake", &error.to_string());
        }
        Err(_) => return circle.audit.denied("?", &from.ip().to_string(), "handshake", "it took too long"),
    };
    let (_, tls) = stream.get_ref();
    let shown = shown_key(tls.peer_certificates()).map(|key| circle.shown(&key));
    let wants = match tls.alpn_protocol() {
        Some(LINK) => Wants::Link,
        Some(DOCUMENT) => Wants::Talk(Topic::Document),
        Some(LOG) => Wants::Talk(Topic::Log),
        Some(_) | None => Wants::Answers,
    };
    match (shown, wants) {
        (Some(Shown::Member(id, name)), Wants::Link) => {
            // A link lives long and is bounded by the number of members.
            drop(place);
            session(circle, stream, from, &id, &name, link::Side::Accepted).await;
        }
        (Some(Shown::Member(id, name)), Wants::Talk(topic)) => {
            drop(place);
            if let Some(converse) = circle.links.converse(topic).cloned() {
                tokio::select! {
                    () = converse(server(&name), Box::new(stream)) => {}
                    // Who is removed has no say from then on, whatever it thinks itself.
                    () = circle.removed(&id) => {}
                }
            }
        }
        (Some(Shown::Member(_, name)), Wants::Answers) => {
            serve_http(stream, router, Arrival::Member { name, from }).await;
        }
        (None, Wants::Answers) => serve_http(stream, router, Arrival::Stranger { from }).await,
        (Some(Shown::Removed(name)), wants) => {
            circle.audit.denied(&name, &from.ip().to_string(), "link", "it was removed from the cluster");
            if wants == Wants::Link {
                turn_away(stream).await;
            }
        }
        (Some(Shown::Unknown), _) => {
            circle.audit.denied("?", &from.ip().to_string(), "link", "its key is no member's");
        }
        (None, Wants::Link | Wants::Talk(_)) => {
            circle.audit.denied("?", &from.ip().to_string(), "link", "it shows no certificate")
        }
    }
}

/// Tells a server that was removed, so that it stays out.
async fn turn_away(stream: TlsStream<TcpStream>) {
    // If it does not listen it will ask again.
    let _told = timeout(HANDSHAKE, link::turn_away(stream)).await;
}
