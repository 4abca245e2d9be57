//! HTTP connections that carry more than one request (RFC 9112 section 9.3), where the monitor says `keep-alive`.
//!
//! A new connection shows what new clients find, and a kept one does not: that the service still accepts, that its certificate has
//! not expired. So none is kept for longer than [`LONGEST`], none after a failure, and none when there is news of the
//! service.
//!
//! Bounds: [`MOST`] in all; whoever comes then has a new connection for each probe.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http_body_util::Empty;
use hyper::{
    body::Bytes,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use model::{config::probe::HttpProbe, report::ProbeOrder};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    task::JoinSet,
    time::Instant,
};

use super::{
    attempt::{Deadline, Failed, Warning},
    http::{self, HEAD},
    wire::Wire,
};

/// No connection is kept for longer.
const LONGEST: Duration = Duration::from_secs(60);
/// Connections that are kept, of all monitors.
const MOST: usize = 4096;
static ROOM: Semaphore = Semaphore::const_new(MOST);

/// A connection to a service, and the task that drives it: both end together.
pub(super) struct Connection {
    pub(super) sender: SendRequest<Empty<Bytes>>,
    pub(super) driver: JoinSet<hyper::Result<()>>,
    pub(super) peer: SocketAddr,
    pub(super) warning: Option<Warning>,
    lease: Option<Lease>,
}

/// How long a connection may be kept.
struct Lease {
    until: Instant,
    _room: SemaphorePermit<'static>,
}

impl Connection {
    /// A new one.
    pub(super) async fn open(order: &ProbeOrder, probe: &HttpProbe, deadline: Deadline) -> Result<Self, Failed> {
        let wire = Wire::open_with(order, probe.tls.as_ref(), deadline, &[b"http/1.1"]).await?;
        let (peer, warning) = (wire.peer(), wire.warning());
        let stream = TokioIo::new(wire.into_stream());
        let shaken = http1::Builder::new().max_buf_size(HEAD).handshake::<_, Empty<Bytes>>(stream);
        let (sender, connection) = deadline.hold("answer", shaken).await?.map_err(|error| http::plain(&error))?;
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let room = if probe.keep_alive { ROOM.try_acquire().ok() } else { None };
        let lease = room.map(|room| Lease { until: Instant::now() + LONGEST, _room: room });
        Ok(Self { sender, driver, peer, warning, lease })
    }

    /// Whether it is meant to last until the next probe, an interval from now.
    pub(super) fn lasts(&self, interval: Duration) -> bool {
        self.lease.as_ref().is_some_and(|lease| Instant::now() + interval < lease.until)
    }
}

/// Where one monitor's connection is kept between probes.
#[derive(Clone, Default)]
pub(super) struct Slot(Arc<Mutex<Option<Connection>>>);

impl Slot {
    /// The connection, if the server has not closed it.
    pub(super) async fn take(&self, deadline: Deadline) -> Option<Connection> {
        let mut connection = self.swap(None)?;
        let ready = deadline.hold("answer", connection.sender.ready()).await;
        matches!(ready, Ok(Ok(()))).then_some(connection)
    }

    pub(super) fn put(&self, connection: Connection) {
        self.swap(Some(connection));
    }

    /// Closes what is kept: the next probe begins with a new connection.
    pub(super) fn clear(&self) {
        self.swap(None);
    }

    fn swap(&self, connection: Option<Connection>) -> Option<Connection> {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), connection)
    }
}

