//! One question to another DNS server, over UDP, and over TCP where the reply does not fit.
//!
//! Invariant: a reply is taken only from whom was asked, with the question's ID and the question itself (RFC 5452).
//!
//! Deliberately not here: resolving. It blocks, so it is for commands, not for the daemon's threads.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

/// Tries over UDP.
const TRIES: usize = 3;
/// How long one try waits.
const PATIENCE: Duration = Duration::from_secs(1);
/// The header's length, and the place and bits of its flags (RFC 1035 section 4.1.1).
const HEADER: usize = 12;
const RESPONSE: u8 = 0x80;
const TRUNCATED: u8 = 0x02;

/// Asks `server`. `query` is a whole message with one question and nothing behind it.
///
/// # Errors
/// No reply in time, or the network's refusal.
pub fn exchange(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let any: SocketAddr =
        if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut reply = vec![0; usize::from(u16::MAX)];
    for _ in 0..TRIES {
        socket.send(query)?;
        match receive(&socket, query, &mut reply) {
            Ok(length) if reply[2] & TRUNCATED != 0 && length >= HEADER => return over_tcp(server, query),
            Ok(length) => {
                reply.truncate(length);
                return Ok(reply);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(ErrorKind::TimedOut, format!("no answer to {TRIES} tries over UDP")))
}

/// The next datagram that is a reply to `query`; what else arrives is passed over, as often as there are tries.
fn receive(socket: &UdpSocket, query: &[u8], reply: &mut [u8]) -> io::Result<usize> {
    for _ in 0..TRIES {
        let length = socket.recv(reply)?;
        if answers(&reply[..length], query) {
            return Ok(length);
        }
    }
    Err(ErrorKind::TimedOut.into())
}

fn answers(reply: &[u8], query: &[u8]) -> bool {
    let question = query.get(HEADER..).unwrap_or_default();
    reply.len() >= HEADER
        && reply[..2] == query[..2]
        && reply[2] & RESPONSE != 0
        && reply[HEADER..].get(..question.len()).is_some_and(|asked| asked.eq_ignore_ascii_case(question))
}

fn over_tcp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(query.len()).map_err(|_| io::Error::from(ErrorKind::InvalidInput))?;
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&[&length.to_be_bytes(), query].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut reply)?;
    if answers(&reply, query) {
        Ok(reply)
    } else {
        Err(io::Error::new(ErrorKind::InvalidData, "no reply to the question"))
    }
}
