//! One question by UDP, and its answer, asked again where none comes: datagrams get lost.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{net::UdpSocket, time::timeout};

use super::attempt::{Deadline, Failed};

/// After so long without an answer the question is asked again.
const AGAIN: Duration = Duration::from_secs(1);
/// The longest answer that is read.
const LONGEST: usize = 4096;

/// A socket for one target.
pub(super) async fn open(target: SocketAddr) -> io::Result<UdpSocket> {
    let any = match target.ip() {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(target).await?;
    Ok(socket)
}

/// The first answer that `fits`; others are not ours.
pub(super) async fn ask<T>(
    socket: &UdpSocket,
    question: &[u8],
    deadline: Deadline,
    what: &str,
    fits: impl Fn(&[u8]) -> Option<T>,
) -> Result<T, Failed> {
    let asked = async {
        let mut answer = [0; LONGEST];
        loop {
            socket.send(question).await?;
            let heard = async {
                loop {
                    let length = socket.recv(&mut answer).await?;
                    if let Some(found) = fits(&answer[..length]) {
                        return Ok::<_, io::Error>(found);
                    }
                }
            };
            if let Ok(heard) = timeout(AGAIN, heard).await {
                return heard;
            }
        }
    };
    deadline.hold(what, asked).await?.map_err(|error| match error.kind() {
        // ICMP port unreachable (RFC 1122 section 4.1.3.3).
        io::ErrorKind::ConnectionRefused => Failed::lost("port unreachable"),
        _ => error.into(),
    })
}
