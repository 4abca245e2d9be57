//! A TCP connection to the service under test: with or without TLS, with one deadline, and with a limit to what is read.

use std::net::{IpAddr, SocketAddr};

use model::{
    config::probe::{Tls, TlsStart},
    report::ProbeOrder,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    attempt::{Deadline, Ended, Failed, Farewell, Warning},
    tls,
};

/// The longest line that any protocol here has.
const LINE: usize = 8 * 1024;
/// So much is read in one attempt.
const ALL: usize = 64 * 1024;
/// What a server may say to us before we close for good, in bytes.
const PATIENCE: usize = 4096;

/// Bytes in both directions.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// One connection.
pub(super) struct Wire {
    stream: Box<dyn Duplex>,
    deadline: Deadline,
    peer: SocketAddr,
    local: IpAddr,
    /// Heard and not taken yet.
    unread: Vec<u8>,
    heard: usize,
    warning: Option<Warning>,
}

impl Wire {
    /// Connects to the order's target; TLS begins where it does with the first byte.
    pub(super) async fn open(order: &ProbeOrder, tls: Option<&Tls>, deadline: Deadline) -> Result<Self, Failed> {
        Self::open_with(order, tls, deadline, &[]).await
    }

    /// The same; `alpn` says which protocols are spoken within TLS.
    pub(super) async fn open_with(
        order: &ProbeOrder,
        tls: Option<&Tls>,
        deadline: Deadline,
        alpn: &[&[u8]],
    ) -> Result<Self, Failed> {
        let port = order.port.ok_or_else(|| Failed::lost("no port"))?;
        let peer = SocketAddr::new(order.target, port);
        let stream = deadline.hold("connecting", TcpStream::connect(peer)).await??;
        let local = stream.local_addr()?;
        not_ourselves(Some(local), peer)?;
        let (stream, local): (Box<dyn Duplex>, _) = (Box::new(stream), local.ip());
        let mut wire = Self { stream, deadline, peer, local, unread: Vec::new(), heard: 0, warning: None };
        if let Some(tls) = tls.filter(|tls| tls.start == TlsStart::Implicit) {
            wire.handshake(tls, alpn).await?;
        }
        Ok(wire)
    }

    /// From here on TLS: the server has agreed to it.
    pub(super) async fn start_tls(&mut self, tls: &Tls) -> Result<(), Failed> {
        // What was said in the clear must not count as said within (RFC 3207 section 6).
        if !self.unread.is_empty() {
            return Err(Failed::said("more was said in the clear after TLS was agreed on"));
        }
        self.handshake(tls, &[]).await
    }

    async fn handshake(&mut self, tls: &Tls, alpn: &[&[u8]]) -> Result<(), Failed> {
        let stream = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
        let (stream, warning) =
            self.deadline.hold("TLS handshake", tls::handshake(stream, tls, self.peer.ip(), alpn)).await??;
        self.stream = Box::new(stream);
        self.warning = warning;
        Ok(())
    }

    /// Our end's address.
    pub(super) fn local(&self) -> IpAddr {
        self.local
    }

    /// Who is tried.
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// What is said against the certificate.
    pub(super) fn warning(&self) -> Option<Warning> {
        self.warning.clone()
    }

    /// The bare stream, before anything was heard.
    pub(super) fn into_stream(self) -> Box<dyn Duplex> {
        debug_assert!(self.unread.is_empty(), "nothing was heard yet");
        self.stream
    }

    /// Says something.
    pub(super) async fn say(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        let said = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        Ok(self.deadline.hold("sending", said).await??)
    }

    /// Hears a line; its end is taken off. `what` names what is waited for.
    pub(super) async fn line(&mut self, what: &str) -> Result<String, Failed> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned());
            }
            if self.unread.len() > LINE {
                return Err(Failed::said(format!("{what} has a line longer than {LINE} bytes")));
            }
            self.hear(what).await?;
        }
    }

    /// Hears so many bytes, 64 KiB at most.
    pub(super) async fn bytes(&mut self, length: usize, what: &str) -> Result<Vec<u8>, Failed> {
        while self.unread.len() < length {
            self.hear(what).await?;
        }
        Ok(self.unread.drain(..length).collect())
    }

    /// Hears what comes next, at least a byte.
    pub(super) async fn some(&mut self, what: &str) -> Result<Vec<u8>, Failed> {
        if self.unread.is_empty() {
            self.hear(what).await?;
        }
        Ok(std::mem::take(&mut self.unread))
    }

    async fn hear(&mut self, what: &str) -> Result<(), Failed> {
        if self.heard >= ALL {
            return Err(Failed::said(format!("{what} is longer than {} KiB", ALL / 1024)));
        }
        let mut piece = [0; 2048];
        match self.deadline.hold(what, self.stream.read(&mut piece)).await?? {
            0 => Err(Failed::lost(format!("connection closed before {what} was complete"))),
            length => {
                self.heard += length;
                self.unread.extend_from_slice(&piece[..length]);
                Ok(())
            }
        }
    }

    /// The end of the attempt. The goodbye of the protocol is said after the verdict; without one the connection is closed.
    pub(super) fn end(self, result: Result<(), Failed>, goodbye: &'static [u8]) -> Ended {
        let warning = self.warning.clone();
        Ended::with(result.map(|()| warning), farewell(self.stream, goodbye))
    }
}

/// Connecting to a free port of our own machine can, once in ten thousands of times, meet itself: the kernel picks that
/// port as the source, and both ends are ours (RFC 9293 section 3.5, simultaneous open).
pub(super) fn not_ourselves(local: Option<SocketAddr>, peer: SocketAddr) -> Result<(), Failed> {
    if local == Some(peer) { Err(Failed::lost("connection refused")) } else { Ok(()) }
}

/// Says goodbye, or closes our side (FIN), and hears the server out: unread words would have the kernel send a reset, which
/// fills servers' logs.
fn farewell(mut stream: Box<dyn Duplex>, goodbye: &'static [u8]) -> Farewell {
    Box::pin(async move {
        let ended = match goodbye {
            [] => stream.shutdown().await,
            goodbye => async { stream.write_all(goodbye).await.and(stream.flush().await) }.await,
        };
        let (mut heard, mut buffer) = (0, [0; 512]);
        while ended.is_ok() && heard < PATIENCE {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(length) => heard += length,
            }
        }
    })
}
