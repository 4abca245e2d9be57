//! The TCP probe: connects, and closes in peace.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What a server may say to us before we close for good, in bytes.
const PATIENCE: usize = 4096;

/// Connects.
pub(super) async fn connect(target: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(target).await?;
    // Connecting to a free port of our own machine can, once in ten thousands of times, meet itself: the kernel picks that
    // port as the source, and both ends are ours (RFC 9293 section 3.5, simultaneous open).
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}

/// Says that we are done (FIN) and hears the server out, for unread words, such as a mail server's greeting, would have the
/// kernel send a reset, which fills servers' logs.
pub(super) async fn end(mut stream: TcpStream) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let mut heard = 0;
    let mut buffer = [0; 512];
    while heard < PATIENCE {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(length) => heard += length,
        }
    }
}