#[cfg(test)]
mod tests {
    use model::{config::ProbeKind, report::ProbeResult};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
        sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    };

    use super::*;
    use crate::probe::{
        attempt::{Ended, attempt},
        farewell,
        kept::Kept,
    };

    const WELL: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    const CUT_OFF: &str = "";

    /// A service that answers one request after the other with the next of `answers`, and with the last from then on; what
    /// is empty is a connection closed without an answer. Each request is reported with the number of its connection.
    struct Service {
        order: ProbeOrder,
        requests: UnboundedReceiver<(usize, String)>,
        kept: Kept,
    }

    async fn request(stream: &mut TcpStream) -> Option<String> {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.ok()?);
        }
        String::from_utf8(request).ok()
    }

    async fn serve(listener: TcpListener, answers: &[&str], seen: UnboundedSender<(usize, String)>) {
        let mut answers = answers.iter().copied();
        let (mut answer, mut number) = (answers.next().unwrap(), 0);
        while let Ok((mut stream, _)) = listener.accept().await {
            number += 1;
            while let Some(request) = request(&mut stream).await {
                seen.send((number, request)).unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
                let closes = answer == CUT_OFF || answer.contains("connection: close");
                answer = answers.next().unwrap_or(answer);
                if closes {
                    break;
                }
            }
        }
    }

    impl Service {
        async fn start(answers: &'static [&'static str]) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let at = listener.local_addr().unwrap();
            let (sender, requests) = mpsc::unbounded_channel();
            tokio::spawn(async move { serve(listener, answers, sender).await });
            let probe = HttpProbe { keep_alive: true, ..HttpProbe::default() };
            let (interval, timeout) = (Duration::from_secs(1), Duration::from_secs(5));
            let kind = ProbeKind::Http(probe);
            let order = ProbeOrder { target: at.ip(), port: Some(at.port()), kind, interval, timeout };
            Self { order, requests, kept: Kept::default() }
        }

        /// One probe, and the connections that it asked on.
        async fn probe(&mut self) -> (ProbeResult, Vec<usize>) {
            let Ended { result, farewell: leftover } = attempt(&self.order, &mut self.kept).await;
            farewell(leftover).await;
            let asked = std::iter::from_fn(|| self.requests.try_recv().ok()).map(|(number, _)| number);
            (result, asked.collect())
        }

        async fn probes<const N: usize>(&mut self) -> Vec<(bool, Vec<usize>)> {
            let mut all = Vec::new();
            for _ in 0..N {
                let (result, asked) = self.probe().await;
                all.push((result == ProbeResult::Success, asked));
            }
            all
        }
    }

    #[tokio::test]
    async fn one_connection_carries_many_requests() {
        let mut service = Service::start(&[WELL]).await;
        assert_eq!(service.probes::<3>().await, [(true, vec![1]), (true, vec![1]), (true, vec![1])]);
        attempt(&service.order, &mut service.kept).await;
        let (_, request) = service.requests.recv().await.unwrap();
        assert!(!request.to_lowercase().contains("\r\nconnection:"), "{request}");
    }

    #[tokio::test]
    async fn after_a_failure_the_connection_is_new() {
        const UNWELL: &str = "HTTP/1.1 503 Oops\r\ncontent-length: 0\r\n\r\n";
        let mut service = Service::start(&[WELL, UNWELL, WELL]).await;
        assert_eq!(service.probes::<4>().await, [(true, vec![1]), (false, vec![1]), (true, vec![2]), (true, vec![2])]);
    }

    #[tokio::test]
    async fn a_connection_that_was_closed_meanwhile_is_no_failure() {
        const LAST: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
        let mut service = Service::start(&[LAST, LAST, WELL]).await;
        assert_eq!(service.probes::<3>().await, [(true, vec![1]), (true, vec![2]), (true, vec![3])]);
        // Closed just as it was asked: asked again on a new one, once.
        let mut service = Service::start(&[WELL, CUT_OFF, WELL]).await;
        assert_eq!(service.probes::<3>().await, [(true, vec![1]), (true, vec![1, 2]), (true, vec![2])]);
        let mut service = Service::start(&[WELL, CUT_OFF, CUT_OFF, WELL]).await;
        assert_eq!(service.probes::<3>().await, [(true, vec![1]), (false, vec![1, 2]), (true, vec![3])]);
    }

    #[tokio::test]
    async fn what_was_cleared_or_would_grow_too_old_is_not_used() {
        let mut service = Service::start(&[WELL]).await;
        service.probe().await;
        service.kept.http.clear();
        assert_eq!(service.probes::<2>().await, [(true, vec![2]), (true, vec![2])]);
        service.kept.http.clear();
        service.order.interval = LONGEST;
        assert_eq!(service.probes::<2>().await, [(true, vec![3]), (true, vec![4])]);
    }

    #[tokio::test]
    async fn a_page_that_does_not_end_ends_the_connection() {
        // The second answer begins in the middle of the first one's page, were the connection kept.
        const CUT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 70000\r\n\r\n";
        let mut service = Service::start(&[CUT, WELL]).await;
        let Ended { result, farewell } = attempt(&service.order, &mut service.kept).await;
        assert_eq!(result, ProbeResult::Success);
        drop(farewell);
        assert_eq!(service.requests.recv().await.unwrap().0, 1);
        assert_eq!(service.probes::<2>().await, [(true, vec![2]), (true, vec![2])]);
    }
}
